"""Restoring: a backup or an export into an empty log, with the same positions, times and bytes.

The whole source is checked before anything is written. A restore that was interrupted is gone on with by the same
restore again; until it is finished nobody can append to the log. The next start raises the epoch, so whoever read what
followed the backup notices that the history changed.
"""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Protocol

import anyio.to_thread
import orjson

from domain.errors import InvalidInput
from domain.recorded import START, Position
from infra.redis import archive_calls, ndjson, record
from infra.redis.backup import MANIFEST, BackedUp
from infra.redis.integrity import LogCheck
from infra.redis.raw_log import RawLog
from infra.redis.segment import Entry, SegmentDamaged
from infra.redis.segments import SegmentDirectory
from infra.redis.stored import as_answered, checked
from infra.redis.verify import Report

LINES_PER_PAGE = 500


class Source(Protocol):
    """What is restored. `token` (the same for the same content), `log_id` and `last` are known once it was read."""

    token: str
    log_id: str
    last: Position

    def pages(self) -> AsyncIterator[list[Entry]]:
        """All entries in order. Raises InvalidInput or SegmentDamaged."""
        ...


class BackupDirectory:
    """A directory that `backup` made."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.token = self.log_id = ""
        self.last = START

    async def pages(self) -> AsyncIterator[list[Entry]]:
        manifest = self._directory / MANIFEST
        try:
            value = orjson.loads(await anyio.to_thread.run_sync(manifest.read_bytes))
            self.token, self.log_id = str(value["digest"]), str(value["log_id"])
            self.last = Position.parse(value["position"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"'{self._directory}' is no complete backup: its {MANIFEST} cannot be read ({error})."
            raise InvalidInput(message) from error
        digest = ""
        async for segment in SegmentDirectory(self._directory).chain():
            digest = segment.digest
            if segment.log_id != self.log_id:
                raise SegmentDamaged(segment.name, "is of another log than the backup")
            yield list(segment.entries)
        if digest != self.token:
            raise InvalidInput(
                f"The segments in '{self._directory}' are not those that its {MANIFEST} names."
            )


class ExportFile:
    """A file that `export` made."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.token = self.log_id = ""
        self.last = START

    async def pages(self) -> AsyncIterator[list[Entry]]:
        digest, number, end = hashlib.sha256(), 0, None
        try:
            with self._file.open("rb") as file:
                while lines := await anyio.to_thread.run_sync(_lines, file):
                    page: list[Entry] = []
                    for line in lines:
                        number += 1
                        digest.update(line)
                        value = ndjson.parsed(line, number)
                        if number == 1:
                            self.log_id = str(value.get("log_id", ""))
                        elif end is not None:
                            raise InvalidInput(f"Line {number} of the export follows its last line.")
                        elif "events" in value:
                            end = value
                        else:
                            page.append(ndjson.entry_of(value, number))
                    if page:
                        yield page
        except OSError as error:
            raise InvalidInput(f"'{self._file}' cannot be read: {error.strerror}.") from error
        if end is None:
            raise InvalidInput(f"'{self._file}' is cut short: its last line does not say where the log ends.")
        self.token, self.last = digest.hexdigest(), Position.parse(str(end.get("position")))


def _lines(file: IO[bytes]) -> list[bytes]:
    return list(islice(iter(lambda: file.readline(ndjson.LINE_BYTES_MAX), b""), LINES_PER_PAGE))


async def restore(log: RawLog, source: Source, report: Report) -> BackedUp:
    """Write everything of the source into the log. Raises InvalidInput if the log is not empty."""
    found = await _checked(source)
    keys, done = log.keys, 0
    async with log.writing() as send:
        done = await send(archive_calls.restore_begin(keys, source.token))
        async for page in source.pages():
            rest = [entry for entry in page if entry[0].sequence > done]
            for entries in archive_calls.batches(rest):
                done = await send(archive_calls.restore_entries(keys, source.token, entries))
            report(done, found.events)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        await send(archive_calls.restore_end(keys, source.token, found.position, source.log_id, at))
    return found


async def _checked(source: Source) -> BackedUp:
    check, last = LogCheck(), b""
    async for page in source.pages():
        last = checked(check, as_answered(page))[-1][1]
    if check.position != source.last or not check.events:
        raise InvalidInput(
            f"The backup ends at {check.position} and should end at {source.last}. Use another one."
        )
    return BackedUp(check.position, record.content_hash(last), check.events)
