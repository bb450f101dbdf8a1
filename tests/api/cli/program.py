"""The program as its users meet it: started as a process, asked by commands that are processes too."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "api.cli"]
TIMEOUT_S = 45.0


def environment(data_dir: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of this process, without settings of the program but the given ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHRONICLE_")}
    return {**kept, "CHRONICLE_DATA_DIR": str(data_dir), "NO_COLOR": "1", **(more or {})}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """The last line, which `--json` promises to be an object."""
        value = json.loads(self.out.splitlines()[-1])
        assert isinstance(value, dict)
        return value


def chronicle(data_dir: Path, *arguments: str | Path, more: Mapping[str, str] | None = None) -> Done:
    """Run a command to its end."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(data_dir, more),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Program:
    """A running `chronicle serve`."""

    process: subprocess.Popen[str]
    data_dir: Path
    url: str

    def stop(self, number: signal.Signals = signal.SIGTERM) -> Done:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        return Done(self.process.returncode, out, err)


@contextmanager
def running(data_dir: Path, *arguments: str, more: Mapping[str, str] | None = None) -> Iterator[Program]:
    """`chronicle serve` on a free port, ready to be asked; killed at the end if it still runs."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--json", *(arguments or ("--port", "0"))],
        env=environment(data_dir, more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"serve did not start: {process.communicate(timeout=TIMEOUT_S)[1]}")
        yield Program(process, data_dir, json.loads(line)["url"])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=TIMEOUT_S)
