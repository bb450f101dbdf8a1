"""A small aggregate whose events the store's tests append, so that they depend on no kind of the catalogue."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from eventsourcing.domain import Aggregate
from eventsourcing.persistence import StoredEvent

from domain.recorded import Append, DomainEvent, Envelope, IdempotencyClaim
from infra.redis.codec import EventCodec
from infra.redis.eventsourcing import RedisFactory

TIME = datetime(2026, 11, 23, 12, 30, 15, 250, tzinfo=UTC)


class Note(Aggregate):
    """Something with a text and nothing to decide."""

    TOPIC = "test.note"

    @dataclass(frozen=True)
    class Created(Aggregate.Created):
        """The first text."""

        TOPIC = "test.note-created"
        text: str

    @dataclass(frozen=True)
    class Changed(Aggregate.Event):
        """Another text."""

        TOPIC = "test.note-changed"
        text: str


def event(note_id: UUID, version: int, text: str = "text") -> DomainEvent:
    """The event of a version, with that text."""
    if version == 1:
        return Note.Created(
            originator_id=note_id,
            originator_version=1,
            timestamp=TIME,
            originator_topic=Note.TOPIC,
            text=text,
        )
    return Note.Changed(originator_id=note_id, originator_version=version, timestamp=TIME, text=text)


def append_of(
    note_id: UUID,
    expected_version: int,
    *texts: str,
    claim: IdempotencyClaim | None = None,
    envelope: Envelope | None = None,
) -> Append:
    """An append of one event for each text (one, if none is given)."""
    events = [
        event(note_id, version, text) for version, text in enumerate(texts or ("text",), expected_version + 1)
    ]
    return Append(note_id, expected_version, events, envelope or Envelope(namespace="tests"), claim)


def record_from_zero(url: str, deployment: str, note_id: UUID, count: int) -> None:
    """Events of versions 0, 1, 2, ... as an application of the library writes them. It blocks: call it in a thread."""
    factory, codec = RedisFactory({"REDIS_URL": url, "REDIS_LOG": deployment}), EventCodec()
    states = [codec.encode(event(note_id, number)) for number in range(1, count + 1)]
    events = [StoredEvent(note_id, version, *encoded) for version, encoded in enumerate(states)]
    try:
        factory.application_recorder().insert_events(events)
    finally:
        factory.close()
