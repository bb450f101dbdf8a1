"""Reads a whole log and names the first position that cannot be trusted, and why. Beside a running program, too.

Everything up to the head that it sees at the start is checked; what is appended meanwhile is not looked at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from domain.recorded import START, Position
from infra.redis.integrity import ArchiveDamaged, IndexPart, LogCheck, missing
from infra.redis.raw_log import LISTS_PER_CALL, LogState, RawLog
from infra.redis.record import RecordDamaged
from infra.redis.segment import SegmentDamaged
from infra.redis.segments import SegmentDirectory
from infra.redis.stored import stored_entries

Report: TypeAlias = Callable[[int, int], None]
"""Told how many events are done, and of how many."""


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """What was read: the last good position, the number of good events, and the first problem if there is one."""

    position: Position
    events: int
    problem: RecordDamaged | None


async def verify_log(log: RawLog, archive: SegmentDirectory, report: Report) -> VerifiedLog:
    """Check every entry, every segment and every index. Raises Unavailable if the server does not answer."""
    state = await log.state()
    check = LogCheck(state.epoch)
    problem = (
        await _entries(log, archive, state, check, report)
        or await _segments(archive, state)
        or _end(state, check)
        or await _known_lists(log, check)
        or await _unknown_lists(log, check)
        or await _stray_zeros(log, check)
    )
    return VerifiedLog(check.position, check.events, problem)


async def _entries(
    log: RawLog, archive: SegmentDirectory, state: LogState, check: LogCheck, report: Report
) -> RecordDamaged | None:
    try:
        async for entries in stored_entries(log, archive, state.last.sequence):
            parts, bad_entry = check.take(entries)
            bad_index = await _bad_index(log, parts)
            # The index is asked about entries that stand before the bad one.
            if found := bad_index or bad_entry:
                return found
            report(check.events, state.last.sequence)
    except RecordDamaged as error:
        return error
    except SegmentDamaged as error:
        return ArchiveDamaged(Position(check.position.sequence + 1, 0), f"is archived, and: {error.message}")
    return None


async def _segments(archive: SegmentDirectory, state: LogState) -> RecordDamaged | None:
    """Every segment up to the last one that the log's server knows of, also where the log still has its events."""
    done = 0
    try:
        async for segment in archive.chain(state.archived):
            done = segment.last.sequence
    except SegmentDamaged as error:
        return ArchiveDamaged(Position(done + 1, 0), f"is archived, and: {error.message}")
    if done < state.archived:
        return ArchiveDamaged(
            Position(done + 1, 0), f"is archived, and no segment in '{archive.path}' holds it."
        )
    return None


async def _bad_index(log: RawLog, parts: Sequence[IndexPart]) -> RecordDamaged | None:
    listed = [part for part in parts if part.positions]
    asked = [
        (part.aggregate_id, part.first_version, part.first_version + len(part.positions) - 1)
        for part in listed
    ]
    lists = await log.index_lists(asked)
    begun = [part for part in parts if part.zero is not None]
    zeros = await log.zeros([part.aggregate_id for part in begun])
    problems = [
        *(part.problem(sequences) for part, sequences in zip(listed, lists, strict=True)),
        *(part.zero_problem(sequence) for part, sequence in zip(begun, zeros, strict=True)),
    ]
    named = [problem for problem in problems if problem is not None]
    return min(named, key=lambda each: each.position or START, default=None)


def _end(state: LogState, check: LogCheck) -> RecordDamaged | None:
    if check.position.sequence < state.head:
        return missing(check.position.sequence + 1, f"and the head counter says {state.head}")
    return None


async def _known_lists(log: RawLog, check: LogCheck) -> RecordDamaged | None:
    """No list may go on with events that are not its aggregate's."""
    ids = list(check.versions)
    for start in range(0, len(ids), LISTS_PER_CALL):
        if problem := await _beyond(log, check, ids[start : start + LISTS_PER_CALL]):
            return problem
    return None


async def _unknown_lists(log: RawLog, check: LogCheck) -> RecordDamaged | None:
    """No list may be of an aggregate that has no event."""
    async for ids in log.indexed():
        unknown = [each for each in ids if each not in check.versions]
        if problem := await _beyond(log, check, unknown):
            return problem
    return None


async def _stray_zeros(log: RawLog, check: LogCheck) -> RecordDamaged | None:
    """No key of version 0 may be of an aggregate that did not begin there."""
    async for ids in log.begun_at_zero():
        others = [each for each in ids if each not in check.begun_at_zero]
        found = await log.zeros(others)
        if problem := check.beyond_zero(dict(zip(others, found, strict=True))):
            return problem
    return None


async def _beyond(log: RawLog, check: LogCheck, ids: Sequence[UUID]) -> RecordDamaged | None:
    versions = [check.versions.get(each, 0) + 1 for each in ids]
    asked = [(each, version, version) for each, version in zip(ids, versions, strict=True)]
    found = await log.index_lists(asked)
    return check.beyond({each: named[0] if named else None for each, named in zip(ids, found, strict=True)})
