"""Group commit: appends that wait while a call is in flight ride the next one, with one fsync for all of them.

One task, one connection, one call in flight. The connection is checked and opened before its first append
(`infra.redis.checks`), so a call never meets a server run that was not checked. Bounds: a queue of appends and of
bytes, beyond which LimitExceeded is raised at once, and the size of a call.

Every append gets exactly one of: its verdict, Unavailable (not written) or OutcomeUnknown (written once or not at all).
"""

import asyncio
import copy
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from redis.exceptions import ResponseError

from domain.errors import ChronicleError, LimitExceeded, OutcomeUnknown, Unavailable
from domain.recorded import Appended
from infra.redis import calls
from infra.redis.checks import UnsafeServer
from infra.redis.client import FUNCTION_MISSING, Wire, meaning

QUEUED_APPENDS_MAX = 4096
QUEUED_BYTES_MAX = 32 << 20
CONNECT_WAIT_S = 2.0
CONNECT_BACKOFF_MIN_S = 0.02
CONNECT_BACKOFF_MAX_S = 0.25

_log = logging.getLogger(__name__)

Opener: TypeAlias = Callable[[Wire], Awaitable[None]]


@dataclass(eq=False, slots=True)
class _Waiting:
    append: calls.PackedAppend
    size: int
    outcome: asyncio.Future[Appended]


class GroupCommit:
    """Sends appends in groups. `run` must be running in a task; `close` lets it end when the queue is empty.

    `make_wire` makes an unconnected connection, `open_wire` checks the server behind a connected one and opens its log.
    """

    def __init__(self, keys: calls.Keys, make_wire: Callable[[], Wire], open_wire: Opener) -> None:
        self._keys = keys
        self._make_wire = make_wire
        self._open_wire = open_wire
        self._wire: Wire | None = None
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._closing = False
        self.calls_sent = 0

    @property
    def queued(self) -> int:
        """How many appends wait to be sent."""
        return len(self._queue)

    async def append(self, append: calls.PackedAppend) -> Appended:
        """Queue an append and wait for its verdict. A caller that is cancelled before it was sent leaves the queue."""
        if self._closing:
            raise Unavailable("The event store is closing; nothing was written.")
        size = append.size
        self._check_limits(append, size)
        waiting = _Waiting(append, size, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._queued_bytes += size
        self._wake.set()
        try:
            return await waiting.outcome
        except asyncio.CancelledError:
            if waiting in self._queue:
                self._queue.remove(waiting)
                self._queued_bytes -= size
            raise

    async def connect(self) -> None:
        """Connect and check the server now. Raises UnsafeServer or Unavailable."""
        if self._wire is not None:
            if await self._wire.is_usable():
                return
            await self._disconnect()
        wire = self._make_wire()
        try:
            await wire.connect()
            await self._open_wire(wire)
        except OutcomeUnknown as error:
            await wire.close()
            raise Unavailable(f"The event store's server was lost while it was checked: {error}") from error
        except BaseException:
            await wire.close()
            raise
        self._wire = wire

    async def run(self) -> None:
        """Send what waits, until closed and empty."""
        try:
            while await self._something_waits():
                # Whoever got a verdict from the call before may append again at once, and rides along.
                await asyncio.sleep(0)
                group = self._next_group()
                if group:
                    await self._commit(group)
        finally:
            for waiting in self._queue:
                _fail(waiting, Unavailable("The event store was closed; nothing was written."))
            self._queue.clear()
            await self._disconnect()

    def close(self) -> None:
        """Take nothing more; `run` ends when what waits is sent."""
        self._closing = True
        self._wake.set()

    def _check_limits(self, append: calls.PackedAppend, size: int) -> None:
        count = len(append.records)
        if count > calls.EVENTS_PER_CALL_MAX or size > calls.BYTES_PER_CALL_MAX:
            message = (
                f"One append may have {calls.EVENTS_PER_CALL_MAX} events and {calls.BYTES_PER_CALL_MAX} bytes; this "
                f"one has {count} and {size}. Split it."
            )
            raise LimitExceeded(message)
        if len(self._queue) >= QUEUED_APPENDS_MAX or self._queued_bytes + size > QUEUED_BYTES_MAX:
            message = (
                f"{len(self._queue)} appends of {self._queued_bytes} bytes are waiting; at most {QUEUED_APPENDS_MAX} "
                f"and {QUEUED_BYTES_MAX} may. Nothing was written; try again soon."
            )
            raise LimitExceeded(message)

    async def _something_waits(self) -> bool:
        while not self._queue:
            if self._closing:
                return False
            self._wake.clear()
            await self._wake.wait()
        return True

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        events = size = 0
        while self._queue:
            waiting = self._queue[0]
            events += len(waiting.append.records)
            size += waiting.size
            if group and (events > calls.EVENTS_PER_CALL_MAX or size > calls.BYTES_PER_CALL_MAX):
                break
            group.append(self._queue.popleft())
            self._queued_bytes -= waiting.size
        return group

    async def _commit(self, group: list[_Waiting]) -> None:
        appends = [waiting.append for waiting in group]
        try:
            reply = await self._sent(calls.append_many(self._keys, appends))
            outcomes = list(calls.verdicts(appends, reply))
        except ChronicleError as error:
            for waiting in group:
                # A copy for each: callers chain and annotate what they catch.
                _fail(waiting, copy.copy(error))
            return
        except BaseException:
            for waiting in group:
                _fail(
                    waiting,
                    OutcomeUnknown(
                        "The event store stopped in the middle of a call; retry with the same key."
                    ),
                )
            raise
        for waiting, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Appended):
                if not waiting.outcome.done():
                    waiting.outcome.set_result(outcome)
            else:
                _fail(waiting, outcome)

    async def _sent(self, call: calls.Call) -> bytes:
        wire = await self._usable_wire()
        self.calls_sent += 1
        try:
            return bytes(await wire.call(*call))
        except ResponseError as error:
            await self._disconnect()
            if not str(error).startswith("CHRONICLE_UNOPENED") and FUNCTION_MISSING not in str(error):
                raise meaning(error) from error
        except ChronicleError:
            await self._disconnect()
            raise
        # The server forgot its functions or its epoch and said so before it wrote anything: open it again, once.
        wire = await self._usable_wire()
        try:
            return bytes(await wire.call(*call))
        except ResponseError as error:
            await self._disconnect()
            raise meaning(error) from error
        except ChronicleError:
            await self._disconnect()
            raise

    async def _usable_wire(self) -> Wire:
        """A checked connection, waited for up to CONNECT_WAIT_S. Raises Unavailable: nothing was sent."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONNECT_WAIT_S
        backoff = CONNECT_BACKOFF_MIN_S
        while True:
            try:
                await self.connect()
            except UnsafeServer:
                raise
            except Unavailable as error:
                if loop.time() + backoff > deadline:
                    raise
                _log.info("append connection: %s", error)
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, CONNECT_BACKOFF_MAX_S)
            else:
                assert self._wire is not None  # noqa: S101 - connect sets it or raises
                return self._wire

    async def _disconnect(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()


def _fail(waiting: _Waiting, error: ChronicleError) -> None:
    if not waiting.outcome.done():
        waiting.outcome.set_exception(error)
