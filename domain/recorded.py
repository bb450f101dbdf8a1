"""What the log adds to an event: where it stands, when it was recorded, who asked for it and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from domain.errors import Fault, InvalidInput

DomainEvent: TypeAlias = AggregateEvent
"""What an aggregate decided: a frozen, JSON-ready event of the `eventsourcing` library."""

POSITION_NUMBER_MAX = 2**53 - 1
"""Largest sequence and epoch: the largest integer that every JSON reader keeps exact."""

UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Position(NamedTuple):
    """A place in the log: the gapless sequence number, and the epoch of the server run that wrote it.

    Clients treat the text form `<sequence>-<epoch>` as opaque. Inside, positions compare as integers.
    """

    sequence: int
    epoch: int

    def __str__(self) -> str:
        return f"{self.sequence}-{self.epoch}"

    @classmethod
    def parse(cls, text: str, pointer: str = "") -> "Position":
        """Read the text form. Raises InvalidInput for anything else; `pointer` says where it stood."""
        sequence, dash, epoch = text.partition("-")
        if not (dash and _is_number(sequence) and _is_number(epoch)):
            message = f"'{text[:64]}' is not a position. Use one that an answer or an event gave you."
            raise InvalidInput(message, [Fault(pointer, message)])
        return cls(int(sequence), int(epoch))


def _is_number(text: str) -> bool:
    # The length first: int() takes a time that is quadratic in it.
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(POSITION_NUMBER_MAX))
    return digits and int(text) <= POSITION_NUMBER_MAX


START = Position(0, 0)
"""Before the first event."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who asked for an event, why, and as part of what. Kept with the event and never part of its state."""

    namespace: str = ""
    actor: str = ""
    reason: str = ""
    command_id: str = ""
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One event of the log. `recorded_at_us` is the server's time in microseconds since 1970, never decreasing."""

    position: Position
    recorded_at_us: int
    event_id: UUID
    aggregate_id: UUID
    version: int
    name: str
    envelope: Envelope
    event: DomainEvent

    @property
    def recorded_at(self) -> datetime:
        """The server's time as an aware UTC datetime."""
        return UNIX_EPOCH + timedelta(microseconds=self.recorded_at_us)


@dataclass(frozen=True, slots=True)
class IdempotencyClaim:
    """A client's key and the request that it stands for, both as digests: the key's carries principal and operation."""

    key_digest: str
    request_digest: str


@dataclass(frozen=True, slots=True)
class Append:
    """A wish to append events of one aggregate, if it is still at `expected_version` (0: it does not exist)."""

    aggregate_id: UUID
    expected_version: int
    events: Sequence[DomainEvent]
    envelope: Envelope
    idempotency: IdempotencyClaim | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did: the position of its last event and the aggregate's version after it.

    `repeated` tells that an earlier request with the same idempotency key did it, and nothing was written now.
    """

    position: Position
    aggregate_id: UUID
    version: int
    repeated: bool = False
