"""Subscribing: past events, then live ones, each once and in order, through restarts and for slow readers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from domain.errors import HistoryChanged
from domain.recorded import START, Position, RecordedEvent
from infra.redis import calls, feed
from infra.redis.client import ServerRefused
from infra.redis.record import RecordDamaged
from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer
from tests.infra.redis.faults import admin, killed
from tests.infra.redis.notes import append_of

pytestmark = pytest.mark.anyio


async def sequences_until(batches: AsyncIterator[Sequence[RecordedEvent]], last: int) -> list[int]:
    """The sequence numbers that arrive, up to and including `last`."""
    seen: list[int] = []
    async for batch in batches:
        seen += [event.position.sequence for event in batch]
        if seen and seen[-1] >= last:
            break
    return seen


async def append_notes(store: RedisEventStore, count: int) -> None:
    """As many new notes, each with one event."""
    await asyncio.gather(*(store.append(append_of(uuid4(), 0)) for _ in range(count)))


async def test_past_events_come_first_then_an_empty_batch_then_live_ones(store: RedisEventStore) -> None:
    """The empty batch says once that the head of the start was reached."""
    await append_notes(store, 600)
    async with store.subscribe(START) as batches:
        past: list[int] = []
        while batch := await anext(batches):
            past += [event.position.sequence for event in batch]
        assert past == list(range(1, 601))
        for number in range(601, 604):
            appended = await store.append(append_of(uuid4(), 0))
            live = await anext(batches)
            assert [event.position for event in live] == [appended.position]
            assert live[0].position.sequence == number


async def test_an_empty_log_is_caught_up_at_once(store: RedisEventStore) -> None:
    """There is nothing to wait for before saying so."""
    async with store.subscribe(START) as batches:
        assert await anext(batches) == []
        await append_notes(store, 1)
        assert len(await anext(batches)) == 1


async def test_a_subscription_resumes_after_any_position(store: RedisEventStore) -> None:
    """Nothing is repeated and nothing is left out, wherever the reader stopped."""
    await append_notes(store, 30)
    events = await store.read(START, limit=100)
    for event in events:
        async with store.subscribe(event.position) as batches:
            assert await sequences_until_caught_up(batches) == list(range(event.position.sequence + 1, 31))


async def sequences_until_caught_up(batches: AsyncIterator[Sequence[RecordedEvent]]) -> list[int]:
    """The sequence numbers before the empty batch."""
    seen: list[int] = []
    while batch := await anext(batches):
        seen += [event.position.sequence for event in batch]
    return seen


async def test_a_position_of_another_history_is_refused(store: RedisEventStore) -> None:
    """XREAD would wait in silence after a position that the log never had."""
    await append_notes(store, 3)
    head = await store.head()
    for wrong in (Position(4, head.epoch), Position(3, head.epoch - 1), Position(2, head.epoch + 1)):
        with pytest.raises(HistoryChanged):
            async with store.subscribe(wrong) as batches:
                await anext(batches)


async def test_many_subscribers_share_one_reader(
    store: RedisEventStore, valkey_server: ValkeyServer, deployment: str
) -> None:
    """Twenty subscribers see every event, and the server sees one blocked client for all of them."""
    async with asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(subscribed_until(store, 200)) for _ in range(20)]
        await append_notes(store, 200)
    assert [reader.result() for reader in readers] == [list(range(1, 201))] * 20
    async with admin(valkey_server.url) as client:
        names = [entry["name"] for entry in await client.client_list()]
    assert names.count("chronicle-feed") == 1


async def subscribed_until(store: RedisEventStore, last: int) -> list[int]:
    """What a subscriber from the start sees."""
    async with store.subscribe(START) as batches:
        return await sequences_until(batches, last)


async def test_a_slow_reader_loses_nothing_and_costs_no_memory(
    store: RedisEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the ring has moved on, the reader goes on with pages of the log."""
    monkeypatch.setattr(feed, "RING_EVENTS_MAX", 10)
    async with store.subscribe(START) as slow, store.subscribe(START) as fast:
        assert await anext(slow) == []
        assert await anext(fast) == []
        await append_notes(store, 1000)
        assert await sequences_until(fast, 1000) == list(range(1, 1001))
        assert len(store._feed._ring) <= 10
        assert await sequences_until(slow, 1000) == list(range(1, 1001))


async def test_the_ring_is_bounded_in_bytes(store: RedisEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few large events may not fill the memory either."""
    monkeypatch.setattr(feed, "RING_BYTES_MAX", 10_000)
    async with store.subscribe(START) as batches:
        for _ in range(10):
            await store.append(append_of(uuid4(), 0, "x" * 4000))
        assert await sequences_until(batches, 10) == list(range(1, 11))
        assert store._feed._ring_bytes <= 10_000


async def test_a_subscription_outlives_restarts_of_the_server(tmp_path: Path, deployment: str) -> None:
    """The server is killed five times while events are appended; the subscriber sees each event once, in order."""
    async with (
        ValkeyServer(tmp_path, "log", persistent=True) as server,
        RedisEventStore(server.url, deployment) as store,
        store.subscribe(START) as batches,
    ):
        seen: list[int] = []
        for round_number in range(1, 6):
            for _ in range(20):
                await store.append(append_of(uuid4(), 0))
            seen += await sequences_until(batches, round_number * 20)
            await killed(server)
        await store.append(append_of(uuid4(), 0))
        seen += await sequences_until(batches, 101)
        assert seen == list(range(1, 102))
        epochs = {event.position.epoch for event in await store.read(START, limit=200)}
        assert len(epochs) >= 2


async def test_a_subscriber_learns_that_history_changed(
    store: RedisEventStore, valkey_server: ValkeyServer, deployment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is replaced under a waiting subscriber: it gets an error, not silence."""
    monkeypatch.setattr(feed, "BLOCK_S", 0.05)
    await append_notes(store, 5)
    async with store.subscribe(START) as batches:
        assert len(await anext(batches)) == 5
        assert await anext(batches) == []
        async with admin(valkey_server.url) as client:
            await client.delete(calls.Keys(deployment).log)
        with pytest.raises(HistoryChanged):
            await anext(batches)


async def test_a_damaged_record_stops_its_subscriber_by_name(
    store: RedisEventStore, valkey_server: ValkeyServer, deployment: str
) -> None:
    """What is not a record is never passed on, and later subscribers behind it still get live events."""
    async with store.subscribe(START) as batches:
        assert await anext(batches) == []
        async with admin(valkey_server.url) as client:
            await client.xadd(calls.Keys(deployment).log, {"e": b"rubbish"}, "1-1")
        with pytest.raises(RecordDamaged, match="position 1-1 is cut short"):
            await anext(batches)


async def test_leaving_a_waiting_subscription_ends_it(store: RedisEventStore) -> None:
    """A reader that is cancelled while it waits leaves nothing behind, and the store goes on."""
    waiting = asyncio.ensure_future(subscribed_until(store, 1))
    async with store.subscribe(START) as batches:
        assert await anext(batches) == []
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await append_notes(store, 1)
        assert len(await anext(batches)) == 1


async def test_what_the_server_will_never_do_is_not_asked_for_ever(store: RedisEventStore) -> None:
    """A subscription waits out a server that starts, and no refusal that would be the same each time."""
    async with asyncio.timeout(10):
        with pytest.raises(ServerRefused, match="Invalid stream ID"):
            async with store.subscribe(Position(10**20, 0)) as batches:
                await anext(batches)
