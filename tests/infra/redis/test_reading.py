"""Reading with many at once: each waits for its turn, and what is said about it is true."""

import asyncio

import pytest

from domain.errors import Unavailable
from infra.redis import client
from infra.redis.store import RedisEventStore

pytestmark = pytest.mark.anyio


async def test_more_reads_than_connections_wait_for_their_turn(store: RedisEventStore) -> None:
    """None fails for the others."""
    heads = await asyncio.gather(*(store.head() for _ in range(20 * client.READ_CONNECTIONS_MAX)))
    assert len(set(heads)) == 1


async def test_a_read_that_finds_no_free_connection_says_busy(
    store: RedisEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does answer, so that it does not is not what is said; and the wait has a bound of its own."""
    monkeypatch.setattr(client, "READ_WAIT_S", 0.05)
    places = store._reads._places
    for _ in range(client.READ_CONNECTIONS_MAX):
        await places.acquire()
    with pytest.raises(Unavailable, match="is busy: no connection for reading was free"):
        await store.head()
    for _ in range(client.READ_CONNECTIONS_MAX):
        places.release()
    await store.head()


async def test_a_reply_that_does_not_come_has_a_reason(
    store: RedisEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timeout has no text of its own, so the sentence is not left without one."""
    monkeypatch.setattr(client, "CALL_TIMEOUT_S", 0.0)
    with pytest.raises(Unavailable, match="does not answer: no reply within 0 s"):
        await store.head()
