"""Reads of what was trimmed from the log: asked only where the log itself does not have an answer.

Nothing here is asked for a log that was never trimmed but one field of its meta, and that only where a read failed.
"""

from collections.abc import Sequence

from domain.errors import HistoryChanged
from domain.recorded import START, Position
from infra.redis import calls
from infra.redis.client import ReadingClient, read_call
from infra.redis.integrity import missing
from infra.redis.record import StoredRecord, unpack
from infra.redis.segment import Entry
from infra.redis.segments import SegmentDirectory


class ArchivedReads:
    """The archive of one log, as the store reads it. Raises SegmentDamaged where a segment is not whole."""

    def __init__(self, client: ReadingClient, keys: calls.Keys, archive: SegmentDirectory | None) -> None:
        self._client = client
        self._keys = keys
        self._archive = archive

    async def after(self, after: Position, limit: int, until: Position | None) -> list[StoredRecord] | None:
        """Up to `limit` records after a position, the last of them from the log again.

        None if the log itself should have what comes after the position. Raises HistoryChanged and RecordDamaged.
        """
        trimmed = await self._trimmed()
        if self._archive is None or not trimmed or after.sequence > trimmed:
            return None
        if after != START and (found := await self._archive.position(after.sequence)) != after:
            message = (
                f"Position {after} was read before, and the archive has {found} there. Read from the start."
            )
            raise HistoryChanged(message)
        last = trimmed if until is None else min(trimmed, until.sequence)
        entries = await self._archive.entries(after.sequence + 1, last, limit)
        if not entries and after.sequence < last:
            raise missing(after.sequence + 1, f"and no segment in '{self._archive.path}' holds it")
        records = [_unpacked(each) for each in entries if until is None or each[0] <= until]
        reached = records[-1].position.sequence if records else after.sequence
        if len(records) < limit and reached == trimmed and (until is None or until.sequence > trimmed):
            call = calls.read_on(self._keys, reached, limit - len(records), until)
            records += calls.gapless(reached + 1, await read_call(self._client, *call))
        return records

    async def before(self, sequence: int, limit: int) -> list[StoredRecord]:
        """Up to `limit` records before a sequence number, newest first; none if nothing was trimmed."""
        if self._archive is None or not await self._trimmed():
            return []
        first = max(1, sequence - limit)
        entries = await self._archive.entries(first, sequence - 1, limit)
        if len(entries) < sequence - first:
            raise missing(first + len(entries), f"and no segment in '{self._archive.path}' holds it")
        return [_unpacked(each) for each in reversed(entries)]

    async def events(self, sequences: Sequence[int]) -> dict[int, Entry]:
        """Those of the given entries that the archive holds."""
        found: dict[int, Entry] = {}
        if self._archive is not None:
            for sequence in sequences:
                found |= {
                    each[0].sequence: each for each in await self._archive.entries(sequence, sequence, 1)
                }
        return found

    async def _trimmed(self) -> int:
        return int(await read_call(self._client, "HGET", self._keys.meta, "trimmed") or 0)


def _unpacked(entry: Entry) -> StoredRecord:
    position, value = entry
    return unpack(value, position)
