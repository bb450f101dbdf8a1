"""Archiving: closed ranges of the log become segments on disk, and what is archived and applied may leave the log.

The order makes a kill at any step harmless. A segment is on the disk, read back and found whole, before the log's
server records it; only what is recorded is trimmed, in a step of its own. So every event is in the log or in a recorded
segment at any time. A segment that was sealed and never recorded is sealed again. One archiver at a time works.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from domain.errors import InvalidInput
from domain.recorded import Position
from infra.redis import archive_calls, calls, segment
from infra.redis.owner import DirectoryLock
from infra.redis.raw_log import LogState, RawLog
from infra.redis.segment import Entry, SegmentDamaged, range_of
from infra.redis.segments import SegmentDirectory, chunks
from infra.redis.stored import stored_entries
from infra.redis.verify import Report


@dataclass(frozen=True, slots=True)
class Archived:
    """How far the archive and the trimming reach, as sequences, and how many segments or events this call did."""

    archived: int
    trimmed: int
    done: int


async def seal(log: RawLog, archive: SegmentDirectory, report: Report) -> Archived:
    """Seal every full segment behind the last one. The newest events, less than a segment, stay in the log alone.

    Raises InvalidInput if the directory is not the archive of this log.
    """
    with _locked(archive):
        state = await log.state()
        await _belongs(archive, state)
        await archive.discard(state.archived)
        previous, done, sealed = state.archived_digest, state.archived, 0
        async with log.writing() as send:
            async for entries in chunks(_intact(log, archive, state)):
                if entries[-1][0] == state.last and len(entries) < segment.EVENTS_MAX:
                    break  # not full: it is sealed when it is
                name, digest = await archive.write(entries, log_id=state.log_id, previous=previous)
                await archive.read(name)
                first, last = entries[0][0].sequence, entries[-1][0].sequence
                done = await send(archive_calls.archived(log.keys, name, first, last, previous, digest))
                previous, sealed = digest, sealed + 1
                report(done, state.last.sequence)
        return Archived(done, state.trimmed, sealed)


async def trim(log: RawLog, archive: SegmentDirectory, applied: Position) -> Archived:
    """Remove entries from the log that are archived and that every read model applied; the last entry stays.

    Raises SegmentDamaged, and trims nothing, if a segment is not the one that was recorded.
    """
    with _locked(archive):
        state = await log.state()
        await _belongs(archive, state)
        through = min(state.archived, applied.sequence, state.last.sequence - 1)
        if through <= state.trimmed:
            return Archived(state.archived, state.trimmed, 0)
        for name, digest in (await log.recorded_segments()).items():
            known = range_of(name)
            if known is None or known[0] > through or known[1] <= state.trimmed:
                continue
            if (await archive.read(name)).digest != digest:
                raise SegmentDamaged(name, "is not the one that the log's server recorded")
        async with log.writing() as send:
            removed = await send(archive_calls.trim(log.keys, through))
        return Archived(state.archived, through, removed)


@contextmanager
def _locked(archive: SegmentDirectory) -> Iterator[None]:
    lock = DirectoryLock(archive.path)
    try:
        lock.acquire()
        yield
    finally:
        lock.release()


async def _belongs(archive: SegmentDirectory, state: LogState) -> None:
    if not state.archived:
        return
    held = [
        name for name in await archive.names() if (known := range_of(name)) and known[1] == state.archived
    ]
    if not held or (await archive.read(held[0])).digest != state.archived_digest:
        message = (
            f"'{archive.path}' does not hold the segment that ends at {state.archived}, where the archive ends. "
            "Use the archive of this log, or put its segments back from a backup."
        )
        raise InvalidInput(message)


async def _intact(log: RawLog, archive: SegmentDirectory, state: LogState) -> AsyncIterator[list[Entry]]:
    """What is not archived yet. Raises RecordDamaged: a damaged record is never sealed."""
    async for page in stored_entries(log, archive, state.last.sequence, state.archived):
        for item in page:
            calls.entry(item)
        yield [(calls.position_of(entry_id), fields[1]) for entry_id, fields in page]
