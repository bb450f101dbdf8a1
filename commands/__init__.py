"""What callers may ask for: one pipeline, one module for each kind, and the ports to what lies outside."""
