"""Read models folded from the log, and the ports to the stores that hold them."""
