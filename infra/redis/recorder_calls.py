"""The calls that only the recorders of the `eventsourcing` library send: inserts, trackings, snapshots. Pure.

The rest of `infra.redis.calls`, for functions/recorders.lua.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from domain.errors import Conflict, LimitExceeded, VersionConflict
from domain.recorded import IdempotencyClaim, Position
from infra.redis.calls import BYTES_PER_CALL_MAX, Call, Keys, Verdict, library, mismatch

EVENTS_PER_INSERT_MAX = 1000
"""One insert of the library's recorders is one call, whole or not at all, so its bound is higher than that of a group
of appends: 1,000 small events keep the server busy for about 20 ms."""


class AlreadyTracked(Conflict):
    """The position, or a later one, was tracked before: somebody processed that event already."""

    code = "already_tracked"


@dataclass(frozen=True, slots=True)
class PackedInsert:
    """One insert of the library's recorders: records in the order of their positions, with aggregate and version.

    Versions continue those of their aggregates; `tracking` is a name and a position that must rise.
    """

    records: Sequence[tuple[UUID, int, bytes]]
    tracking: tuple[str, int] | None = None
    claim: IdempotencyClaim | None = None


def append(keys: Keys, insert: PackedInsert) -> Call:
    """The call that makes an insert, whole or not at all. Raises LimitExceeded."""
    _check_insert(insert.records)
    aggregates = _numbered(aggregate_id for aggregate_id, _, _ in insert.records)
    touched = [keys.log, keys.head, keys.epoch, keys.track]
    for aggregate_id in aggregates:
        touched += (keys.index(aggregate_id), keys.zero(aggregate_id))
    arguments: list[str | bytes | int] = [""]
    if insert.claim is not None:
        touched.append(keys.claim(insert.claim))
        arguments = [insert.claim.request_digest]
    arguments += insert.tracking or ("", "")
    arguments.append(len(aggregates))
    for aggregate_id, _, record in insert.records:
        arguments += (aggregates[aggregate_id], record)
    return ("FCALL", library().function("append"), len(touched), *touched, *arguments)


def inserted(insert: PackedInsert, reply: bytes) -> Position:
    """The position of an insert's last record. Raises VersionConflict, IdempotencyMismatch and AlreadyTracked."""
    code, *values = reply.decode().split(" ")
    if code in {Verdict.WRITTEN, Verdict.REPEATED}:
        return Position(int(values[0]), int(values[2]))
    if code == Verdict.CONFLICT:
        number, actual, version = map(int, values)
        aggregate_id = list(_numbered(item[0] for item in insert.records))[number - 1]
        raise VersionConflict(f"Aggregate {aggregate_id}", version - 1, actual)
    if code == Verdict.TRACKED:
        raise _already_tracked(insert.tracking, values[0])
    raise mismatch()


class ViewChange(NamedTuple):
    """A change of a view's field: `HSET`, `HINCRBY` by a whole number, or `HDEL`, whose value is ignored."""

    operation: str
    view: str
    field: str
    value: str | bytes | int = ""


def track(keys: Keys, tracking: tuple[str, int], changes: Sequence[ViewChange] = ()) -> Call:
    """The call that records a tracking together with changes of views."""
    touched = [keys.track, *(keys.view(change.view) for change in changes)]
    arguments: list[str | bytes | int] = [*tracking]
    for change in changes:
        arguments += (change.operation, change.field, change.value)
    return ("FCALL", library().function("track"), len(touched), *touched, *arguments)


def check_tracked(tracking: tuple[str, int], reply: bytes) -> None:
    """Raises AlreadyTracked if nothing was recorded."""
    code, present = reply.decode().split(" ")
    if code == Verdict.TRACKED:
        raise _already_tracked(tracking, present)


def tracked_position(keys: Keys, name: str) -> Call:
    """The call for the last tracked position of a name."""
    return ("HGET", keys.track, name)


def keep(keys: Keys, purpose: str, records: Sequence[tuple[UUID, int, bytes]]) -> Call:
    """The call that keeps records beside the log, in any order of versions, all or none. Raises LimitExceeded."""
    _check_insert(records)
    aggregates = _numbered(aggregate_id for aggregate_id, _, _ in records)
    touched = [keys.kept(purpose, aggregate_id) for aggregate_id in aggregates]
    arguments: list[bytes | int] = []
    for aggregate_id, _, record in records:
        arguments += (aggregates[aggregate_id], record)
    return ("FCALL", library().function("keep"), len(touched), *touched, *arguments)


def check_kept(reply: bytes) -> None:
    """Raises Conflict if a version was kept before, and nothing is kept now."""
    code, version = reply.decode().split(" ")
    if code == Verdict.CONFLICT:
        raise Conflict(f"Version {version} of an aggregate was recorded before. Nothing was written.")


def kept(
    keys: Keys,
    purpose: str,
    aggregate_id: UUID,
    versions: tuple[int, int | None],
    limit: int,
    *,
    backwards: bool,
) -> Call:
    """The call for records kept beside the log, from the first to the last of `versions`."""
    key, (first, last) = keys.kept(purpose, aggregate_id), versions
    upto: str | int = "+inf" if last is None else last
    if backwards:
        return ("ZREVRANGEBYSCORE", key, upto, first, "LIMIT", 0, limit)
    return ("ZRANGEBYSCORE", key, first, upto, "LIMIT", 0, limit)


def _already_tracked(tracking: tuple[str, int] | None, present: str) -> AlreadyTracked:
    name, position = tracking or ("", 0)
    return AlreadyTracked(
        f"Position {position} of '{name}' is not above {present}, which is tracked already."
    )


def _check_insert(records: Sequence[tuple[UUID, int, bytes]]) -> None:
    count, size = len(records), sum(len(record) for _, _, record in records)
    if count > EVENTS_PER_INSERT_MAX or size > BYTES_PER_CALL_MAX:
        message = (
            f"One insert may have {EVENTS_PER_INSERT_MAX} events and {BYTES_PER_CALL_MAX} bytes; this one has {count} "
            f"and {size}. Split it."
        )
        raise LimitExceeded(message)


def _numbered(aggregate_ids: Iterable[UUID]) -> dict[UUID, int]:
    """The different aggregates in the order of their first event, numbered from 1."""
    return {aggregate_id: number for number, aggregate_id in enumerate(dict.fromkeys(aggregate_ids), 1)}
