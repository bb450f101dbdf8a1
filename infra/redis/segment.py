"""A segment: a closed range of the log as one immutable, compressed, checksummed file, chained to the one before it.

    8 bytes   CHRSEG1 and a line feed
    4 bytes   length of the header, big-endian
              header, JSON: first and last position, number of events, size of the body before compression, the log's
              identity, and the SHA-256 of the segment before ('' for the first one)
              body, zlib: for each entry its epoch (8 bytes), the length of its value (4 bytes), and the value
    32 bytes  SHA-256 of everything above: the segment's digest

A segment of the same entries after the same segment is the same bytes, whoever writes it and whenever. Functions here
never do I/O.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from domain.errors import ChronicleError, InvalidInput
from domain.recorded import Position

EVENTS_MAX = 4096
BYTES_MAX = 16 << 20
"""What one segment holds at most, before compression; an entry is at most a call of the append function."""

MAGIC = b"CHRSEG1\n"
FORMAT = 1

Entry: TypeAlias = tuple[Position, bytes]
"""One entry of the log: its position and its value with the server's stamp (`infra.redis.record`)."""

_LENGTH = struct.Struct(">I")
_ENTRY = struct.Struct(">QI")
ENTRY_OVERHEAD = _ENTRY.size
_DIGEST_LENGTH = 32
_LEVEL = 6


class SegmentDamaged(ChronicleError):
    """A segment is not what was sealed. The message names it."""

    code = "segment_damaged"

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"The segment '{name}' {problem}. Replace it by the copy in a backup.")
        self.name = name


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that was read and found whole."""

    name: str
    log_id: str
    previous: str
    digest: str
    entries: Sequence[Entry]

    @property
    def first(self) -> Position:
        return self.entries[0][0]

    @property
    def last(self) -> Position:
        return self.entries[-1][0]


def segment_name(first: int, last: int) -> str:
    """The file name of a range of sequences; names sort as the log does."""
    return f"{first:016}-{last:016}.segment"


def range_of(name: str) -> tuple[int, int] | None:
    """First and last sequence of a segment by its name; None for another file's name."""
    first, _, last = name.removesuffix(".segment").partition("-")
    if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
        return None
    found = int(first), int(last)
    return found if segment_name(*found) == name else None


def encode(entries: Sequence[Entry], *, log_id: str, previous: str) -> bytes:
    """The bytes of a segment. Raises InvalidInput for no entries, too many, or such with a gap."""
    size = sum(_ENTRY.size + len(value) for _, value in entries)
    if not 0 < len(entries) <= EVENTS_MAX or size > BYTES_MAX:
        raise InvalidInput(
            f"A segment holds 1 to {EVENTS_MAX} events, {BYTES_MAX} bytes; not {len(entries)}, {size}."
        )
    first, last = entries[0][0], entries[-1][0]
    if [position.sequence for position, _ in entries] != list(range(first.sequence, last.sequence + 1)):
        raise InvalidInput(f"The entries from {first} to {last} have a gap.")
    header = orjson.dumps(
        {
            "format": FORMAT,
            "log_id": log_id,
            "previous": previous,
            "first": str(first),
            "last": str(last),
            "events": len(entries),
            "bytes": size,
        }
    )
    body = b"".join(_ENTRY.pack(position.epoch, len(value)) + value for position, value in entries)
    content = MAGIC + _LENGTH.pack(len(header)) + header + zlib.compress(body, _LEVEL)
    return content + hashlib.sha256(content).digest()


def digest_of(content: bytes) -> str:
    """The digest that the bytes of a segment carry."""
    return content[-_DIGEST_LENGTH:].hex()


def decode(name: str, content: bytes) -> Segment:
    """Read a segment. Raises SegmentDamaged, which names it."""
    if not content.startswith(MAGIC) or len(content) < len(MAGIC) + _LENGTH.size + _DIGEST_LENGTH:
        raise SegmentDamaged(name, "is no segment of this format, or is cut short")
    if hashlib.sha256(memoryview(content)[:-_DIGEST_LENGTH]).hexdigest() != digest_of(content):
        raise SegmentDamaged(name, "fails its SHA-256")
    start = len(MAGIC) + _LENGTH.size
    end = start + _LENGTH.unpack_from(content, len(MAGIC))[0]
    try:
        header = orjson.loads(content[start:end])
        body = _inflated(content[end:-_DIGEST_LENGTH], header["bytes"])
        entries = list(_entries(body, Position.parse(header["first"]).sequence))
        segment = Segment(name, header["log_id"], header["previous"], digest_of(content), entries)
        whole = (
            header["format"] == FORMAT
            and len(entries) == header["events"]
            and (str(segment.first), str(segment.last)) == (header["first"], header["last"])
            and name == segment_name(segment.first.sequence, segment.last.sequence)
        )
    except (ValueError, KeyError, TypeError, IndexError, struct.error, zlib.error, InvalidInput) as error:
        raise SegmentDamaged(name, f"cannot be read ({error})") from error
    if not whole:
        raise SegmentDamaged(name, "does not hold what its header or its name says")
    return segment


def _inflated(packed: bytes, size: int) -> bytes:
    if not 0 < size <= BYTES_MAX:
        raise ValueError(f"{size} bytes")
    inflater = zlib.decompressobj()
    body = inflater.decompress(packed, size + 1)
    if len(body) != size or not inflater.eof or inflater.unused_data:
        raise ValueError("the body has another size")
    return body


def _entries(body: bytes, sequence: int) -> Iterable[Entry]:
    at = 0
    while at < len(body):
        epoch, length = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        if at + length > len(body):
            raise ValueError("an entry is cut short")
        yield Position(sequence, epoch), body[at : at + length]
        at += length
        sequence += 1
