"""The embedded engine: read models in files of the data directory, without any server."""
