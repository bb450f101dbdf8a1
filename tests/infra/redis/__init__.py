"""The event store on a real Valkey server under our own supervisor."""
