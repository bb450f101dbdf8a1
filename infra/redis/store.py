"""The asynchronous event store: the port `commands.ports.EventStore` over one Redis or Valkey server.

    async with RedisEventStore(url, deployment="chronicle") as store:
        appended = await store.append(Append(...))
        async with store.subscribe(START) as batches:
            async for batch in batches: ...

Acknowledged means: the server has the events in its append-only file, and with `appendfsync always` on its disk.
Entering the context connects and checks the server, and refuses one that could lose events; after that a server that
restarts is found again, and checked again before anything is appended to it. Leaving the context sends what still
waits, then ends every task. Nothing here decides anything about the domain.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from time import perf_counter
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

from domain.errors import HistoryChanged, InvalidInput, Unavailable
from domain.recorded import START, Append, Appended, IdempotencyClaim, Position, RecordedEvent
from infra.redis import calls, record
from infra.redis.archived_reads import ArchivedReads
from infra.redis.checks import Durability, ServerRun, open_run
from infra.redis.client import (
    CALL_TIMEOUT_S,
    FUNCTION_MISSING,
    ServerRefused,
    Wire,
    read_call,
    reading_client,
)
from infra.redis.codec import EventCodec
from infra.redis.feed import BACKOFF_MAX_S, BACKOFF_MIN_S, BATCH_EVENTS_MAX, LiveFeed
from infra.redis.group_commit import GroupCommit
from infra.redis.record import RecordDamaged
from infra.redis.segments import SegmentDirectory
from infra.redis.watermark import Watermark, WatermarkFile, WatermarkWriter

PAGE_EVENTS_MAX = 1000
CLOSE_TIMEOUT_S = 10.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LogFiles:
    """What of a log lies in files of its own: the watermark, and the archive."""

    watermark: WatermarkFile | None = None
    archive: SegmentDirectory | None = None


class RedisEventStore:
    """The log of one deployment. Use it as an async context manager; one per process is enough.

    `url` is redis://, rediss:// or unix://. `deployment` names the log: all keys carry it as their hash tag.
    `acknowledged` is the last position known to have been acknowledged (START: none), for instance a checkpoint: a
    server whose log no longer has it, or what `files.watermark` says, is refused. What was trimmed from the log is read
    from `files.archive`. `new_id` makes event ids. `appended` is told of each append that was written: how many events,
    and the seconds until they were acknowledged.

    Entering raises UnsafeServer with what to change, or Unavailable.
    """

    def __init__(
        self,
        url: str,
        deployment: str,
        *,
        durability: Durability = Durability.ALWAYS,
        acknowledged: Position = START,
        files: LogFiles | None = None,
        call_timeout_s: float = CALL_TIMEOUT_S,
        new_id: Callable[[], UUID] = uuid4,
        appended: Callable[[int, float], None] | None = None,
    ) -> None:
        files = files or LogFiles()
        self._url = url
        self._keys = calls.Keys(deployment)
        self.durability = durability
        self._call_timeout_s = call_timeout_s
        self._new_id = new_id
        self._appended = appended
        self._codec = EventCodec()
        self._reads = reading_client(url)
        self._archive = ArchivedReads(self._reads, self._keys, files.archive)
        self._commits = GroupCommit(self._keys, lambda: self._wire("append"), self._open)
        self._feed = LiveFeed(self._keys, lambda: self._wire("feed"), self._codec)
        self._tasks = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []
        self._mark = Watermark(acknowledged)
        self._watermark = files.watermark
        self._marks = WatermarkWriter(files.watermark)
        self.server_run: ServerRun | None = None
        """The server run that appends go to, once it passed the checks."""

    @property
    def acknowledged(self) -> Position:
        """The last position that this process knows to be in the log for good."""
        return self._mark.position

    @property
    def queued(self) -> int:
        """How many appends wait to be sent."""
        return self._commits.queued

    @property
    def calls_sent(self) -> int:
        """How many append calls were sent, each with a group of appends."""
        return self._commits.calls_sent

    async def __aenter__(self) -> Self:
        try:
            if self._watermark is not None:
                kept = await self._watermark.read()
                if kept.position >= self.acknowledged:
                    self._mark = kept
            await self._commits.connect()
        except BaseException:
            await self._reads.aclose()
            raise
        await self._tasks.__aenter__()
        self._running = [
            self._tasks.create_task(self._commits.run(), name="event store: group commit"),
            self._tasks.create_task(self._feed.run(), name="event store: live feed"),
            self._tasks.create_task(self._marks.run(), name="event store: watermark"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._commits.close()
        commits, feed, marks = self._running
        feed.cancel()
        try:
            await asyncio.wait([commits], timeout=CLOSE_TIMEOUT_S)
        finally:
            commits.cancel()
            marks.cancel()
            try:
                # The body's own error passes by: a task group would wrap it.
                cancelled = isinstance(error, asyncio.CancelledError)
                await self._tasks.__aexit__(*((kind, error, trace) if cancelled else (None, None, None)))
            finally:
                await self._reads.aclose()
                await self._marks.close()

    async def append(self, append: Append) -> Appended:
        """Append all events of `append`, or none.

        Raises VersionConflict, IdempotencyMismatch, LimitExceeded, Unavailable (not written) and OutcomeUnknown
        (written once or not at all: retry with the same claim).
        """
        started = perf_counter()
        packed = self._packed(append)
        appended = await self._commits.append(packed)
        if appended.position > self.acknowledged:
            # A repeated append packed other bytes than the first one, so their hash would be wrong.
            found = "" if appended.repeated else record.packed_hash(packed.records[-1])
            self._mark = Watermark(appended.position, found)
            self._marks.tell(self._mark)
        if self._appended is not None and not appended.repeated:
            self._appended(len(append.events), perf_counter() - started)
        return appended

    async def recall(self, claim: IdempotencyClaim) -> Appended | None:
        """What an earlier append with this claim did, None if there was none. Raises IdempotencyMismatch."""
        reply = await read_call(self._reads, *calls.recall(self._keys, claim))
        return calls.recalled(claim, reply)

    async def load(self, aggregate_id: UUID, *, version_max: int | None = None) -> Sequence[RecordedEvent]:
        """The aggregate's events in order, up to and including `version_max`; empty if there are none."""
        events: list[RecordedEvent] = []
        while version_max is None or len(events) < version_max:
            wanted = calls.EVENTS_PER_CALL_MAX
            if version_max is not None:
                wanted = min(wanted, version_max - len(events))
            call = calls.load(self._keys, aggregate_id, len(events), wanted)
            reply = await self._function_call(call)
            version, page = calls.loaded(reply, await self._archive.events(calls.absent(reply)))
            page = calls.of_aggregate(aggregate_id, count(len(events) + 1), page)
            events += [self._codec.decode(stored) for stored in page]
            if not page or len(events) >= version:
                break
        return events

    async def read(
        self, after: Position, *, limit: int, until: Position | None = None
    ) -> Sequence[RecordedEvent]:
        """Up to `limit` (at most 1,000) events after a position, in order, up to and including `until`.

        Raises HistoryChanged if `after` is not of this log.
        """
        if until is not None and until <= after:
            until = after
        limit = min(limit, PAGE_EVENTS_MAX)
        reply = await read_call(self._reads, *calls.read(self._keys, after, limit, until))
        try:
            found = calls.records(after, reply)
        except (HistoryChanged, RecordDamaged):
            archived = await self._archive.after(after, limit, until)
            if archived is None:
                raise
            found = archived
        if not found and after == START:
            found = await self._archive.after(after, limit, until) or []
        return [self._codec.decode(stored) for stored in found]

    async def read_backwards(self, before: Position | None, *, limit: int) -> Sequence[RecordedEvent]:
        """Up to `limit` (at most 1,000) events before a position (None: from the end), newest first."""
        limit = min(limit, PAGE_EVENTS_MAX)
        reply = await read_call(self._reads, *calls.read_backwards(self._keys, before, limit))
        found = [calls.entry(item) for item in reply]
        lowest = found[-1].position if found else before
        if lowest is not None and len(found) < limit and lowest.sequence > 1:
            found += await self._archive.before(lowest.sequence, limit - len(found))
        return [self._codec.decode(stored) for stored in found]

    async def head(self) -> Position:
        """The position of the last event, START if there is none."""
        reply = await read_call(self._reads, *calls.read_backwards(self._keys, None, 1))
        return calls.position_of(reply[0][0]) if reply else START

    @asynccontextmanager
    async def subscribe(self, after: Position) -> AsyncIterator[AsyncIterator[Sequence[RecordedEvent]]]:
        """Batches of events after a position, past ones first, then each as it is appended.

        The iterator yields an empty batch once when it has caught up with the head that it saw at the start, survives
        restarts of the server, and raises HistoryChanged where the log is not the one that was read before. A slow
        reader is not cut off: it reads pages of the log until it is up to date again.
        """
        async with aclosing(self._batches(after)) as batches:
            yield batches

    async def _batches(self, after: Position) -> AsyncGenerator[Sequence[RecordedEvent], None]:
        generation = self._feed.generation
        batch: Sequence[RecordedEvent] | None = await self._page(after)
        target: Position | None = await _retried(self.head)
        while True:
            if batch:
                yield batch
                after = batch[-1].position
            if target is not None and after.sequence >= target.sequence:
                target = None
                yield []
            if generation != self._feed.generation:
                generation = self._feed.generation
                batch = await self._page(after)
                continue
            batch = self._feed.after(after)
            if batch is None:
                batch = await self._page(after)
            elif not batch:
                await self._feed.changed()

    async def _page(self, after: Position) -> Sequence[RecordedEvent]:
        return await _retried(lambda: self.read(after, limit=BATCH_EVENTS_MAX))

    async def _function_call(self, call: calls.Call) -> Any:
        try:
            return await read_call(self._reads, *call)
        except ServerRefused as error:
            if FUNCTION_MISSING not in str(error):
                raise
        # Somebody flushed the server's functions: load them again, once.
        async with self._wire("open") as wire:
            await wire.connect()
            await self._open(wire)
        return await read_call(self._reads, *call)

    def _wire(self, purpose: str) -> Wire:
        return Wire(self._url, call_timeout_s=self._call_timeout_s, name=f"chronicle-{purpose}")

    async def _open(self, wire: Wire) -> None:
        mark = self._mark
        run = await open_run(
            wire, self._keys, self.durability, mark.position, self._new_id(), mark.content_hash
        )
        if run.loss_accepted:
            self._mark = Watermark(run.head)
            self._marks.tell(self._mark)
        self.server_run = run

    def _packed(self, append: Append) -> calls.PackedAppend:
        if not append.events:
            raise InvalidInput("An append needs at least one event.")
        claim = append.idempotency
        if claim is not None and not (claim.key_digest.isalnum() and claim.request_digest.isalnum()):
            raise InvalidInput("An idempotency claim needs two digests of letters and digits.")
        records = []
        for version, event in enumerate(append.events, append.expected_version + 1):
            if event.originator_id != append.aggregate_id or event.originator_version != version:
                message = (
                    f"Event {type(event).__qualname__} is version {event.originator_version} of {event.originator_id}; "
                    f"this append expects version {version} of {append.aggregate_id}."
                )
                raise InvalidInput(message)
            name, state = self._codec.encode(event)
            packed = record.Record(self._new_id(), append.aggregate_id, version, name, append.envelope, state)
            records.append(record.pack(packed))
        return calls.PackedAppend(append.aggregate_id, append.expected_version, records, claim)


async def _retried(read: Callable[[], Awaitable[_T]]) -> _T:
    """A subscription outlives the server's restarts: read again until it answers. Raises what will not pass."""
    backoff = BACKOFF_MIN_S
    while True:
        try:
            return await read()
        except Unavailable as error:
            if isinstance(error, ServerRefused) and not error.passes:
                raise
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, BACKOFF_MAX_S)
