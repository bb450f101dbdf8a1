"""Clients of the event store under faults: they append, read, repeat, subscribe, and write everything down.

    async with under_load(server.url, "name", rng) as load:
        await load.acknowledged(100)
        ... break something, and mend it ...
    load.violations, load.history

Leaving the block ends the load, asks again for everything whose outcome is unknown, with the same keys, until it is
known, waits until the subscribers have everything, reads the whole log, and judges.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from hashlib import sha256
from time import monotonic_ns
from uuid import UUID

from domain.errors import (
    ChronicleError,
    HistoryChanged,
    LimitExceeded,
    OutcomeUnknown,
    Unavailable,
    VersionConflict,
)
from domain.recorded import START, Append, IdempotencyClaim, Position, RecordedEvent
from infra.redis.client import CALL_TIMEOUT_S
from infra.redis.record import RecordDamaged
from infra.redis.store import RedisEventStore
from tests.faults.history import Call, Delivery, Entry, History, Read, Violation, Wish, violations
from tests.infra.redis.notes import append_of

DEPLOYMENT = "faults"
WRITERS = 16
SUBSCRIBERS = 2
STORES = 2
SHARED_AGGREGATES = 3
EVENTS_PER_APPEND_MAX = 5
SHARED_VERSION_MAX = 40
GRANTED_KEPT = 50
LEAVING_SHARE = 0.01
PAUSE_S = 0.01
PROGRESS_TIMEOUT_S = 25.0


def mark_of(event: RecordedEvent) -> str:
    """What tells one event from every other."""
    return str(getattr(event.event, "text", None))


def append_for(wish: Wish) -> Append:
    """The same request every time that the wish is asked for."""
    digests = (sha256(text.encode()).hexdigest() for text in (wish.key, repr(wish)))
    return append_of(wish.aggregate, wish.expected, *wish.marks, claim=IdempotencyClaim(*digests))


async def ask(store: RedisEventStore, history: History, wish: Wish) -> Call:
    """Ask once, and write down what was told."""
    call = Call(wish, monotonic_ns())
    history.begin(call)
    try:
        appended = await store.append(append_for(wish))
    except OutcomeUnknown:
        call.outcome = "unknown"
    except VersionConflict:
        call.outcome = "conflict"
    except (Unavailable, LimitExceeded):
        call.outcome = "refused"
    else:
        call.outcome, call.place, call.version = "acknowledged", appended.position, appended.version
    call.ended = monotonic_ns()
    history.end(call)
    return call


async def insist(store: RedisEventStore, history: History, wish: Wish) -> Call:
    """Ask with the same key until the outcome is known. Raises TimeoutError if it takes too long."""
    async with asyncio.timeout(PROGRESS_TIMEOUT_S):
        while (call := await ask(store, history, wish)).outcome in {"unknown", "refused"}:  # noqa: ASYNC110 - asking is how it learns
            await asyncio.sleep(PAUSE_S)
    return call


async def whole_log(store: RedisEventStore) -> list[Entry]:
    """Every event."""
    entries: list[Entry] = []
    while page := await store.read(Position(*entries[-1].place) if entries else START, limit=1000):
        entries += [Entry(e.position, e.aggregate_id, e.version, mark_of(e)) for e in page]
    return entries


class Load:
    """The clients of one run. `run_on` runs them until its block is left."""

    def __init__(self, rng: random.Random, history: History | None = None) -> None:
        self.rng = rng
        self.history = history or History()
        self.log: list[Entry] = []
        self.violations: list[Violation] = []
        self._shared = [self.new_id() for _ in range(SHARED_AGGREGATES)]
        self._granted: deque[Wish] = deque(maxlen=GRANTED_KEPT)
        self._stop = asyncio.Event()
        self._acknowledged = 0

    def new_id(self) -> UUID:
        return UUID(int=self.rng.getrandbits(128))

    def wish(self, aggregate: UUID, expected: int, count: int = 1) -> Wish:
        """A new one, for so many events."""
        key = f"{self.rng.getrandbits(64):016x}"
        return Wish(key, aggregate, expected, tuple(f"{key}.{number}" for number in range(count)))

    @property
    def acknowledged_total(self) -> int:
        """How many wishes were granted, each counted once."""
        return len({call.wish.key for call in self.history.calls if call.outcome == "acknowledged"})

    async def acknowledged(self, more: int) -> None:
        """Wait until so many more are acknowledged. Raises TimeoutError if it takes too long."""
        target = self._acknowledged + more
        async with asyncio.timeout(PROGRESS_TIMEOUT_S):
            while self._acknowledged < target:  # noqa: ASYNC110 - the clients are outside, they announce nothing
                await asyncio.sleep(PAUSE_S)

    @asynccontextmanager
    async def run_on(self, stores: Sequence[RedisEventStore], *, subscribers: int) -> AsyncIterator[None]:
        """Run writers and subscribers, spread over the stores; at the end, subscribers have to have everything.

        A store that makes no more progress is a violation, and its log is judged all the same.
        """
        async with asyncio.TaskGroup() as readers:
            followers = [Follower(self.history, self.rng, self.violations) for _ in range(subscribers)]
            following = [
                readers.create_task(follower.run(stores[number % len(stores)]))
                for number, follower in enumerate(followers)
            ]
            async with asyncio.TaskGroup() as writers:
                for number in range(WRITERS):
                    writers.create_task(self._write(stores[number % len(stores)]))
                try:
                    yield
                except TimeoutError:
                    self.violations.append(
                        Violation("stuck", "the store made no more progress under the fault")
                    )
                finally:
                    self._stop.set()
            await self._resolve(stores[0])
            self.log = await whole_log(stores[0])
            await self._delivered(followers)
            for task in following:
                task.cancel()
        self.violations += violations(self.history, self.log)

    async def _resolve(self, store: RedisEventStore) -> None:
        """Ask for everything unknown, with its key, until it is known."""
        try:
            for wish in self.history.unresolved():
                await insist(store, self.history, wish)
        except TimeoutError:
            self.violations.append(Violation("stuck", "the store made no more progress after the fault"))

    async def _write(self, store: RedisEventStore) -> None:
        """Mostly appends to an aggregate of its own, to which nobody else does; now and then something nastier."""
        own, version = self.new_id(), 0
        while not self._stop.is_set():
            dice = self.rng.random()
            if dice < 0.05 and self._granted:
                await ask(store, self.history, self.rng.choice(self._granted))
                continue
            if dice < 0.1 and version:
                await ask(store, self.history, self.wish(own, self.rng.randrange(version)))
                continue
            if dice < 0.3:
                await self._write_shared(store)
                continue
            if dice < 0.35:
                await self._read(store, own)
            wish = self.wish(own, version, self.rng.randint(1, EVENTS_PER_APPEND_MAX))
            call = await self._asked(store, wish)
            if call.outcome == "acknowledged":
                version += len(wish.marks)
            elif call.outcome == "unknown":
                own, version = self.new_id(), 0

    async def _write_shared(self, store: RedisEventStore) -> None:
        number = self.rng.randrange(SHARED_AGGREGATES)
        aggregate = self._shared[number]
        version = await self._read(store, aggregate)
        if version is not None:
            if version > SHARED_VERSION_MAX:
                self._shared[number] = self.new_id()
            await self._asked(store, self.wish(aggregate, version))

    async def _asked(self, store: RedisEventStore, wish: Wish) -> Call:
        """Ask, and where the outcome is unknown ask again at once or leave it to the end, by chance."""
        call = await ask(store, self.history, wish)
        while call.outcome == "unknown" and self.rng.random() < 0.5:
            call = await ask(store, self.history, wish)
        if call.outcome == "acknowledged":
            self._acknowledged += 1
            self._granted.append(wish)
        elif call.outcome in {"refused", "unknown"}:
            await asyncio.sleep(PAUSE_S)
        return call

    async def _read(self, store: RedisEventStore, aggregate: UUID) -> int | None:
        invoked = monotonic_ns()
        try:
            events = await store.load(aggregate)
        except Unavailable:
            return None
        read = Read(aggregate, invoked, monotonic_ns(), tuple(mark_of(event) for event in events))
        self.history.reads.append(read)
        return len(events)

    async def _delivered(self, followers: Sequence["Follower"]) -> None:
        """Wait until every subscriber has the whole log; one that does not get there is judged by that."""
        end = self.log[-1].place if self.log else START
        for follower in followers:
            follower.delivery.until = end
        with suppress(TimeoutError):
            async with asyncio.timeout(PROGRESS_TIMEOUT_S / 3):
                while any(follower.delivery.last < end for follower in followers):  # noqa: ASYNC110 - outside too
                    await asyncio.sleep(PAUSE_S)


class Follower:
    """One subscriber, which now and then leaves and resumes from the last event that it has."""

    def __init__(self, history: History, rng: random.Random, problems: list[Violation]) -> None:
        self._history = history
        self._rng = rng
        self._problems = problems
        self.delivery = Delivery(START)

    async def run(self, store: RedisEventStore) -> None:
        """Until cancelled. A history that changed ends it, and is a violation."""
        try:
            await self._follow(store)
        except (HistoryChanged, RecordDamaged) as error:
            self._problems.append(Violation("subscription", str(error)))

    async def _follow(self, store: RedisEventStore) -> None:
        while True:
            self._history.deliveries.append(self.delivery)
            async with store.subscribe(Position(*self.delivery.last)) as batches:
                async for batch in batches:
                    self.delivery.seen += [(event.position, mark_of(event)) for event in batch]
                    if batch and self._rng.random() < LEAVING_SHARE:
                        break
            self.delivery = Delivery(self.delivery.last, until=self.delivery.until)


@asynccontextmanager
async def under_load(
    url: str, rng: random.Random, *, subscribers: int = SUBSCRIBERS, call_timeout_s: float = CALL_TIMEOUT_S
) -> AsyncIterator[Load]:
    """Load on the log behind `url`, from several stores as from several processes."""
    load = Load(rng)
    async with AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(RedisEventStore(url, DEPLOYMENT, call_timeout_s=call_timeout_s))
            for _ in range(STORES)
        ]
        async with load.run_on(stores, subscribers=subscribers):
            yield load


async def raised_by(awaitable: Awaitable[object]) -> ChronicleError | None:
    """The product's error that it ends with, None if it ends without one."""
    try:
        await awaitable
    except ChronicleError as error:
        return error
    return None
