"""The tests, one directory for each layer."""
