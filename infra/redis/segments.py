"""A directory of segments: the archive of a log, or a backup of it. Files are written once and never changed.

Everything that touches the disk runs in a thread. A segment is complete on the disk, with its directory entry, before
`write` returns; what a crash leaves half-written has another name and is ignored.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio.to_thread

from domain.recorded import Position
from infra.redis import segment
from infra.redis.durable_file import write_durably
from infra.redis.segment import Entry, Segment, SegmentDamaged

CACHED_SEGMENTS_MAX = 4
"""Segments that a directory keeps in memory, the one used longest ago is dropped."""


class SegmentDirectory:
    """The segments in one directory, in the order of the log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cached: OrderedDict[str, Segment] = OrderedDict()
        self._ranges: list[tuple[tuple[int, int], str]] = []

    async def names(self) -> list[str]:
        """The names of all segments in order; empty if the directory is not there."""
        found = await anyio.to_thread.run_sync(lambda: [path.name for path in self.path.glob("*.segment")])
        return sorted(name for name in found if segment.range_of(name) is not None)

    async def write(self, entries: Sequence[Entry], *, log_id: str, previous: str) -> tuple[str, str]:
        """Seal entries after the segment of that digest. Answers the new segment's name and digest."""
        name = segment.segment_name(entries[0][0].sequence, entries[-1][0].sequence)
        content = await anyio.to_thread.run_sync(
            lambda: segment.encode(entries, log_id=log_id, previous=previous)
        )
        await anyio.to_thread.run_sync(write_durably, self.path / name, content)
        return name, segment.digest_of(content)

    async def read(self, name: str) -> Segment:
        """A segment by name. Raises SegmentDamaged, also where the file is missing."""
        if name in self._cached:
            self._cached.move_to_end(name)
            return self._cached[name]
        try:
            found = await anyio.to_thread.run_sync(
                lambda: segment.decode(name, (self.path / name).read_bytes())
            )
        except OSError as error:
            raise SegmentDamaged(name, f"cannot be read from '{self.path}' ({error})") from error
        self._cached[name] = found
        while len(self._cached) > CACHED_SEGMENTS_MAX:
            self._cached.popitem(last=False)
        return found

    async def chain(self, until: int | None = None) -> AsyncIterator[Segment]:
        """Every segment from the first event on, up to one that holds `until`. Raises SegmentDamaged."""
        before: Segment | None = None
        for name in await self.names():
            found = await self.read(name)
            expected = (1, "") if before is None else (before.last.sequence + 1, before.digest)
            if (found.first.sequence, found.previous) != expected:
                raise SegmentDamaged(name, "does not follow the segment before it")
            if before is not None and found.log_id != before.log_id:
                raise SegmentDamaged(name, "is of another log than the segment before it")
            yield found
            before = found
            if until is not None and found.last.sequence >= until:
                return

    async def entries(self, first: int, last: int, limit: int) -> list[Entry]:
        """Up to `limit` entries of a range of sequences, as many as there are from its beginning on."""
        found: list[Entry] = []
        if not self._ranges or self._ranges[-1][0][1] < first:
            self._ranges = [(known, name) for name in await self.names() if (known := segment.range_of(name))]
        at = bisect_left(self._ranges, first, key=lambda each: each[0][1])
        for (start, _), name in self._ranges[at:]:
            wanted = first + len(found)
            if start > wanted or wanted > last or len(found) >= limit:
                break
            held = (await self.read(name)).entries
            found += held[wanted - start : min(last - start + 1, wanted - start + limit - len(found))]
        return found

    async def discard(self, after: int) -> None:
        """Remove segments that begin after a sequence: sealed, and never recorded. The caller holds the lock."""
        for name in await self.names():
            known = segment.range_of(name)
            if known is not None and known[0] > after:
                await anyio.to_thread.run_sync((self.path / name).unlink)
        self._ranges, self._cached = [], OrderedDict()

    async def position(self, sequence: int) -> Position | None:
        """The position of a sequence number, None if no segment holds it."""
        found = await self.entries(sequence, sequence, 1)
        return found[0][0] if found else None


async def chunks(pages: AsyncIterator[list[Entry]]) -> AsyncIterator[list[Entry]]:
    """Pages as the contents of segments: as many events as fit, the last one what is left."""
    held: list[Entry] = []
    size = 0
    async for page in pages:
        for entry in page:
            length = segment.ENTRY_OVERHEAD + len(entry[1])
            if held and (len(held) == segment.EVENTS_MAX or size + length > segment.BYTES_MAX):
                yield held
                held, size = [], 0
            held.append(entry)
            size += length
    if held:
        yield held
