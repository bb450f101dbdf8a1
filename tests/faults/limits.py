"""Faults of resources: the disk is full, the memory limit is reached."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.redis.client import ServerRefused
from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer
from tests.faults.history import Violation
from tests.faults.load import DEPLOYMENT, PAUSE_S, Load, append_for, raised_by, under_load
from tests.faults.processes import found
from tests.faults.run import CannotRun, Found, Run, promise
from tests.infra.redis.faults import admin

DISK_KIB = 1536
QUICK_REFUSAL_S = 1.0
WAIT_S = 60.0


def as_root(*command: str) -> None:
    """Run a command as root. Raises CannotRun if that is not to be had here."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if prefix and shutil.which("sudo") is None:
        raise CannotRun("a small disk needs root: run it as root, or with a sudo that asks nothing")
    done = subprocess.run([*prefix, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(f"a small disk needs root; '{' '.join(command)}' said: {done.stderr.strip()}")


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system with room for little more than a thousand appends. Raises CannotRun without root."""
    disk = directory / "disk"
    disk.mkdir()
    options = f"size={DISK_KIB}k,mode=0700,uid={os.geteuid()},gid={os.getegid()}"
    as_root("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk))
    try:
        yield disk
    finally:
        as_root("umount", str(disk))


async def disk_full(run: Run) -> Found:
    """The append-only file has no room: the server ends, appends are refused or unknown; with room, it goes on."""
    times = 0
    with small_disk(run.directory) as disk:
        async with (
            ValkeyServer(disk, "log", persistent=True) as server,
            under_load(server.url, run.rng) as load,
        ):
            for number in run.rounds(1):
                await load.acknowledged(50)
                await _ended(server)
                await asyncio.sleep(run.rng.random() / 2)
                size = DISK_KIB * (number + 2) * 2
                as_root("mount", "-o", f"remount,size={size}k", str(disk))
                await load.acknowledged(50)
                times += 1
    return found(times, load)


async def _ended(server: ValkeyServer) -> None:
    starts = server.starts
    async with asyncio.timeout(WAIT_S):
        while server.pid is not None and server.starts == starts:  # noqa: ASYNC110 - the kernel has no event for it
            await asyncio.sleep(PAUSE_S)


async def memory_full(run: Run) -> Found:
    """The memory limit is reached under load: appends are refused whole and soon, reads go on, and it recovers."""
    times = 0
    promises: list[Violation] = []
    async with (
        ValkeyServer(run.directory, "log", persistent=True) as server,
        under_load(server.url, run.rng) as load,
        RedisEventStore(server.url, DEPLOYMENT) as store,
        admin(server.url) as client,
    ):
        for _ in run.rounds(1):
            await load.acknowledged(50)
            used = (await client.info("memory"))["used_memory"]
            await client.config_set("maxmemory", used + 200_000)
            await _refused(load)
            await client.config_set("maxmemory", "1mb")
            promises += await _judged_full(store, load)
            await client.config_set("maxmemory", 0)
            await load.acknowledged(50)
            times += 1
    load.violations += promises
    return found(times, load)


async def _refused(load: Load) -> None:
    """Wait until clients are refused."""
    before = load.history.outcomes()["refused"]
    async with asyncio.timeout(WAIT_S):
        while load.history.outcomes()["refused"] == before:  # noqa: ASYNC110 - clients announce nothing
            await asyncio.sleep(PAUSE_S)


async def _judged_full(store: RedisEventStore, load: Load) -> list[Violation]:
    """What a server must keep to whose memory is full."""
    loop = asyncio.get_running_loop()
    first = await raised_by(store.append(append_for(load.wish(load.new_id(), 0, 5))))
    head = await store.head()
    began = loop.time()
    again = await raised_by(store.append(append_for(load.wish(load.new_id(), 0, 5))))
    seconds = loop.time() - began
    granted = next(call.wish for call in load.history.calls if call.outcome == "acknowledged")
    read = len(await store.load(granted.aggregate))
    return [
        *promise(isinstance(first, ServerRefused) and "OOM" in str(first), f"a full memory gave {first!r}"),
        *promise(isinstance(again, ServerRefused) and "OOM" in str(again), f"and then {again!r}"),
        *promise(seconds < QUICK_REFUSAL_S, f"a refusal for want of memory took {seconds:.1f} s"),
        *promise(await store.head() == head, "something was written although the memory is full"),
        *promise(read > 0, "nothing was read while the memory was full"),
    ]
