"""What the tests stand on: servers and programs that they start."""
