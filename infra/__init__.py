"""Adapters behind the ports, and the one place where they are wired."""
