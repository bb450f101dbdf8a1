"""Appending and reading: versions, idempotency, limits, order."""

import asyncio
from uuid import UUID, uuid4

import pytest

from domain.errors import HistoryChanged, IdempotencyMismatch, InvalidInput, LimitExceeded, VersionConflict
from domain.recorded import START, Append, Appended, Envelope, IdempotencyClaim, Position
from infra.redis import calls, group_commit
from infra.redis.record import ChecksumMismatch, RecordDamaged
from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer
from tests.infra.redis.faults import admin
from tests.infra.redis.notes import append_of, event

pytestmark = pytest.mark.anyio

CLAIM = IdempotencyClaim("aa11", "bb22")


@pytest.fixture
def valkey_server(log_server: ValkeyServer) -> ValkeyServer:
    """Each server in turn: what the store promises holds on all of them."""
    return log_server


async def appended_texts(store: RedisEventStore, *texts: str) -> UUID:
    """A new note with these texts, one event each."""
    note_id = uuid4()
    await store.append(append_of(note_id, 0, *texts))
    return note_id


async def test_positions_are_gapless_from_one(store: RedisEventStore) -> None:
    """Each event gets the next sequence number, within an append and across aggregates."""
    assert await store.head() == START
    first, second = uuid4(), uuid4()
    assert (await store.append(append_of(first, 0, "a", "b", "c"))).position.sequence == 3
    appended = await store.append(append_of(second, 0, "d"))
    assert (appended.position.sequence, appended.aggregate_id, appended.version) == (4, second, 1)
    assert await store.head() == appended.position
    events = await store.read(START, limit=10)
    assert [(e.position.sequence, e.aggregate_id, e.version) for e in events] == [
        (1, first, 1),
        (2, first, 2),
        (3, first, 3),
        (4, second, 1),
    ]


async def test_what_is_read_is_what_was_appended(store: RedisEventStore) -> None:
    """Event, envelope and name come back; the server adds its time, which never falls."""
    note_id = uuid4()
    envelope = Envelope(namespace="acme", actor="key:1", reason="because", traceparent="00-aa-bb-01")
    await store.append(append_of(note_id, 0, "one", "two", envelope=envelope))
    await store.append(append_of(note_id, 2, "three", envelope=envelope))
    loaded = await store.load(note_id)
    assert [e.event for e in loaded] == [
        event(note_id, number, text) for number, text in enumerate(("one", "two", "three"), 1)
    ]
    assert {e.envelope for e in loaded} == {envelope}
    assert [e.name for e in loaded] == ["test.note-created", "test.note-changed", "test.note-changed"]
    times = [e.recorded_at_us for e in loaded]
    assert times == sorted(times)
    assert len({e.event_id for e in loaded}) == 3
    assert await store.read(START, limit=10) == loaded


async def test_an_append_needs_the_present_version(store: RedisEventStore) -> None:
    """The error says both versions, and nothing is written."""
    note_id = await appended_texts(store, "a", "b")
    for stale in (0, 1, 3):
        with pytest.raises(VersionConflict) as conflict:
            await store.append(append_of(note_id, stale, "late"))
        assert (conflict.value.expected, conflict.value.actual) == (stale, 2)
    assert (await store.head()).sequence == 2


async def test_sixty_four_writers_of_one_version_have_one_winner(store: RedisEventStore) -> None:
    """Whatever rides one call, an expected version is true once; and each round rides few calls."""
    note_id = uuid4()
    for version in range(5):
        before = store.calls_sent
        outcomes = await asyncio.gather(
            *(store.append(append_of(note_id, version, f"writer {number}")) for number in range(64)),
            return_exceptions=True,
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, Appended)]
        losers = [outcome for outcome in outcomes if isinstance(outcome, VersionConflict)]
        assert (len(winners), len(losers)) == (1, 63)
        assert store.calls_sent - before <= 2
    assert [e.version for e in await store.load(note_id)] == [1, 2, 3, 4, 5]


async def test_a_retry_with_its_key_gets_the_first_result(store: RedisEventStore) -> None:
    """Even when the aggregate has moved on, which would be a conflict for a new request."""
    note_id = uuid4()
    first = await store.append(append_of(note_id, 0, "a", "b", claim=CLAIM))
    await store.append(append_of(note_id, 2, "c"))
    again = await store.append(append_of(note_id, 0, "a", "b", claim=CLAIM))
    assert again == Appended(first.position, note_id, 2, repeated=True)
    assert await store.recall(CLAIM) == again
    assert (await store.head()).sequence == 3


async def test_a_key_stands_for_one_request(store: RedisEventStore) -> None:
    """Another request under the same key is refused, when looked up and when appended."""
    await store.append(append_of(uuid4(), 0, claim=CLAIM))
    other = IdempotencyClaim(CLAIM.key_digest, "cc33")
    with pytest.raises(IdempotencyMismatch):
        await store.recall(other)
    with pytest.raises(IdempotencyMismatch):
        await store.append(append_of(uuid4(), 0, claim=other))
    assert await store.recall(IdempotencyClaim("dd44", "bb22")) is None
    assert (await store.head()).sequence == 1


async def test_the_same_key_twice_in_one_call_writes_once(store: RedisEventStore) -> None:
    """Two impatient clients ride one group; the second gets the first one's result."""
    note_id = uuid4()
    outcomes = await asyncio.gather(*(store.append(append_of(note_id, 0, claim=CLAIM)) for _ in range(8)))
    assert sorted(outcome.repeated for outcome in outcomes) == [False, *[True] * 7]
    assert len({outcome.position for outcome in outcomes}) == 1


async def test_a_key_is_kept_for_a_day(
    store: RedisEventStore, valkey_server: ValkeyServer, deployment: str
) -> None:
    """The server forgets it after 24 hours."""
    await store.append(append_of(uuid4(), 0, claim=CLAIM))
    async with admin(valkey_server.url) as client:
        left_s = await client.ttl(calls.Keys(deployment).claim(CLAIM))
    assert 86_000 < left_s <= 86_400


async def test_an_append_has_limits(store: RedisEventStore) -> None:
    """500 events and 1 MiB, refused before anything is sent; up to them it works."""
    with pytest.raises(LimitExceeded, match="has 501"):
        await store.append(append_of(uuid4(), 0, *["x"] * 501))
    with pytest.raises(LimitExceeded, match="1048576 bytes"):
        await store.append(append_of(uuid4(), 0, "x" * (1 << 20)))
    with pytest.raises(InvalidInput, match="at least one"):
        await store.append(Append(uuid4(), 0, [], Envelope()))
    note_id = uuid4()
    with pytest.raises(InvalidInput, match="expects version 1"):
        await store.append(Append(note_id, 0, [event(note_id, 2)], Envelope()))
    note_id = await appended_texts(store, *["x"] * 500)
    await store.append(append_of(note_id, 500, "x" * 1_000_000))
    assert len(await store.load(note_id)) == 501


async def test_the_function_refuses_what_the_client_should_have(
    store: RedisEventStore, valkey_server: ValkeyServer, deployment: str
) -> None:
    """The limits hold for any client: they bound how long a call may block the server."""
    keys, note_id = calls.Keys(deployment), uuid4()
    second = store._packed(append_of(note_id, 1)).records
    wrong = [calls.PackedAppend(note_id, 0, second, None)]
    async with admin(valkey_server.url) as client:
        with pytest.raises(Exception, match="CHRONICLE_ARGUMENTS"):
            await client.execute_command(*calls.append_many(keys, wrong))
        packed = [store._packed(append_of(uuid4(), 0)) for _ in range(501)]
        with pytest.raises(Exception, match="CHRONICLE_LIMIT"):
            await client.execute_command(*calls.append_many(keys, packed))
    assert await store.head() == START


async def test_a_full_queue_refuses_at_once(store: RedisEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-pressure is an error with its bound, not memory; what was taken is written."""
    monkeypatch.setattr(group_commit, "QUEUED_APPENDS_MAX", 10)
    outcomes = await asyncio.gather(
        *(store.append(append_of(uuid4(), 0)) for _ in range(50)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, LimitExceeded)]
    assert len(refused) == 40
    assert "at most 10" in str(refused[0])
    assert (await store.head()).sequence == 10
    assert store.queued == 0


async def test_a_caller_that_gives_up_while_waiting_writes_nothing(store: RedisEventStore) -> None:
    """What was not sent yet leaves the queue."""
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(store.append(append_of(uuid4(), 0)))
        waiting.cancel()
    doomed = asyncio.ensure_future(store.append(append_of(uuid4(), 0, "never")))
    kept = asyncio.ensure_future(store.append(append_of(uuid4(), 0, "kept")))
    loop = asyncio.get_running_loop()
    loop.call_soon(doomed.cancel)
    await asyncio.wait([doomed, kept])
    assert doomed.cancelled()
    assert (await kept).position == await store.head()
    texts = [getattr(e.event, "text", None) for e in await store.read(START, limit=10)]
    assert texts == ["kept"]


async def test_closing_sends_what_waits(valkey_server: ValkeyServer, deployment: str) -> None:
    """Leaving the context is a flush."""
    async with RedisEventStore(valkey_server.url, deployment) as store:
        waiting = [asyncio.ensure_future(store.append(append_of(uuid4(), 0))) for _ in range(20)]
        started = asyncio.Event()
        asyncio.get_running_loop().call_soon(started.set)
        await started.wait()
    results = await asyncio.gather(*waiting)
    assert sorted(result.position.sequence for result in results) == list(range(1, 21))


async def test_pages_join_without_overlap(store: RedisEventStore) -> None:
    """Forwards, backwards, with an end, and by version."""
    note_id = await appended_texts(store, *[str(number) for number in range(25)])
    position, seen = START, []
    while page := await store.read(position, limit=10):
        seen += [e.version for e in page]
        position = page[-1].position
    assert seen == list(range(1, 26))
    newest = await store.read_backwards(None, limit=10)
    older = await store.read_backwards(newest[-1].position, limit=100)
    assert [e.version for e in (*newest, *older)] == list(range(25, 0, -1))
    tenth = older[-10].position
    assert [e.version for e in await store.read(older[-5].position, limit=100, until=tenth)] == [
        6,
        7,
        8,
        9,
        10,
    ]
    assert await store.read(tenth, limit=5, until=older[-5].position) == []
    assert await store.read(START, limit=5, until=START) == []
    assert [e.version for e in await store.load(note_id, version_max=7)] == list(range(1, 8))
    assert await store.load(note_id, version_max=0) == []
    assert await store.load(uuid4()) == []


async def test_an_aggregate_of_many_and_large_events_is_loaded_in_pages(store: RedisEventStore) -> None:
    """A page ends after 500 events or about 1 MiB; the caller sees one sequence."""
    note_id = uuid4()
    version = 0
    for texts in (["x"] * 500, ["y" * 300_000] * 3, ["z" * 300_000] * 3, ["x"] * 300):
        version = (await store.append(append_of(note_id, version, *texts))).version
    assert [e.version for e in await store.load(note_id)] == list(range(1, 807))
    assert len(await store.load(note_id, version_max=502)) == 502


async def test_a_position_of_another_log_is_refused(store: RedisEventStore) -> None:
    """Beyond the head, or of another epoch: reading on would skip events in silence."""
    note_id = await appended_texts(store, "a", "b")
    head = await store.head()
    assert await store.read(head, limit=10) == []
    for wrong in (Position(3, head.epoch), Position(2, head.epoch - 1), Position(2, head.epoch + 1)):
        with pytest.raises(HistoryChanged, match=str(wrong)):
            await store.read(wrong, limit=10)
    assert len(await store.load(note_id)) == 2


async def test_a_damaged_record_is_named_and_not_returned(
    store: RedisEventStore, valkey_server: ValkeyServer, deployment: str
) -> None:
    """A flipped byte on the disk is loaded by the server without a word; the checksum finds it."""
    keys = calls.Keys(deployment)
    note_id = await appended_texts(store, "a", "b", "c")
    async with admin(valkey_server.url) as client:
        entries = await client.xrange(keys.log)
        entry_id, fields = entries[-1]
        value = bytearray(fields[b"e"])
        value[-20] ^= 1
        fields[b"e"] = bytes(value)
        await client.delete(keys.log)
        for written_id, written in entries:
            await client.xadd(keys.log, written, written_id)
    for reading in (store.load(note_id), store.read(START, limit=10), store.read_backwards(None, limit=1)):
        with pytest.raises(ChecksumMismatch, match=f"position {entry_id.decode()}"):
            await reading


async def test_a_missing_entry_is_named(
    store: RedisEventStore, valkey_server: ValkeyServer, deployment: str
) -> None:
    """A hole in the log is never read over."""
    note_id = await appended_texts(store, "a", "b", "c")
    async with admin(valkey_server.url) as client:
        log = calls.Keys(deployment).log
        await client.xdel(log, (await client.xrange(log, "2", "2"))[0][0])
    for reading in (store.load(note_id), store.read(START, limit=10)):
        with pytest.raises(RecordDamaged, match=r"position 2-0 is .*missing"):
            await reading


async def test_forgotten_functions_are_loaded_again(
    store: RedisEventStore, valkey_server: ValkeyServer
) -> None:
    """FUNCTION FLUSH costs one round trip, for appending and for loading."""
    note_id = await appended_texts(store, "a")
    async with admin(valkey_server.url) as client:
        await client.execute_command("FUNCTION", "FLUSH")
        await store.append(append_of(note_id, 1))
        await client.execute_command("FUNCTION", "FLUSH")
    assert len(await store.load(note_id)) == 2
