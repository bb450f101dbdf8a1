"""The program as a child process: start it, find its Valkey, kill either, start it again."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
POLL_S = 0.05


class Program:
    """One data directory and the process that serves it, if it runs."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CHRONICLE_")},
            "CHRONICLE_DATA_DIR": str(data_dir),
            **environment,
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it listens, as it says itself."""
        return str(json.loads((self.data_dir / "run.json").read_text(encoding="utf-8"))["url"])

    @property
    def headers(self) -> dict[str, str]:
        """The administrator's authorisation."""
        return {
            "Authorization": f"Bearer {(self.data_dir / 'admin.key').read_text(encoding='utf-8').strip()}"
        }

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        (self.data_dir / "run.json").unlink(missing_ok=True)
        with (self.data_dir / "program.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "api.cli", "serve", "--port", "0"),
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(START_TIMEOUT_S), httpx2.AsyncClient() as client:
            while True:
                if self._process.returncode is not None:
                    raise RuntimeError(f"the program ended: {self.log()[-2000:]}")
                with suppress(OSError, ValueError, httpx2.TransportError):
                    if (await client.get(f"{self.url}/readyz")).status_code == 200:
                        return
                await asyncio.sleep(POLL_S)

    def log(self) -> str:
        """Everything that it printed."""
        return (self.data_dir / "program.log").read_text(encoding="utf-8", errors="replace")

    def pids(self) -> dict[str, int]:
        """The program and the Valkey of its log, as far as they run."""
        if self._process is None or self._process.returncode is not None:
            return {}
        found = {"program": self._process.pid}
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    line = child.cmdline()
                    if (
                        "appendonly yes" in " ".join(line).replace("--", "")
                        or str(self.data_dir / "log") in line
                    ):
                        found["valkey"] = child.pid
        return found

    def kill(self, which: str) -> None:
        """SIGKILL, if it runs."""
        pid = self.pids().get(which)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def gone(self) -> int:
        """Wait for the program's end."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return await self._process.wait()

    async def run(self, *arguments: str) -> tuple[int, str]:
        """The command line, with the same settings: exit status, and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api.cli", *arguments),
            cwd=ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()
        return process.returncode or 0, printed.decode()


@asynccontextmanager
async def running(data_dir: Path, **environment: str) -> AsyncIterator[Program]:
    """A program that is ready, and is killed at the end if it still runs."""
    program = Program(data_dir, **environment)
    await program.start()
    try:
        yield program
    finally:
        for which in ("program", "valkey"):
            program.kill(which)
        await program.gone()


async def events(program: Program) -> list[dict[str, Any]]:
    """Every event of the log, through the public stream."""
    async with (
        httpx2.AsyncClient(headers=program.headers, timeout=60) as client,
        client.stream(
            "GET",
            f"{program.url}/v1/events/stream",
            params={"after": "0-0", "follow": "false"},
            headers={"Accept": "application/x-ndjson"},
        ) as response,
    ):
        response.raise_for_status()
        messages = [json.loads(line) async for line in response.aiter_lines() if line]
    assert messages[-1]["type"] == "caught_up", messages[-1]
    return [message["event"] for message in messages if message["type"] == "event"]
