"""Faults of processes: the server is killed or stopped, a writer or a subscriber is killed."""

import asyncio
import os
import signal
from contextlib import suppress

from infra.redis.client import CALL_TIMEOUT_S
from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer
from tests.faults import client
from tests.faults.history import Delivery, violations
from tests.faults.load import DEPLOYMENT, Load, insist, under_load, whole_log
from tests.faults.proxy import FaultProxy
from tests.faults.run import Found, Run, promise
from tests.infra.redis.faults import killed


def found(faults: int, load: Load) -> Found:
    """The verdict on a load."""
    return Found(faults, load.acknowledged_total, load.violations, load.history, load.log)


async def server_killed(run: Run) -> Found:
    """SIGKILL of the server, again and again."""
    kills = 0
    async with (
        ValkeyServer(run.directory, "log", persistent=True) as server,
        under_load(server.url, run.rng) as load,
    ):
        for _ in run.rounds(3):
            await load.acknowledged(50 + run.rng.randrange(50))
            await killed(server)
            kills += 1
    return found(kills, load)


async def server_stopped(run: Run) -> Found:
    """SIGSTOP of the server for longer than a call may take, then SIGCONT: it does later what it was sent."""
    stops = 0
    timeout_s = 0.4 if run.quick else CALL_TIMEOUT_S
    async with (
        ValkeyServer(run.directory, "log", persistent=True) as server,
        under_load(server.url, run.rng, call_timeout_s=timeout_s) as load,
    ):
        for _ in run.rounds(1):
            await load.acknowledged(100)
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(run.stop_s)
            finally:
                os.kill(pid, signal.SIGCONT)
            stops += 1
        await load.acknowledged(100)
    return found(stops, load)


async def writer_killed(run: Run) -> Found:
    """SIGKILL of a writer after the server did what it asked and before the reply; a successor has its keys."""
    kills = 0
    async with (
        ValkeyServer(run.directory, "log", persistent=True) as server,
        FaultProxy(server.socket, run.rng).serving() as proxy,
        under_load(server.url, run.rng) as load,
    ):
        for _ in run.rounds(2):
            proxy.held.clear()
            writer = await client.started("write", proxy.url, str(run.rng.getrandbits(32)))
            reading = asyncio.ensure_future(client.told(writer, load.history))
            await load.acknowledged(50)
            proxy.plan("hold")
            await _or_end(proxy.held, writer)
            await client.killed(writer)
            await reading
            kills += 1
    return found(kills, load)


async def _or_end(held: asyncio.Event, writer: asyncio.subprocess.Process) -> None:
    """Wait for the moment between call and reply. Raises if the writer ends before."""
    waiting = [asyncio.ensure_future(held.wait()), asyncio.ensure_future(writer.wait())]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        assert held.is_set(), f"the writer ended with {writer.returncode}"
    finally:
        for task in waiting:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def reader_killed(run: Run) -> Found:
    """SIGKILL of a subscriber; the next one resumes after the last event that it processed."""
    kills = 0
    delivery = Delivery((0, 0))
    async with (
        ValkeyServer(run.directory, "log", persistent=True) as server,
        under_load(server.url, run.rng) as load,
    ):
        for _ in run.rounds(2):
            delivery = Delivery(delivery.last)
            load.history.deliveries.append(delivery)
            reader = await client.started("follow", server.url, "{}-{}".format(*delivery.after))
            await client.received(reader, delivery, events=100 + run.rng.randrange(200))
            await client.killed(reader)
            await client.received(reader, delivery)
            kills += 1
    return found(kills, load)


async def one_aggregate(run: Run) -> Found:
    """64 writers of one aggregate from four stores: one success for each version, whoever rides with whom."""
    load, rounds = Load(run.rng), 0
    async with ValkeyServer(run.directory, "log", persistent=True) as server:
        async with (
            RedisEventStore(server.url, DEPLOYMENT) as first,
            RedisEventStore(server.url, DEPLOYMENT) as second,
            RedisEventStore(server.url, DEPLOYMENT) as third,
            RedisEventStore(server.url, DEPLOYMENT) as fourth,
        ):
            stores, aggregate = (first, second, third, fourth), load.new_id()
            for version in run.rounds(10):
                wishes = [load.wish(aggregate, version) for _ in range(64)]
                calls = await asyncio.gather(
                    *(insist(stores[number % 4], load.history, wish) for number, wish in enumerate(wishes))
                )
                winners = [call.wish.key for call in calls if call.outcome == "acknowledged"]
                load.violations += promise(len(winners) == 1, f"version {version} was won by {winners}")
                rounds += 1
            load.log = await whole_log(first)
        load.violations += violations(load.history, load.log)
    return found(rounds, load)


async def stale_in_batch(run: Run) -> Found:
    """Appends of several aggregates ride one call and one of them is stale: a verdict for each."""
    load, rounds = Load(run.rng), 0
    async with (
        ValkeyServer(run.directory, "log", persistent=True) as server,
        RedisEventStore(server.url, DEPLOYMENT) as store,
    ):
        stale = await insist(store, load.history, load.wish(load.new_id(), 0, 2))
        for _ in run.rounds(10):
            wishes = [load.wish(load.new_id(), 0, run.rng.randint(1, 5)) for _ in range(7)]
            at = run.rng.randrange(len(wishes) + 1)
            wishes.insert(at, load.wish(stale.wish.aggregate, run.rng.choice((0, 1, 3))))
            sent = store.calls_sent
            calls = await asyncio.gather(*(insist(store, load.history, wish) for wish in wishes))
            outcomes = [call.outcome for call in calls]
            right = outcomes.pop(at) == "conflict" and set(outcomes) == {"acknowledged"}
            load.violations += [
                *promise(right, f"one of eight is stale, number {at}, and the others got {outcomes}"),
                *promise(store.calls_sent == sent + 1, "they did not ride one call"),
            ]
            rounds += 1
        load.log = await whole_log(store)
        load.violations += violations(load.history, load.log)
    return found(rounds, load)
