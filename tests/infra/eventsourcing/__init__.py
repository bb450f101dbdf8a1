"""The recorders, with the test cases that the `eventsourcing` library ships for them."""
