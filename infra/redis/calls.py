"""Builds the calls of the event store and reads their replies, for any client: pure, without I/O.

The asynchronous store and the synchronous recorders of the `eventsourcing` library send the same calls; those that only
the recorders send are in `infra.redis.recorder_calls`. Replies are those of RESP2 without a client's own parsing:
lists, bytes and integers.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias
from uuid import UUID

from domain.errors import HistoryChanged, IdempotencyMismatch, InvalidInput, VersionConflict
from domain.recorded import START, Appended, IdempotencyClaim, Position
from infra.redis.record import FIELD, RecordDamaged, StoredRecord, unpack

EVENTS_PER_CALL_MAX = 500
BYTES_PER_CALL_MAX = 1 << 20

LIBRARY_VERSION = 1
"""Rises when the meaning of a function's arguments or replies changes; the digest tells every other change."""

Call: TypeAlias = tuple[str | bytes | int, ...]

_LOSS = "loss:"

_LIBRARY_PARTS = ("chronicle.lua", "recorders.lua")


class Verdict(StrEnum):
    """The first word of a function's answer; the names stand in chronicle.lua too."""

    WRITTEN = "1"
    REPEATED = "2"
    CONFLICT = "3"
    MISMATCH = "4"
    TRACKED = "5"


@dataclass(frozen=True, slots=True)
class Library:
    """The function library as it is loaded: its name and functions carry its version and the digest of its text."""

    version: str
    code: str

    @property
    def name(self) -> str:
        return f"chronicle_{self.version}"

    def function(self, name: str) -> str:
        return f"{name}_{self.version}"


@cache
def library() -> Library:
    """The library of this release."""
    parts = files("infra.redis").joinpath("functions")
    text = "\n".join(parts.joinpath(part).read_text(encoding="utf-8") for part in _LIBRARY_PARTS)
    version = f"{LIBRARY_VERSION}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return Library(version, text.replace("@VERSION@", version))


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one deployment's log, all under one hash tag."""

    deployment: str

    def __post_init__(self) -> None:
        if not self.deployment or set(self.deployment) & set("{} \r\n\t"):
            message = f"'{self.deployment}' cannot name a deployment: use letters, digits, '-', '_' and '.'."
            raise InvalidInput(message)

    def key(self, name: str) -> str:
        return f"{{{self.deployment}}}:{name}"

    @property
    def log(self) -> str:
        return self.key("log")

    @property
    def head(self) -> str:
        return self.key("head")

    @property
    def epoch(self) -> str:
        return self.key("epoch")

    @property
    def meta(self) -> str:
        return self.key("meta")

    @property
    def index_prefix(self) -> str:
        return self.key("a:")

    @property
    def zero_prefix(self) -> str:
        return self.key("z:")

    @property
    def track(self) -> str:
        """The hash of tracked positions, and the channel that tells of them."""
        return self.key("track")

    def index(self, aggregate_id: UUID) -> str:
        """The list of sequence numbers of an aggregate's versions from 1: its length is the last version."""
        return self.index_prefix + aggregate_id.hex

    def zero(self, aggregate_id: UUID) -> str:
        """The sequence number of an aggregate's version 0, which only the library's recorders write."""
        return self.zero_prefix + aggregate_id.hex

    def kept(self, purpose: str, aggregate_id: UUID) -> str:
        """The sorted set of an aggregate's records by version, beside the log: snapshots."""
        return self.key(f"{'snap' if purpose == 'snapshots' else purpose}:{aggregate_id.hex}")

    def view(self, name: str) -> str:
        """A hash that changes together with a tracking."""
        return self.key(f"view:{name}")

    def claim(self, claim: IdempotencyClaim) -> str:
        return self.key(f"idem:{claim.key_digest}")


@dataclass(frozen=True, slots=True)
class PackedAppend:
    """One append, ready to be sent: its records without the server's stamp."""

    aggregate_id: UUID
    expected_version: int
    records: Sequence[bytes]
    claim: IdempotencyClaim | None

    @property
    def size(self) -> int:
        return sum(map(len, self.records))


def append_many(keys: Keys, appends: Sequence[PackedAppend]) -> Call:
    """The call that decides and writes independent appends in their order."""
    touched: list[str] = [keys.log, keys.head, keys.epoch]
    arguments: list[str | bytes | int] = [len(appends)]
    for append in appends:
        touched.append(keys.index(append.aggregate_id))
        arguments += (append.expected_version, len(append.records))
        if append.claim is None:
            arguments.append(b"")
        else:
            touched.append(keys.claim(append.claim))
            arguments.append(append.claim.request_digest)
        arguments += append.records
    return ("FCALL", library().function("append_many"), len(touched), *touched, *arguments)


def verdicts(
    appends: Sequence[PackedAppend], reply: bytes
) -> Iterable[Appended | VersionConflict | IdempotencyMismatch]:
    """What became of each append: a result, or the error that its caller gets."""
    for append, line in zip(appends, reply.decode().split("\n"), strict=True):
        code, *values = line.split(" ")
        if code == Verdict.WRITTEN:
            sequence, version, epoch = values
            yield Appended(Position(int(sequence), int(epoch)), append.aggregate_id, int(version))
        elif code == Verdict.REPEATED:
            sequence, version, epoch, aggregate = values
            yield Appended(
                Position(int(sequence), int(epoch)), UUID(hex=aggregate), int(version), repeated=True
            )
        elif code == Verdict.CONFLICT:
            yield VersionConflict(f"Aggregate {append.aggregate_id}", append.expected_version, int(values[0]))
        else:
            yield mismatch()


def recall(keys: Keys, claim: IdempotencyClaim) -> Call:
    """The call that looks a claim up."""
    return ("GET", keys.claim(claim))


def recalled(claim: IdempotencyClaim, reply: bytes | None) -> Appended | None:
    """What a claim stands for. Raises IdempotencyMismatch if it was made for another request."""
    if reply is None:
        return None
    digest, aggregate, sequence, epoch, version = reply.decode().split(" ")
    if digest != claim.request_digest:
        raise mismatch()
    return Appended(Position(int(sequence), int(epoch)), UUID(hex=aggregate), int(version), repeated=True)


def open_run(keys: Keys, run_id: str, log_id: UUID) -> Call:
    """The call that compares head and log, and raises the epoch once for a run of the server."""
    touched = (keys.log, keys.head, keys.epoch, keys.meta, keys.index_prefix, keys.zero_prefix)
    return ("FCALL", library().function("open_run"), len(touched), *touched, run_id, str(log_id))


def accept_loss(keys: Keys, kept: Position, lost: Position, at: str) -> Call:
    """The call that records as a fact that the operator gave up what followed `kept`, up to `lost`."""
    return ("HSET", keys.meta, f"{_LOSS}{kept}", f"{lost} {at}")


def loss_is_accepted(meta: Mapping[bytes, bytes], lost: Position) -> bool:
    """Whether `{s}:meta` says that this position was given up."""
    for name, value in meta.items():
        prefix, _, kept = name.decode().partition(":")
        if f"{prefix}:" == _LOSS:
            last = Position.parse(value.decode().partition(" ")[0])
            if Position.parse(kept).sequence < lost.sequence <= last.sequence and lost.epoch <= last.epoch:
                return True
    return False


def load(
    keys: Keys,
    aggregate_id: UUID,
    after: int,
    limit: int,
    *,
    version_max: int | None = None,
    backwards: bool = False,
) -> Call:
    """The call for a page of an aggregate's events after a version; after -1, version 0 is among them if there is one.

    `backwards` answers the latest ones, newest first.
    """
    touched = (keys.index(aggregate_id), keys.log, keys.zero(aggregate_id))
    upto = "" if version_max is None else version_max
    arguments = (after, limit, BYTES_PER_CALL_MAX, upto, int(backwards))
    return ("FCALL_RO", library().function("load"), len(touched), *touched, *arguments)


def absent(reply: Sequence[Any]) -> list[int]:
    """The sequences on a page of an aggregate that the log does not have: trimmed, or lost."""
    return [item for item in reply[1:] if isinstance(item, int)]


def loaded(
    reply: Sequence[Any], archived: Mapping[int, tuple[Position, bytes]] | None = None
) -> tuple[int, list[StoredRecord]]:
    """The aggregate's version and a page of its records; `archived` has those that were trimmed, by sequence.

    Raises RecordDamaged for what is missing or wrong.
    """
    version, *items = reply
    page = []
    for item in items:
        if not isinstance(item, int):
            page.append(unpack(item[1], position_of(item[0])))
        elif archived and item in archived:
            position, value = archived[item]
            page.append(unpack(value, position))
        else:
            problem = "is named by its aggregate's index and missing from the log. Restore it from a backup."
            raise RecordDamaged(Position(item, 0), problem)
    return version, page


def of_aggregate(aggregate_id: UUID, versions: Iterable[int], page: list[StoredRecord]) -> list[StoredRecord]:
    """The page again, which must have these versions in this order. Raises RecordDamaged where it is another event."""
    for version, stored in zip(versions, page, strict=False):
        found = stored.record
        if (found.aggregate_id, found.version) != (aggregate_id, version):
            problem = (
                f"is named by the index of {aggregate_id} as version {version} and is version {found.version} of "
                f"{found.aggregate_id}. The index is damaged: restore the log from a backup."
            )
            raise RecordDamaged(stored.position, problem)
    return page


def read(keys: Keys, after: Position, limit: int, until: Position | None = None) -> Call:
    """The call for entries from `after` itself, which proves that the log is the one that was read before."""
    end = "+" if until is None else str(until)
    if after == START:
        return ("XRANGE", keys.log, "-", end, "COUNT", limit)
    return ("XRANGE", keys.log, after.sequence, end, "COUNT", limit + 1)


def records(after: Position, reply: Sequence[Any]) -> list[StoredRecord]:
    """The records after a position, gapless. Raises HistoryChanged if the position is not of this log."""
    entries = list(reply)
    if after != START:
        found = position_of(entries.pop(0)[0]) if entries else None
        if found != after:
            there = "nothing" if found is None else f"{found}"
            message = f"Position {after} was read before, and the log has {there} there now. Read again from the start."
            raise HistoryChanged(message)
    return gapless(after.sequence + 1, entries)


def read_on(keys: Keys, sequence: int, limit: int, until: Position | None = None) -> Call:
    """The call for entries after a sequence number that the archive proved."""
    return ("XRANGE", keys.log, sequence + 1, "+" if until is None else str(until), "COUNT", limit)


def read_range(keys: Keys, first: int, last: int | None, limit: int) -> Call:
    """The call for entries from one sequence number to another, for a caller that knows no epoch."""
    return ("XRANGE", keys.log, first, "+" if last is None else last, "COUNT", limit)


def gapless(first: int, reply: Sequence[Any]) -> list[StoredRecord]:
    """The records of entries, which must follow each other from a sequence number on. Raises RecordDamaged."""
    found = [entry(item) for item in reply]
    for number, stored in enumerate(found, first):
        if stored.position.sequence != number:
            problem = "is missing from the log. Restore it from a backup."
            raise RecordDamaged(Position(number, 0), problem)
    return found


def read_backwards(keys: Keys, before: Position | None, limit: int) -> Call:
    """The call for entries before a position, newest first."""
    end = "+" if before is None else f"({before}"
    return ("XREVRANGE", keys.log, end, "-", "COUNT", limit)


def entry(item: Sequence[Any]) -> StoredRecord:
    """One stream entry. Raises RecordDamaged, which names its position."""
    entry_id, fields = item
    position = position_of(entry_id)
    if len(fields) != 2 or fields[0] != FIELD:
        raise RecordDamaged(
            position, "was not written by the append function. Remove what else writes to this key."
        )
    return unpack(fields[1], position)


def position_of(entry_id: bytes) -> Position:
    """A stream entry's id."""
    sequence, _, epoch = entry_id.partition(b"-")
    return Position(int(sequence), int(epoch))


def mismatch() -> IdempotencyMismatch:
    """A claim that was made for another request."""
    return IdempotencyMismatch(
        "This idempotency key was used within the last 24 hours for another request. Use a new key for a new request."
    )
