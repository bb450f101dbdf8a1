"""The live end of the log: one blocking reader per process, and a ring of recent events that all subscribers read from.

A subscriber has no buffer of its own. It takes what comes after its position from the ring, and pages of the log from
the server when the ring no longer holds it. So a slow subscriber costs no memory and loses nothing: it lags, and its
owner decides when that is too much. Each event is read and decoded once for all subscribers that are up to date.

The reader proves after every connection, and whenever the log was quiet for a while, that its last position still names
the same event. If not, history changed: the ring is emptied, `generation` rises, and each subscriber proves its own.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from domain.errors import HistoryChanged, Unavailable
from domain.recorded import START, Position, RecordedEvent
from infra.redis import calls
from infra.redis.client import Wire
from infra.redis.codec import EventCodec
from infra.redis.record import RecordDamaged, StoredRecord

RING_EVENTS_MAX = 2048
RING_BYTES_MAX = 8 << 20
BATCH_EVENTS_MAX = 256
BLOCK_S = 5.0
BACKOFF_MIN_S = 0.02
BACKOFF_MAX_S = 0.5

_log = logging.getLogger(__name__)


class LiveFeed:
    """Reads the live end of the log. `run` must be running in a task for subscribers to see anything."""

    def __init__(self, keys: calls.Keys, make_wire: Callable[[], Wire], codec: EventCodec) -> None:
        self._keys = keys
        self._make_wire = make_wire
        self._codec = codec
        self._ring: deque[tuple[RecordedEvent, int]] = deque()
        self._ring_bytes = 0
        self._changed = asyncio.Event()
        self.last = START
        self.generation = 0

    def after(self, position: Position) -> Sequence[RecordedEvent] | None:
        """Up to a batch of events after a position; None if the ring does not reach back to it.

        Empty when there is nothing newer. The position must be proven to be of this log, in this generation.
        """
        newer = self.last.sequence - position.sequence
        if newer <= 0:
            return ()
        if newer > len(self._ring):
            return None
        start = len(self._ring) - newer
        end = min(start + BATCH_EVENTS_MAX, len(self._ring))
        return [self._ring[index][0] for index in range(start, end)]

    async def changed(self) -> None:
        """Wait for new events or a changed history. Await it right after `after`, with nothing awaited between."""
        await self._changed.wait()

    async def run(self) -> None:
        """Read for ever; a lost server is looked for again with a bounded backoff."""
        backoff = BACKOFF_MIN_S
        while True:
            async with self._make_wire() as wire:
                try:
                    await wire.connect()
                    await self._resume(wire)
                    backoff = BACKOFF_MIN_S
                    await self._follow(wire)
                except (Unavailable, ResponseError) as error:
                    _log.info("live feed: %s", error)
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, BACKOFF_MAX_S)

    async def _resume(self, wire: Wire) -> None:
        """Prove that the last position is still the same event; start at the present end if not, or at first."""
        if self.last != START:
            try:
                calls.records(self.last, await wire.call(*calls.read(self._keys, self.last, 0)))
            except HistoryChanged as error:
                _log.warning("live feed: %s", error)
                self._forget()
            else:
                return
        entries = await wire.call(*calls.read_backwards(self._keys, None, 1))
        self.last = calls.position_of(entries[0][0]) if entries else START
        self._announce()

    async def _follow(self, wire: Wire) -> None:
        block_ms = int(BLOCK_S * 1000)
        while True:
            command = (
                "XREAD",
                "COUNT",
                BATCH_EVENTS_MAX,
                "BLOCK",
                block_ms,
                "STREAMS",
                self._keys.log,
                str(self.last),
            )
            reply: Any = await wire.call(*command, timeout_s=BLOCK_S * 2)
            if reply:
                self._take(reply[0][1])
            else:
                await self._resume(wire)

    def _take(self, items: Sequence[Any]) -> None:
        for item in items:
            try:
                self._push(calls.entry(item))
            except RecordDamaged as error:
                # The ring starts anew behind it, so each subscriber meets the damage itself, reading that page.
                _log.error("live feed: %s", error)
                self._ring.clear()
                self._ring_bytes = 0
                self.last = calls.position_of(item[0])
        while len(self._ring) > RING_EVENTS_MAX or self._ring_bytes > RING_BYTES_MAX:
            _, size = self._ring.popleft()
            self._ring_bytes -= size
        self._announce()

    def _push(self, stored: StoredRecord) -> None:
        if stored.position.sequence != self.last.sequence + 1:
            raise RecordDamaged(Position(self.last.sequence + 1, 0), "is missing from the log.")
        size = len(stored.record.state)
        self._ring.append((self._codec.decode(stored), size))
        self._ring_bytes += size
        self.last = stored.position

    def _forget(self) -> None:
        self._ring.clear()
        self._ring_bytes = 0
        self.last = START
        self.generation += 1

    def _announce(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
