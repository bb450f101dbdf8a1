"""Stored events as a mapper would make them."""

from uuid import UUID

from eventsourcing.persistence import StoredEvent


def stored(originator_id: UUID, version: int, state: bytes = b"{}", topic: str = "topic") -> StoredEvent:
    """The event of a version."""
    return StoredEvent(originator_id, version, topic, state)


def versions(originator_id: UUID, first: int, last: int) -> list[StoredEvent]:
    """The events of versions from the first to the last."""
    return [stored(originator_id, version, b"%d" % version) for version in range(first, last + 1)]
