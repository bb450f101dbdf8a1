"""Faults of the network: replies that are lost, torn or swallowed, requests that arrive in half, connections reset."""

import asyncio

from infra.redis.valkey import ValkeyServer
from tests.faults.load import under_load
from tests.faults.processes import found
from tests.faults.proxy import Fault, FaultProxy
from tests.faults.run import Found, Run

FAULTS: tuple[Fault, ...] = ("drop", "tear", "cut")
SWALLOWED_S = 1.0


async def replies_lost(run: Run) -> Found:
    """The server does it and the reply is lost, or torn; or half the request arrives and the server does nothing."""
    async with (
        ValkeyServer(run.directory, "log", persistent=True) as server,
        FaultProxy(server.socket, run.rng).serving() as proxy,
        under_load(proxy.url, run.rng) as load,
    ):
        for _ in run.rounds(10):
            proxy.plan(*(run.rng.choice(FAULTS) for _ in range(run.rng.randint(1, 3))))
            await load.acknowledged(20)
        faults = proxy.faults
    return found(faults, load)


async def connections_reset(run: Run) -> Found:
    """Storms of resets of every connection, with late replies between them."""
    async with (
        ValkeyServer(run.directory, "log", persistent=True) as server,
        FaultProxy(server.socket, run.rng).serving() as proxy,
        under_load(proxy.url, run.rng) as load,
    ):
        for _ in run.rounds(3):
            proxy.delay_s = run.rng.choice((0.0, 0.005, 0.02))
            for _ in range(20):
                proxy.reset()
                await asyncio.sleep(run.rng.random() * 0.05)
            proxy.delay_s = 0.0
            await load.acknowledged(30)
        faults = proxy.faults
    return found(faults, load)


async def replies_swallowed(run: Run) -> Found:
    """A black hole: requests arrive and are done, no reply comes back, and no connection is closed."""
    holes = 0
    async with (
        ValkeyServer(run.directory, "log", persistent=True) as server,
        FaultProxy(server.socket, run.rng).serving() as proxy,
        under_load(proxy.url, run.rng, call_timeout_s=0.3) as load,
    ):
        for _ in run.rounds(2):
            await load.acknowledged(50)
            proxy.swallowing = True
            await asyncio.sleep(SWALLOWED_S)
            proxy.swallowing = False
            proxy.reset()
            holes += 1
    return found(holes, load)
