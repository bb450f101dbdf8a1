"""A subscription of the `eventsourcing` library to the log: blocking, resumable, stopped from any thread.

Each has a connection of its own and reads from its position on, past events first, then each as it is appended. It
outlives the server's restarts: after each, and whenever the log was quiet for a while, it proves that its last position
still names the same event, and raises OperationalError if not, because to go on would skip events silently.
"""

import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from threading import Event, Lock
from time import monotonic
from typing import TYPE_CHECKING

from eventsourcing.persistence import Notification, Subscription
from redis.exceptions import ResponseError

from domain.errors import HistoryChanged, Unavailable
from domain.recorded import START, Position
from infra.redis import calls
from infra.redis.blocking import BlockingWire, BlockingWires
from infra.redis.client import refusal
from infra.redis.library_errors import library_errors
from infra.redis.record import StoredRecord

if TYPE_CHECKING:
    from infra.redis.recorders import RedisApplicationRecorder

BATCH_EVENTS_MAX = 256
BLOCK_MS = 500
QUIET_S = 5.0
BACKOFF_MIN_S = 0.02
BACKOFF_MAX_S = 0.5

_log = logging.getLogger(__name__)


def notification_of(stored: StoredRecord) -> Notification:
    """A record as the library sees it: its id is the sequence number, gapless from 1."""
    record = stored.record
    return Notification(
        originator_id=record.aggregate_id,
        originator_version=record.version,
        topic=record.name,
        state=record.state,
        id=stored.position.sequence,
    )


class RedisSubscription(Subscription["RedisApplicationRecorder"]):
    """Notifications with ids above `gt` (None: all), of the `topics` (none: of all), in order and without gaps."""

    def __init__(
        self,
        recorder: "RedisApplicationRecorder",
        wires: BlockingWires,
        gt: int | None = None,
        topics: Sequence[str] = (),
    ) -> None:
        super().__init__(recorder, gt, topics)
        self._wires = wires
        self._wanted = frozenset(topics)
        self._after: Position | None = None if gt is not None and gt > 0 else START
        self._pending: deque[Notification] = deque()
        self._wire: BlockingWire | None = None
        self._wire_id: int | None = None
        self._proven_at = 0.0
        self._backoff_s = BACKOFF_MIN_S
        self._reading = Lock()
        self._stopped = Event()

    def stop(self) -> None:
        """End the iteration, also where another thread waits in it: at once, or within BLOCK_MS."""
        super().stop()
        self._stopped.set()
        blocked = self._wire_id
        if blocked is not None:
            # It may come before the reader blocks, or be forbidden: then the bound of the blocking ends the wait.
            with suppress(Unavailable):
                self._wires.read(("CLIENT", "UNBLOCK", blocked))
        if self._reading.acquire(blocking=False):
            try:
                self._disconnect()
            finally:
                self._reading.release()

    def __next__(self) -> Notification:
        with self._reading:
            while not self._stopped.is_set():
                if self._pending:
                    notification = self._pending.popleft()
                    self._last_notification_id = notification.id
                    return notification
                with library_errors():
                    self._fill()
            self._disconnect()
        raise StopIteration

    def _fill(self) -> None:
        """Read the next batch, or nothing if there is none within BLOCK_MS or the server is away."""
        try:
            wire = self._connected()
            after = self._proven(wire)
            position, block = str(after), ("BLOCK", BLOCK_MS)
            reply = wire.call(
                "XREAD", "COUNT", BATCH_EVENTS_MAX, *block, "STREAMS", self._wires.keys.log, position
            )
        except ResponseError as error:
            self._disconnect()
            raise refusal(error) from error
        except Unavailable as error:
            _log.info("subscription: %s", error)
            self._disconnect()
            self._stopped.wait(self._backoff_s)
            self._backoff_s = min(self._backoff_s * 2, BACKOFF_MAX_S)
            return
        self._backoff_s = BACKOFF_MIN_S
        if reply:
            for stored in calls.gapless(after.sequence + 1, reply[0][1]):
                self._after = stored.position
                if not self._wanted or stored.record.name in self._wanted:
                    self._pending.append(notification_of(stored))
            self._proven_at = monotonic()

    def _connected(self) -> BlockingWire:
        if self._wire is None:
            self._wire = self._wires.connected()
            self._wire_id = int(self._wire.call("CLIENT", "ID"))
            self._proven_at = 0.0
        return self._wire

    def _disconnect(self) -> None:
        wire, self._wire, self._wire_id = self._wire, None, None
        if wire is not None:
            wire.close()

    def _proven(self, wire: BlockingWire) -> Position:
        """The position to read after, shown to be of this log. Raises HistoryChanged."""
        after, keys = self._after, self._wires.keys
        if after is None:
            wanted = self._last_notification_id or 0
            found = calls.gapless(wanted, wire.call(*calls.read_range(keys, wanted, wanted, 1)))
            if not found:
                message = (
                    f"Notification {wanted} was processed before, and the log has none of that number: its end was "
                    "lost, or this is another log. Build the projection anew from the start."
                )
                raise HistoryChanged(message)
            after = self._after = found[0].position
        elif after != START and monotonic() - self._proven_at > QUIET_S:
            calls.records(after, wire.call(*calls.read(keys, after, 0)))
        self._proven_at = monotonic()
        return after
