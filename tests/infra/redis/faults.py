"""What tests do to a server, and how a client insists until it knows."""

import os
import signal
from typing import Any

import anyio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from domain.errors import Unavailable
from domain.recorded import Append, Appended
from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer

POLL_S = 0.005


def admin(url: str) -> Any:
    """A client beside the store, for looking at the server and for breaking it. Untyped: its replies are known."""
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0))


async def killed(server: ValkeyServer) -> None:
    """Kill the server and wait until it is dead; its supervisor may have started it again by then."""
    while (pid := server.pid) is None:  # noqa: ASYNC110 - the kernel has no event for it
        await anyio.sleep(POLL_S)
    os.kill(pid, signal.SIGKILL)
    while server.pid == pid:  # noqa: ASYNC110 - nor for this
        await anyio.sleep(POLL_S)


async def running(server: ValkeyServer) -> None:
    """Wait until the server answers."""
    async with admin(server.url) as client:
        while True:
            try:
                await client.ping()
            except RedisConnectionError:
                await anyio.sleep(POLL_S)
            else:
                return


async def insisted(store: RedisEventStore, append: Append) -> Appended:
    """Append until the outcome is known, always with the same claim."""
    assert append.idempotency is not None
    while True:
        try:
            return await store.append(append)
        except Unavailable:
            await anyio.sleep(POLL_S)
