"""A projector loses nothing and repeats nothing, whatever happens to it, to its store and to the log."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest

from domain.errors import Unavailable
from domain.recorded import Append, Envelope, Position
from infra.embedded.sqlite_store import open_sqlite_store
from infra.embedded.tantivy_store import open_tantivy_store
from infra.redis.store import RedisEventStore
from projections.documents import ReadModel
from projections.fulltext import FULLTEXT
from projections.metadata import METADATA
from projections.ports import DocumentStore, EventLog
from projections.projector import Projector
from projections.verify import verify
from tests.projections.conftest import RememberedMetrics
from tests.projections.contract import Opener
from tests.projections.log import MemoryLog, new_tool, registered, trigger

WAIT_S = 20.0


@asynccontextmanager
async def running(projector: Projector) -> AsyncIterator[Projector]:
    """The projector's task, cancelled at the end as by a kill: without any farewell."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(projector.run)
        yield projector
        tasks.cancel_scope.cancel()


async def append_lives(store: RedisEventStore, prefix: str, count: int) -> Position:
    """Register, disable and enable `count` tools, interleaved; the last position."""
    states = [new_tool(f"{prefix}{number}") for number in range(count)]
    for step in (None, "Disabled", "Enabled"):
        async with anyio.create_task_group() as tasks:
            for state in states:
                if step:
                    trigger(state, step)
                events: Any = state.collect_events()
                expected = events[0].originator_version - 1
                tasks.start_soon(store.append, Append(state.id, expected, events, Envelope(actor="a")))
    return await store.head()


async def differences(log: EventLog, read_model: ReadModel, store: DocumentStore) -> list[Any]:
    """What the verification says."""
    return [each async for found in verify(log, [(read_model, store)]) for each in found.differences]


@pytest.fixture(params=["metadata", "fulltext"])
def read_model(request: pytest.FixtureRequest) -> ReadModel:
    """Both read models."""
    return METADATA if request.param == "metadata" else FULLTEXT


@pytest.fixture
def opener(read_model: ReadModel, tmp_path: Path) -> Opener:
    """Its embedded store."""
    return lambda: (open_sqlite_store if read_model is METADATA else open_tantivy_store)(tmp_path, 1)


async def test_it_follows_the_log(
    event_store: RedisEventStore, read_model: ReadModel, opener: Opener, metrics: RememberedMetrics
) -> None:
    """Past events first, then each new one; the store holds what the log says."""
    past = await append_lives(event_store, "a", 40)
    async with opener() as store, running(Projector(event_store, read_model, store, metrics)) as projector:
        await projector.progress.wait_for(past, WAIT_S)
        new = await append_lives(event_store, "b", 3)
        await projector.progress.wait_for(new, WAIT_S)
        assert metrics.last == await store.checkpoint() == new
        assert len([document async for document in store.scan()]) == 43
        assert await differences(event_store, read_model, store) == []
        assert metrics.failures == 0


class Faulty:
    """A real store that does what a test says at some writes."""

    def __init__(self, store: Any, before: Callable[[int], Any], after: Callable[[int], Any]) -> None:
        self._store = store
        self._before = before
        self._after = after
        self.writes = 0

    async def write(self, documents: Sequence[Mapping[str, Any]], checkpoint: Position) -> None:
        """The real write, with faults around it."""
        self.writes += 1
        await self._before(self.writes)
        await self._store.write(documents, checkpoint)
        await self._after(self.writes)

    async def checkpoint(self) -> Position:
        return Position(*(await self._store.checkpoint()))

    async def reached(self) -> Position:
        return await self._store.reached()

    async def fetch(self, ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, Any]]:
        found: Mapping[UUID, Mapping[str, Any]] = await self._store.fetch(ids)
        return found

    def scan(self) -> AsyncIterator[Mapping[str, Any]]:
        found: AsyncIterator[Mapping[str, Any]] = self._store.scan()
        return found

    async def reset(self) -> None:
        await self._store.reset()


async def nothing(_write: int) -> None:
    """No fault."""


def fails_at(*writes: int) -> Callable[[int], Any]:
    """The store does not answer at these writes."""

    async def fault(write: int) -> None:
        if write in writes:
            raise Unavailable("The store is away.")

    return fault


async def test_it_comes_back_when_the_store_does(
    event_store: RedisEventStore, read_model: ReadModel, opener: Opener, metrics: RememberedMetrics
) -> None:
    """Failures before a write and after one (a lost answer) are counted; nothing is lost and nothing is twice."""
    end = await append_lives(event_store, "a", 100)
    async with opener() as store:
        faulty = Faulty(store, fails_at(1, 3), fails_at(2, 4))
        async with running(Projector(event_store, read_model, faulty, metrics)) as projector:
            await projector.progress.wait_for(end, WAIT_S)
        assert metrics.failures >= 3
        assert await differences(event_store, read_model, store) == []


@pytest.mark.parametrize("written", [False, True])
async def test_a_kill_in_the_middle_loses_nothing(
    event_store: RedisEventStore,
    read_model: ReadModel,
    opener: Opener,
    metrics: RememberedMetrics,
    written: bool,
) -> None:
    """Killed before or after its second write was stored, the next projector goes on from what is durable."""
    end = await append_lives(event_store, "a", 200)
    reached = anyio.Event()

    async def hang(write: int) -> None:
        if write == 2:
            reached.set()
            await anyio.sleep_forever()

    async with opener() as store:
        faulty = Faulty(store, nothing if written else hang, hang if written else nothing)
        async with running(Projector(event_store, read_model, faulty, metrics)):
            with anyio.fail_after(WAIT_S):
                await reached.wait()
    async with opener() as store:
        assert 0 < (await store.checkpoint()).sequence < end.sequence
        async with running(Projector(event_store, read_model, store, metrics)) as projector:
            await projector.progress.wait_for(end, WAIT_S)
        assert await differences(event_store, read_model, store) == []


async def test_a_changed_history_is_built_anew(
    read_model: ReadModel, opener: Opener, metrics: RememberedMetrics
) -> None:
    """What an acknowledged tail that was lost had brought does not stay."""
    log = MemoryLog()
    async with opener() as store, running(Projector(log, read_model, store, metrics)) as projector:
        await projector.progress.wait_for(log.append(*registered("lost", "kept")), WAIT_S)
        log.lose_history()
        await projector.progress.wait_for(log.append(*registered("kept", "new")), WAIT_S)
        keys = sorted([document["key"] async for document in store.scan()])
        assert keys == ["kept", "new"]
        assert await differences(log, read_model, store) == []


async def test_the_lag_is_told_while_the_store_is_away(tmp_path: Path) -> None:
    """Events and seconds since the first that waits."""
    log = MemoryLog()
    log.append(*registered("a", "b", "c"))
    told = anyio.Event()

    class Lag(RememberedMetrics):
        def lag(self, projection: str, events: int, seconds: float) -> None:
            super().lag(projection, events, seconds)
            told.set()

    async def away(_write: int) -> None:
        raise Unavailable("The store is away.")

    now = log.events[0].recorded_at_us / 1_000_000 + 90
    metrics = Lag()
    async with open_sqlite_store(tmp_path, 1) as store:
        faulty = Faulty(store, away, nothing)
        async with running(Projector(log, METADATA, faulty, metrics, now=lambda: now)):
            with anyio.fail_after(WAIT_S):
                await told.wait()
    [(events, seconds), *_] = metrics.lags
    assert events == 3
    assert seconds == pytest.approx(90)
