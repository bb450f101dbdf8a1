"""The log as lines of JSON that people and other programs can read, and that give back the same bytes: pure.

The first line says what it is and of which log, each further one is an event, and the last one says where the log ends,
so a file that was cut short is recognised. `state` is the stored JSON text as a string, because its bytes count.
"""

import struct
from base64 import b64decode, b64encode
from typing import Any
from uuid import UUID

import orjson

from domain.errors import InvalidInput
from domain.recorded import Envelope, Position
from infra.redis import record
from infra.redis.segment import Entry

LINE_BYTES_MAX = 8 << 20
"""A line is an event of at most a mebibyte, with every character of its state escaped."""

_FORMAT = "chronicle-events-1"


def first_line(log_id: str) -> bytes:
    """What the file is, and of which log."""
    return orjson.dumps({"format": _FORMAT, "log_id": log_id}) + b"\n"


def event_line(entry: Entry) -> bytes:
    """One event. Raises RecordDamaged if the entry is none."""
    position, value = entry
    stored = record.unpack(value, position)
    written = stored.record
    try:
        state: dict[str, str] = {"state": written.state.decode()}
    except UnicodeDecodeError:
        state = {"state_base64": b64encode(written.state).decode()}
    return (
        orjson.dumps(
            {
                "position": str(position),
                "recorded_at_us": stored.recorded_at_us,
                "event_id": written.event_id,
                "aggregate_id": written.aggregate_id,
                "version": written.version,
                "name": written.name,
                "envelope": {name: getattr(written.envelope, name) for name in Envelope.__dataclass_fields__},
                **state,
                "content_hash": record.content_hash(value),
            }
        )
        + b"\n"
    )


def last_line(events: int, position: Position) -> bytes:
    """How many events there are, and where the log ends."""
    return orjson.dumps({"events": events, "position": str(position)}) + b"\n"


def parsed(line: bytes, number: int) -> dict[str, Any]:
    """A line. Raises InvalidInput, which names it."""
    try:
        value = orjson.loads(line)
    except ValueError as error:
        raise _wrong(number, f"is no JSON ({error})") from error
    if not isinstance(value, dict) or (number == 1 and value.get("format") != _FORMAT):
        raise _wrong(number, f"is not of an export in the format '{_FORMAT}'")
    return value


def entry_of(value: dict[str, Any], number: int) -> Entry:
    """The stored entry that a line tells of. Raises InvalidInput if it does not give back the exported bytes."""
    try:
        state = (
            value["state"].encode() if "state" in value else b64decode(value["state_base64"], validate=True)
        )
        packed = record.pack(
            record.Record(
                event_id=UUID(value["event_id"]),
                aggregate_id=UUID(value["aggregate_id"]),
                version=value["version"],
                name=value["name"],
                envelope=Envelope(**value["envelope"]),
                state=state,
            )
        )
        entry = Position.parse(value["position"]), record.stamp(value["recorded_at_us"]) + packed
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
        raise _wrong(number, f"is no exported event ({type(error).__name__}: {error})") from error
    if record.packed_hash(packed) != value.get("content_hash"):
        raise _wrong(number, f"(position {entry[0]}) was changed: its content_hash is another one")
    return entry


def _wrong(number: int, problem: str) -> InvalidInput:
    return InvalidInput(f"Line {number} of the export {problem}. Use the file as it was exported.")
