"""What a store checks before it appends: settings, functions, head and log, what was acknowledged, and the epoch."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.errors import Unavailable
from domain.recorded import START, Position
from infra.redis import calls
from infra.redis.checks import Durability, UnsafeServer
from infra.redis.client import ServerRefused
from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer
from tests.infra.redis.faults import admin, killed
from tests.infra.redis.notes import append_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    """A server that a test may kill and misconfigure."""
    async with ValkeyServer(tmp_path, "log", persistent=True) as started:
        yield started


async def configured(server: ValkeyServer, **settings: Any) -> None:
    """Change settings of the running server."""
    async with admin(server.url) as client:
        for name, value in settings.items():
            await client.config_set(name.replace("_", "-"), value)


async def test_the_epoch_rises_once_for_each_run_of_the_server(server: ValkeyServer) -> None:
    """Not for each client, and not for each connection."""
    async with RedisEventStore(server.url, "d") as first, RedisEventStore(server.url, "d") as second:
        epochs = [(await store.append(append_of(uuid4(), 0))).position.epoch for store in (first, second)]
        assert epochs[0] == epochs[1]
        await killed(server)
        positions = [(await store.append(append_of(uuid4(), 0))).position for store in (first, second)]
        assert positions[0].epoch == positions[1].epoch > epochs[0]
        assert [position.sequence for position in positions] == [3, 4]


async def test_a_lost_epoch_is_not_given_twice(server: ValkeyServer) -> None:
    """If the counter is lost together with the log's end, the next epoch is another one all the same."""
    async with RedisEventStore(server.url, "d") as store:
        before = (await store.append(append_of(uuid4(), 0))).position
    async with admin(server.url) as client:
        await client.flushall()
    async with RedisEventStore(server.url, "d") as store:
        after = (await store.append(append_of(uuid4(), 0))).position
    assert after.sequence == before.sequence
    assert after.epoch > before.epoch


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("appendonly", "no", "appendonly is 'no' and must be 'yes'"),
        (
            "appendfsync",
            "everysec",
            "appendfsync is 'everysec' and must be 'always'.*CHRONICLE_DURABILITY=everysec",
        ),
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy is 'allkeys-lru' and must be 'noeviction'"),
    ],
)
async def test_a_server_that_would_lose_events_is_refused(
    server: ValkeyServer, setting: str, value: str, words: str
) -> None:
    """The error names the setting, its value and the right one."""
    await configured(server, **{setting: value})
    with pytest.raises(UnsafeServer, match=words):
        async with RedisEventStore(server.url, "d"):
            pass


async def test_the_operator_may_accept_less(server: ValkeyServer) -> None:
    """`everysec` accepts that setting and nothing worse; `unverified` asks nothing."""
    await configured(server, appendfsync="everysec")
    async with RedisEventStore(server.url, "d", durability=Durability.EVERYSEC) as store:
        await store.append(append_of(uuid4(), 0))
    await configured(server, appendfsync="no")
    with pytest.raises(UnsafeServer, match="appendfsync is 'no'"):
        async with RedisEventStore(server.url, "d", durability=Durability.EVERYSEC):
            pass
    async with RedisEventStore(server.url, "d", durability=Durability.UNVERIFIED) as store:
        await store.append(append_of(uuid4(), 0))


async def test_settings_are_checked_again_when_the_server_came_back(server: ValkeyServer) -> None:
    """A server that restarts with other settings is not appended to."""
    async with RedisEventStore(server.url, "d") as store:
        await store.append(append_of(uuid4(), 0))
        await configured(server, maxmemory_policy="volatile-lru")
        async with admin(server.url) as client:
            await client.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(UnsafeServer, match="volatile-lru"):
            await store.append(append_of(uuid4(), 0))
        await configured(server, maxmemory_policy="noeviction")
        assert (await store.append(append_of(uuid4(), 0))).position.sequence == 2


async def test_functions_that_are_not_ours_are_refused(server: ValkeyServer) -> None:
    """A library under our name with other code is somebody's change."""
    library = calls.library()
    async with admin(server.url) as client:
        await client.function_load(library.code + "\n-- changed")
    with pytest.raises(UnsafeServer, match=f"FUNCTION DELETE {library.name}"):
        async with RedisEventStore(server.url, "d"):
            pass


async def test_old_and_new_programs_serve_side_by_side(server: ValkeyServer) -> None:
    """Another version's library has another name and other function names, and both stay loaded."""
    library = calls.library()
    other = library.code.replace(library.version, "0_0123456789abcdef")
    async with admin(server.url) as client:
        await client.function_load(other)
        async with RedisEventStore(server.url, "d") as store:
            await store.append(append_of(uuid4(), 0))
        assert len(await client.function_list()) == 2


async def test_an_unfinished_call_is_repaired_from_the_log(server: ValkeyServer) -> None:
    """The log is the truth: a head below its end is raised, and the entry gets into its aggregate's index."""
    keys, note_id = calls.Keys("d"), uuid4()
    async with RedisEventStore(server.url, "d") as store:
        await store.append(append_of(note_id, 0, "a", "b"))
        await store.append(append_of(note_id, 2, "c"))
        async with admin(server.url) as client:
            await client.set(keys.head, 2)
            await client.rpop(keys.index(note_id))
        appended = await store.append(append_of(note_id, 3, "d"))
        assert appended.position.sequence == 4
        assert [event.version for event in await store.load(note_id)] == [1, 2, 3, 4]


async def test_a_log_that_ends_too_early_is_refused(server: ValkeyServer) -> None:
    """Acknowledged events are gone: nobody may append over them."""
    keys = calls.Keys("d")
    async with RedisEventStore(server.url, "d") as store:
        await store.append(append_of(uuid4(), 0, "a", "b", "c"))
        async with admin(server.url) as client:
            await client.xdel(keys.log, str(await store.head()))
        with pytest.raises(UnsafeServer, match="log ends at 2 and 3 events were acknowledged"):
            await store.append(append_of(uuid4(), 0))
    with pytest.raises(UnsafeServer, match="log ends at 2 and 3 events"):
        async with RedisEventStore(server.url, "d"):
            pass


async def test_a_log_with_a_gap_is_refused(server: ValkeyServer) -> None:
    """An entry inside was deleted."""
    keys = calls.Keys("d")
    async with RedisEventStore(server.url, "d") as store:
        await store.append(append_of(uuid4(), 0, "a", "b", "c"))
        second = (await store.read(START, limit=2))[1].position
    for victim in (second, Position(1, second.epoch)):
        async with admin(server.url) as client:
            await client.xdel(keys.log, str(victim))
        with pytest.raises(UnsafeServer, match="entries are missing between"):
            async with RedisEventStore(server.url, "d"):
                pass


async def test_a_server_that_forgot_acknowledged_events_is_refused(server: ValkeyServer) -> None:
    """A truncated append-only file starts without a word; the last acknowledged position tells."""
    async with RedisEventStore(server.url, "d") as store:
        await store.append(append_of(uuid4(), 0, "a", "b"))
        acknowledged = store.acknowledged
        async with admin(server.url) as client:
            await client.flushall()
        with pytest.raises(UnsafeServer, match=f"position {acknowledged} is missing"):
            await store.append(append_of(uuid4(), 0))
    with pytest.raises(UnsafeServer, match=f"position {acknowledged} is missing"):
        async with RedisEventStore(server.url, "d", acknowledged=acknowledged):
            pass


async def test_a_server_out_of_memory_refuses_appends_and_serves_reads(server: ValkeyServer) -> None:
    """Nothing is written, nothing is evicted, and the error says what to do."""
    async with RedisEventStore(server.url, "d") as store:
        note_id = uuid4()
        await store.append(append_of(note_id, 0))
        await configured(server, maxmemory="1mb")
        with pytest.raises(ServerRefused, match=r"OOM.*raise its maxmemory"):
            await store.append(append_of(note_id, 1))
        assert len(await store.load(note_id)) == 1
        await configured(server, maxmemory="0")
        assert (await store.append(append_of(note_id, 1))).version == 2


async def test_a_lasting_refusal_is_not_waited_for(server: ValkeyServer) -> None:
    """Memory does not come back by itself: every append is refused at once, not only the first one."""
    async with RedisEventStore(server.url, "d") as store:
        await configured(server, maxmemory="1mb")
        async with asyncio.timeout(1):
            for _ in range(3):
                with pytest.raises(ServerRefused, match="OOM"):
                    await store.append(append_of(uuid4(), 0))


@pytest.mark.parametrize("offset", [0, 3, 7])
async def test_a_damaged_time_at_the_end_is_refused(server: ValkeyServer, offset: int) -> None:
    """The next event's time is not before the last one's: a wrong one there would be handed on to all that follow."""
    keys = calls.Keys("d")
    async with RedisEventStore(server.url, "d") as store:
        await store.append(append_of(uuid4(), 0, "a", "b"))
        async with admin(server.url) as client:
            entries = await client.xrange(keys.log)
            value = bytearray(entries[-1][1][b"e"])
            value[offset] ^= 0x40
            await client.delete(keys.log)
            await client.xadd(keys.log, {"e": entries[0][1][b"e"]}, entries[0][0])
            await client.xadd(keys.log, {"e": bytes(value)}, entries[-1][0])
        with pytest.raises(UnsafeServer, match="time stamp of the last entry 2 is damaged"):
            await store.append(append_of(uuid4(), 0))
    with pytest.raises(UnsafeServer, match="time stamp of the last entry 2 is damaged"):
        async with RedisEventStore(server.url, "d"):
            pass


async def test_a_server_that_is_not_there_is_an_error_at_start(tmp_path: Path) -> None:
    """There is no silent second mode."""
    with pytest.raises(Unavailable, match="cannot be reached"):
        async with RedisEventStore(f"unix://{tmp_path}/nobody.sock", "d"):
            pass
