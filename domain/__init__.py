"""The domain: aggregates, their events and pure decisions. It does no I/O and knows no transport and no store."""
