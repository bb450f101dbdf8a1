"""Domain events as stored names and JSON text, through the `eventsourcing` library's own `Mapper`.

The bytes equal what the library's `JSONTranscoder` writes for JSON-ready values, so a plain library application can
read the log; orjson makes encoding and decoding several times faster. Upcasting by class version is the Mapper's.

Decoding never walks the JSON: the only value with a type of its own is the timestamp. So a tool's schema may contain
`{"_type_": …, "_data_": …}` and comes back as it was.
"""

import json
import re
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import orjson
from eventsourcing.domain import AggregateEvent
from eventsourcing.persistence import Mapper, MapperDeserialisationError, StoredEvent, Transcoder
from eventsourcing.utils import TopicError, resolve_topic

from domain.errors import Fault, InvalidInput
from domain.recorded import DomainEvent, Position, RecordedEvent
from infra.redis.record import RecordDamaged, StoredRecord

_TYPE = "_type_"
_DATA = "_data_"
_DATETIME = "datetime_iso"
_PASSTHROUGH = (
    orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS
)

# orjson writes 1e16 and 0.00001 where Python writes 1e+16 and 1e-05, and null for a float that is no number: where any
# of these may have happened, the encoder of the library's transcoder writes the text more slowly, and refuses NaN.
_SUSPECT = re.compile(rb"[:\[,](?:null|-?[0-9.]+e|-?0\.0000)")
_PLAIN_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class UnknownEventName(RecordDamaged):
    """The stored name belongs to no event of this release."""

    code = "unknown_event_name"


class UndecodableEvent(RecordDamaged):
    """The record is intact, and its state is not that of its event."""

    code = "undecodable_event"


class OrjsonTranscoder(Transcoder):
    """The library's JSON, by orjson: for states of JSON values and one `timestamp`."""

    def encode(self, obj: Any) -> bytes:
        """JSON text. Raises InvalidInput for a value that is not JSON, which the log must not hold."""
        timestamp = obj.get("timestamp")
        if isinstance(timestamp, datetime):
            obj = {**obj, "timestamp": {_TYPE: _DATETIME, _DATA: timestamp.isoformat()}}
        for name, value in obj.items():
            if isinstance(value, UUID):
                raise _not_json(f"field '{name}' is a UUID; use its text")
        try:
            encoded = orjson.dumps(obj, option=_PASSTHROUGH)
        except TypeError as error:
            if "64-bit" in str(error):
                # It would be read back as a float.
                raise _not_json("an integer exceeds 64 bits") from error
            return _plainly_encoded(obj)
        return _plainly_encoded(obj) if _SUSPECT.search(encoded) else encoded

    def decode(self, data: bytes) -> Any:
        """The state again; only the timestamp is converted."""
        obj = orjson.loads(data)
        timestamp = obj.get("timestamp")
        if isinstance(timestamp, dict) and timestamp.get(_TYPE) == _DATETIME:
            obj["timestamp"] = datetime.fromisoformat(timestamp[_DATA])
        return obj


class EventCodec:
    """Maps events to their stored names and states, and back."""

    def __init__(self) -> None:
        self._mapper: Mapper[UUID] = Mapper(OrjsonTranscoder())
        self._known: set[str] = set()

    def encode(self, event: DomainEvent) -> tuple[str, bytes]:
        """The stored name and the state. Raises InvalidInput if the state is not JSON."""
        stored = self._mapper.to_stored_event(event)
        return stored.topic, stored.state

    def decode(self, stored: StoredRecord) -> RecordedEvent:
        """The event of a record, upcast to its present class version.

        Raises UnknownEventName and UndecodableEvent, which name the position.
        """
        record = stored.record
        if record.name not in self._known:
            self._learn(record.name, stored.position)
        entry = StoredEvent(record.aggregate_id, record.version, record.name, record.state)
        try:
            event = cast("DomainEvent", self._mapper.to_domain_event(entry))
        except (MapperDeserialisationError, AttributeError, KeyError, TypeError, ValueError) as error:
            problem = f"holds a '{record.name}' whose state cannot be read: {error}"
            raise UndecodableEvent(stored.position, problem) from error
        return RecordedEvent(
            position=stored.position,
            recorded_at_us=stored.recorded_at_us,
            event_id=record.event_id,
            aggregate_id=record.aggregate_id,
            version=record.version,
            name=record.name,
            envelope=record.envelope,
            event=event,
        )

    def _learn(self, name: str, position: Position) -> None:
        problem = f"holds '{name}', which is no event of this release. Use the release that wrote it, or a later one."
        try:
            found = resolve_topic(name)
        except (TopicError, ValueError) as error:
            raise UnknownEventName(position, problem) from error
        if not (isinstance(found, type) and issubclass(found, AggregateEvent)):
            raise UnknownEventName(position, problem)
        self._known.add(name)


def _plainly_encoded(obj: Any) -> bytes:
    try:
        return _PLAIN_JSON.encode(obj).encode()
    except (TypeError, ValueError) as error:
        raise _not_json(str(error)) from error


def _not_json(problem: str) -> InvalidInput:
    message = f"An event's state must be JSON values and one timestamp: {problem}."
    return InvalidInput(message, [Fault("", message)])
