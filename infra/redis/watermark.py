"""The watermark: the last event that is known to have been acknowledged, kept where the log's server cannot lose it.

A server whose append-only file was cut starts without a word and with fewer events. The watermark tells: the highest
position of any read model's checkpoint, and for the embedded log a file beside it, which the store writes after
acknowledgements. The file may be behind by what was acknowledged in its last interval; it is never ahead.
"""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread
import orjson

from domain.errors import Unavailable
from domain.recorded import START, Position
from infra.redis.durable_file import write_durably

WRITE_INTERVAL_S = 1.0
"""Least time between two writes of the file, but for the last one."""

_log = logging.getLogger(__name__)


class WatermarkDamaged(Unavailable):
    """The file holds no watermark, so what was acknowledged is unknown."""

    code = "watermark_damaged"


@dataclass(frozen=True, slots=True)
class Watermark:
    """A position that was acknowledged, and the content hash of its event; '' where it is not known."""

    position: Position = START
    content_hash: str = ""


class WatermarkFile:
    """The file of one deployment's log."""

    def __init__(self, directory: Path, deployment: str) -> None:
        self._path = directory / f"watermark-{deployment}.json"

    async def read(self) -> Watermark:
        """What was written last; START if nothing was. Raises WatermarkDamaged."""
        try:
            value = orjson.loads(await anyio.to_thread.run_sync(self._path.read_bytes))
            return Watermark(
                Position(int(value["sequence"]), int(value["epoch"])), str(value["content_hash"])
            )
        except FileNotFoundError:
            return Watermark()
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = (
                f"The watermark file '{self._path}' cannot be read ({error}). Run `chronicle events verify`; if the "
                "log is whole and ends where it should, remove the file."
            )
            raise WatermarkDamaged(message) from error

    async def write(self, mark: Watermark) -> None:
        """Put the watermark on the disk. Raises OSError."""
        sequence, epoch = mark.position
        content = orjson.dumps({"sequence": sequence, "epoch": epoch, "content_hash": mark.content_hash})
        await anyio.to_thread.run_sync(write_durably, self._path, content + b"\n")


class WatermarkWriter:
    """Keeps the file up to what it is told, at a bounded rate. `run` is its task; `close` writes what is left."""

    def __init__(self, file: WatermarkFile | None) -> None:
        self._file = file
        self._told = self._written = Watermark()
        self._changed = asyncio.Event()

    def tell(self, mark: Watermark) -> None:
        """This is the watermark now; after an accepted loss it may be an earlier one."""
        self._told = mark
        self._changed.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.close()
            await asyncio.sleep(WRITE_INTERVAL_S)

    async def close(self) -> None:
        """Write what is not written yet. A disk that refuses is logged, and tried again at the next change."""
        mark = self._told
        if self._file is None or mark == self._written:
            return
        try:
            await self._file.write(mark)
        except OSError as error:
            _log.error("the watermark %s could not be written: %s", mark.position, error)
            self._changed.set()
        else:
            self._written = mark
