"""Backups: a directory of segments with the whole log, or an export as lines of JSON; made beside a running program.

Every event is checked while it is copied, so a damaged log makes no backup. A backup is complete once its manifest is
there, which is written last.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import orjson

from domain.errors import InvalidInput
from domain.recorded import Position
from infra.redis import ndjson, record
from infra.redis.durable_file import write_durably
from infra.redis.integrity import LogCheck
from infra.redis.raw_log import RawLog
from infra.redis.segment import Entry
from infra.redis.segments import SegmentDirectory, chunks
from infra.redis.stored import checked, stored_entries
from infra.redis.verify import Report

MANIFEST = "backup.json"


@dataclass(frozen=True, slots=True)
class BackedUp:
    """How far a backup reaches: its last position, the content hash there, and the number of events."""

    position: Position
    content_hash: str
    events: int


async def backup(log: RawLog, archive: SegmentDirectory, directory: Path, report: Report) -> BackedUp:
    """Copy the log, up to the head of now, into an empty directory. Raises InvalidInput if it is not empty."""
    if await anyio.Path(directory).exists() and [each async for each in anyio.Path(directory).iterdir()]:
        raise InvalidInput(f"'{directory}' is not empty. Name a directory that is, or that is not there yet.")
    state = await log.state()
    if not state.last.sequence:
        raise InvalidInput("The log holds no event: there is nothing to back up.")
    target, previous, content_hash, events = SegmentDirectory(directory), "", "", 0
    async for entries in chunks(_whole(log, archive, state.last.sequence)):
        _, previous = await target.write(entries, log_id=state.log_id, previous=previous)
        content_hash = record.content_hash(entries[-1][1])
        events += len(entries)
        report(events, state.last.sequence)
    manifest = {
        "format": 1,
        "log_id": state.log_id,
        "position": str(state.last),
        "content_hash": content_hash,
        "digest": previous,
    }
    content = orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n"
    await anyio.to_thread.run_sync(write_durably, directory / MANIFEST, content)
    return BackedUp(state.last, content_hash, events)


async def export(log: RawLog, archive: SegmentDirectory, file: Path, report: Report) -> BackedUp:
    """Write the log, up to the head of now, as lines of JSON. Raises InvalidInput if the file is there."""
    state = await log.state()
    content_hash, events = "", 0
    try:
        # Opened for creating alone, so nothing is overwritten.
        async with await anyio.open_file(file, "xb") as out:
            await out.write(ndjson.first_line(state.log_id))
            async for entries in _whole(log, archive, state.last.sequence):
                await out.write(b"".join(map(ndjson.event_line, entries)))
                content_hash = record.content_hash(entries[-1][1])
                events += len(entries)
                report(events, state.last.sequence)
            await out.write(ndjson.last_line(events, state.last))
    except OSError as error:
        raise InvalidInput(f"'{file}' cannot be written: {error.strerror}.") from error
    return BackedUp(state.last, content_hash, events)


async def _whole(log: RawLog, archive: SegmentDirectory, until: int) -> AsyncIterator[list[Entry]]:
    check = LogCheck()
    async for page in stored_entries(log, archive, until):
        yield checked(check, page)
