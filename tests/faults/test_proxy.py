"""The proxy's own rules: where a value ends, and that a planned fault strikes appends alone."""

import random
from pathlib import Path

import pytest

from domain.errors import OutcomeUnknown
from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer
from tests.faults.history import Call, History
from tests.faults.load import DEPLOYMENT, Load, append_for, ask, insist, whole_log
from tests.faults.proxy import Fault, FaultProxy, Frames

VALUES = [
    b"+OK\r\n",
    b":12\r\n",
    b"-ERR no\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"$0\r\n\r\n",
    b"$4\r\na\r\nb\r\n",
    b"*2\r\n*2\r\n:1\r\n$3\r\n*9\r\r\n*1\r\n*0\r\n",
    b"*3\r\n$5\r\nFCALL\r\n$1\r\nx\r\n$2\r\n\r\n\r\n",
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_values_are_found_however_the_bytes_arrive(size: int) -> None:
    """Each whole value once and in order, and nothing of one that is incomplete."""
    stream = b"".join(VALUES)
    frames = Frames()
    found: list[bytes] = []
    for start in range(0, len(stream), size):
        found += frames.feed(stream[start : start + size])
    assert found == VALUES
    assert list(frames.feed(b"*2\r\n:1\r\n$5\r\nabc")) == []


@pytest.mark.anyio
@pytest.mark.parametrize(("fault", "applied"), [("drop", True), ("tear", True), ("cut", False)])
async def test_a_fault_strikes_one_append(tmp_path: Path, fault: Fault, applied: bool) -> None:
    """The client does not know; the server has done it, or has not; the same key finds out."""
    load, history = Load(random.Random(1)), History()
    async with (
        ValkeyServer(tmp_path, "log", persistent=True) as server,
        FaultProxy(server.socket, random.Random(1)).serving() as proxy,
        RedisEventStore(proxy.url, DEPLOYMENT) as store,
    ):
        wish = load.wish(load.new_id(), 0, 3)
        proxy.plan(fault)
        assert await store.load(wish.aggregate) == []
        assert proxy.pending == 1
        with pytest.raises(OutcomeUnknown):
            await store.append(append_for(wish))
        assert proxy.pending == 0
        assert len(await whole_log(store)) == (3 if applied else 0)
        call: Call = await insist(store, history, wish)
        assert call.outcome == "acknowledged"
        assert (await ask(store, history, wish)).place == call.place
        assert len(await whole_log(store)) == 3
