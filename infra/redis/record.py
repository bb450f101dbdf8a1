"""The bytes of one event in the log, fixed for ever: what is written today is decoded by every later release.

One stream entry holds one field, `e`, whose value is (integers big-endian):

    offset size
    0      7    recorded_at, microseconds since 1970      written by the append function on the server
    7      1    check byte: bytes 0..7 add up to 255 modulo 256      as above
    8      1    format, 1
    9      1    flags, 0: a set bit has no meaning yet and is refused
    10     16   event id
    26     16   aggregate id
    42     4    aggregate version, from 1
    46     2    length of the stored name
    48     2    length of the envelope
    50          stored name, UTF-8
                envelope: seven UTF-8 strings joined by NUL in the order of `domain.recorded.Envelope`; no bytes if all
                are empty (the plain `eventsourcing` library is such a writer)
                state: the JSON text of the event, to the end but for
    -4     4    CRC32C of everything from offset 8 up to here

The writer cannot cover `recorded_at` with its CRC32C because the server adds it, and a Lua function cannot compute one
cheaply: the check byte finds any single changed byte and zeroed bytes there, and the order of times finds most of the
rest. The position (the entry's id) is covered by neither: positions are gapless and epochs never fall, and every index
list must agree with the aggregate ids and versions, which the CRC32C covers.

Fixed offsets instead of varints: they cost three or four bytes and let one `struct` call, and the Lua functions, read
any header. Functions here never do I/O.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from crc32c import crc32c

from domain.errors import ChronicleError, Fault, InvalidInput, LimitExceeded
from domain.recorded import Envelope, Position

FIELD = b"e"
"""The one field of a stream entry."""

FORMAT = 1
STAMP_LENGTH = 8
"""What the server puts before the writer's bytes: the time and its check byte."""

_BODY = struct.Struct(">BB16s16sIHH")
_CRC = struct.Struct(">I")
_LENGTH_MIN = STAMP_LENGTH + _BODY.size + _CRC.size
_TEXT_LENGTH_MAX = 0xFFFF
_EMPTY = Envelope()


class RecordDamaged(ChronicleError):
    """An entry of the log is not a record that this program can trust. The message names its position."""

    code = "record_damaged"
    lasts = True

    def __init__(self, position: Position | None, problem: str) -> None:
        where = "of unknown position" if position is None else f"at position {position}"
        super().__init__(f"The record {where} {problem}")
        self.position = position


class ChecksumMismatch(RecordDamaged):
    """The bytes are not those that were written."""

    code = "checksum_mismatch"


class UnknownFormat(RecordDamaged):
    """The format byte is of a later release, or no format at all."""

    code = "unknown_format"


class UnknownFlags(RecordDamaged):
    """A flag is set that a later release gave a meaning."""

    code = "unknown_flags"


@dataclass(frozen=True, slots=True)
class Record:
    """One event as bytes: everything that is stored of it except its position and the server's time."""

    event_id: UUID
    aggregate_id: UUID
    version: int
    name: str
    envelope: Envelope
    state: bytes


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as read back: with its position and the server's time in microseconds since 1970."""

    position: Position
    recorded_at_us: int
    record: Record


def pack(record: Record) -> bytes:
    """The writer's bytes of a record; the server puts the stamp before them.

    Raises InvalidInput for text that cannot be stored and LimitExceeded for a name or an envelope above 65,535 bytes.
    """
    name = _encoded("name", record.name)
    envelope = _packed_envelope(record.envelope)
    for what, text in (("stored name", name), ("envelope", envelope)):
        if len(text) > _TEXT_LENGTH_MAX:
            raise LimitExceeded(f"The {what} has {len(text)} bytes; at most {_TEXT_LENGTH_MAX} are possible.")
    body = b"".join(
        (
            _BODY.pack(
                FORMAT,
                0,
                record.event_id.bytes,
                record.aggregate_id.bytes,
                record.version,
                len(name),
                len(envelope),
            ),
            name,
            envelope,
            record.state,
        )
    )
    return body + _CRC.pack(crc32c(body))


def stamp(recorded_at_us: int) -> bytes:
    """The bytes that the append function puts before a record. Here for tests and for restoring an archive."""
    time = recorded_at_us.to_bytes(STAMP_LENGTH - 1, "big")
    return time + bytes([(0xFF - sum(time)) & 0xFF])


def unpack(value: bytes, position: Position) -> StoredRecord:
    """Read an entry's value. Raises ChecksumMismatch, UnknownFormat or UnknownFlags, which name the position."""
    if len(value) < _LENGTH_MIN:
        problem = f"is cut short: {len(value)} bytes, and no record has fewer than {_LENGTH_MIN}."
        raise ChecksumMismatch(position, problem)
    format_byte, flags, event_id, aggregate_id, version, name_length, envelope_length = _BODY.unpack_from(
        value, STAMP_LENGTH
    )
    if format_byte != FORMAT:
        problem = f"has format {format_byte}; this release reads format {FORMAT}. Use a later release, or restore it."
        raise UnknownFormat(position, problem)
    if flags:
        problem = (
            f"has flags {flags:#04x}, of which this release knows none. Use a later release, or restore it."
        )
        raise UnknownFlags(position, problem)
    end = len(value) - _CRC.size
    (expected,) = _CRC.unpack_from(value, end)
    actual = crc32c(memoryview(value)[STAMP_LENGTH:end])
    if actual != expected:
        problem = f"fails its CRC32C ({actual:08x}, written as {expected:08x}). Restore it from a backup."
        raise ChecksumMismatch(position, problem)
    name_end = STAMP_LENGTH + _BODY.size + name_length
    state_start = name_end + envelope_length
    record = Record(
        event_id=UUID(bytes=event_id),
        aggregate_id=UUID(bytes=aggregate_id),
        version=version,
        name=value[name_end - name_length : name_end].decode(),
        envelope=_unpacked_envelope(value[name_end:state_start]),
        state=value[state_start:end],
    )
    return StoredRecord(position, _recorded_at(value, position), record)


def content_hash(value: bytes) -> str:
    """SHA-256, in hexadecimal, of what the writer packed: the same wherever and whenever the record is restored."""
    return packed_hash(memoryview(value)[STAMP_LENGTH:])


def packed_hash(packed: bytes | memoryview) -> str:
    """The content hash of a record that the server has not stamped yet."""
    return hashlib.sha256(packed).hexdigest()


def _recorded_at(value: bytes, position: Position) -> int:
    if sum(value[:STAMP_LENGTH]) & 0xFF != 0xFF:
        problem = f"has a damaged time stamp ({value[:STAMP_LENGTH].hex()}). Restore it from a backup."
        raise ChecksumMismatch(position, problem)
    return int.from_bytes(value[: STAMP_LENGTH - 1], "big")


def _packed_envelope(envelope: Envelope) -> bytes:
    if envelope == _EMPTY:
        return b""
    values = (
        envelope.namespace,
        envelope.actor,
        envelope.reason,
        envelope.command_id,
        envelope.correlation_id,
        envelope.causation_id,
        envelope.traceparent,
    )
    joined = "\0".join(values)
    if joined.count("\0") != len(values) - 1:
        _refuse_nul(values)
    return _encoded("envelope", joined)


def _unpacked_envelope(packed: bytes) -> Envelope:
    return Envelope(*packed.decode().split("\0")) if packed else _EMPTY


def _encoded(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        message = (
            f"The {what} of an event holds a lone surrogate at character {error.start}; send valid Unicode."
        )
        raise InvalidInput(message, [Fault("", message)]) from error


def _refuse_nul(values: Sequence[str]) -> None:
    for name, value in zip(Envelope.__dataclass_fields__, values, strict=True):
        if "\0" in value:
            message = f"The envelope's {name} holds a NUL character, which cannot be stored. Leave it out."
            raise InvalidInput(message, [Fault("", message)])
