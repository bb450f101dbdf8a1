"""The event store on Redis streams, and the supervised Valkey server that holds it when no other is given."""
