"""Blocking connections, for the recorders of the `eventsourcing` library, whose callers are threads.

The same rules as in `infra.redis.client`: a write is never repeated unless the server said that it did nothing; a read
is repeated once on a new connection. The pool is bounded; a server behind a new connection is checked and its log
opened (`infra.redis.checks`) before the connection is used, so no call meets a server run that was not checked.
"""

import os
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore
from typing import Any, TypeVar
from uuid import uuid4

from redis.backoff import NoBackoff
from redis.connection import ConnectionInterface, ConnectionPool
from redis.exceptions import AuthenticationError, BusyLoadingError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from domain.errors import OutcomeUnknown, Unavailable
from domain.recorded import START, Position
from infra.redis.calls import Call, Keys
from infra.redis.checks import Durability, open_run
from infra.redis.client import (
    CALL_TIMEOUT_S,
    FUNCTION_MISSING,
    checked_url,
    connection_settings,
    meaning,
    refusal,
)

CONNECTIONS_MAX = 16
CONNECTION_WAIT_S = 30.0

_LOST = (RedisConnectionError, RedisTimeoutError, OSError)

_T = TypeVar("_T")


class ConnectionsClosed(Unavailable):
    """The recorder is used after its infrastructure factory was closed."""

    code = "connections_closed"


class BlockingWire:
    """One connection of one thread at a time, and one call at a time, never repeated."""

    def __init__(self, connection: ConnectionInterface) -> None:
        self._connection: Any = connection  # redis-py does not type its methods

    def connect(self) -> None:
        """Raises Unavailable if the server cannot be reached, and ServerRefused if it lets nobody in."""
        try:
            self._connection.connect()
        except (ResponseError, BusyLoadingError, AuthenticationError) as error:
            raise refusal(error) from error
        except _LOST as error:
            raise Unavailable(f"The event store's server cannot be reached: {error}") from error

    @property
    def is_connected(self) -> bool:
        return bool(self._connection.is_connected)

    def is_usable(self) -> bool:
        """Whether the connection is open as far as this side can know, with nothing unread on it."""
        with suppress(*_LOST):
            return self.is_connected and not self._connection.can_read(0)
        return False

    def call(self, *call: str | bytes | int) -> Any:
        """Send a call and wait for its reply. A connection that fails is closed.

        Raises redis-py's ResponseError for an error reply, ServerRefused for those that tell of the server's state, and
        OutcomeUnknown if the reply does not come: the server may have done it.
        """
        try:
            self._connection.send_command(*call, check_health=False)
            return self._connection.read_response()
        except (BusyLoadingError, AuthenticationError) as error:
            self.close()
            raise refusal(error) from error
        except _LOST as error:
            self.close()
            message = (
                f"The reply of the event store's server was lost ({type(error).__name__}: {error}). "
                "The call may have been done once: look before you repeat it."
            )
            raise OutcomeUnknown(message) from error

    def received(self, timeout_s: float) -> bool:
        """Wait for a message of a subscribed channel, at most so long, and drop it. Raises Unavailable."""
        try:
            if not self._connection.can_read(timeout_s):
                return False
            self._connection.read_response()
        except _LOST as error:
            self.close()
            raise Unavailable(f"The event store's server was lost while waiting for it: {error}") from error
        return True

    def close(self) -> None:
        self._connection.disconnect()


class _CheckingWire:
    """A blocking wire as the checks call it: its coroutines never wait for anything, so they end in one step."""

    def __init__(self, wire: BlockingWire) -> None:
        self._wire = wire

    async def call(self, *call: str | bytes | int) -> Any:
        return self._wire.call(*call)


def _ended(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    coroutine.close()
    raise AssertionError("the checks of a server waited for something else than their calls")


class BlockingWires:
    """A bounded pool of connections to one log. Threads share it; `close` it at the end."""

    def __init__(self, url: str, keys: Keys, durability: Durability) -> None:
        self.keys = keys
        self._durability = durability
        self._factory = ConnectionPool.from_url(
            checked_url(url),
            retry=Retry(NoBackoff(), 0),
            client_name="chronicle-recorder",
            **{**connection_settings(), "socket_timeout": CALL_TIMEOUT_S},
        )
        self._idle: deque[BlockingWire] = deque()
        self._slots = BoundedSemaphore(CONNECTIONS_MAX)
        self._pid = os.getpid()
        self._closed = False
        self._acknowledged = START

    def open(self) -> None:
        """Connect and check the server now. Raises UnsafeServer or Unavailable."""
        with self._borrowed():
            pass

    def write(self, call: Call) -> Any:
        """Send a call that must not be repeated. Raises Unavailable (not written) or OutcomeUnknown."""
        with self._borrowed() as wire:
            return self._sent(wire, call)

    def read(self, call: Call) -> Any:
        """Send a call that may be repeated. Raises Unavailable if the server does not answer or refuses."""
        with suppress(OutcomeUnknown):
            return self.write(call)
        try:
            return self.write(call)
        except OutcomeUnknown as error:
            raise Unavailable(f"The event store's server does not answer: {error}") from error

    def acknowledged(self, position: Position) -> None:
        """Note that a position was written, which every later run of the server must still have."""
        self._acknowledged = max(self._acknowledged, position)

    def connected(self) -> BlockingWire:
        """A connection beside the pool, for its owner to block on and to close. It must not be written to."""
        wire = BlockingWire(self._factory.make_connection())
        wire.connect()
        return wire

    @contextmanager
    def listening(self, channel: str) -> Iterator[BlockingWire]:
        """A connection that receives a channel's messages from now on. Raises Unavailable."""
        wire = self.connected()
        try:
            wire.call("SUBSCRIBE", channel)
            yield wire
        except ResponseError as error:
            raise refusal(error) from error
        finally:
            wire.close()

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        self._closed = True
        self._close_idle()

    @contextmanager
    def _borrowed(self) -> Iterator[BlockingWire]:
        if self._closed:
            raise ConnectionsClosed("The infrastructure factory of this recorder is closed. Use a new one.")
        if not self._slots.acquire(timeout=CONNECTION_WAIT_S):
            message = (
                f"All {CONNECTIONS_MAX} connections were in use for {CONNECTION_WAIT_S:.0f} s; try again."
            )
            raise Unavailable(message)
        try:
            wire = self._idle_wire() or self._opened_wire()
            try:
                yield wire
            finally:
                self._give_back(wire)
        finally:
            self._slots.release()

    def _give_back(self, wire: BlockingWire) -> None:
        if wire.is_connected:
            self._idle.append(wire)
        if self._closed:
            self._close_idle()

    def _idle_wire(self) -> BlockingWire | None:
        if self._pid != os.getpid():
            # After a fork the connections are the parent's.
            self._idle.clear()
            self._pid = os.getpid()
        while True:
            try:
                wire = self._idle.pop()
            except IndexError:
                return None
            if wire.is_usable():
                return wire
            wire.close()

    def _opened_wire(self) -> BlockingWire:
        wire = self.connected()
        self._open(wire)
        return wire

    def _open(self, wire: BlockingWire) -> None:
        try:
            asked = self._acknowledged
            run = _ended(open_run(_CheckingWire(wire), self.keys, self._durability, asked, uuid4()))
            if run.loss_accepted and self._acknowledged == asked:
                # What was given up is no longer asked for, and what follows it is minded again.
                self._acknowledged = run.head
        except OutcomeUnknown as error:
            raise Unavailable(f"The event store's server was lost while it was checked: {error}") from error
        except BaseException:
            wire.close()
            raise

    def _sent(self, wire: BlockingWire, call: Call) -> Any:
        try:
            return wire.call(*call)
        except ResponseError as error:
            if not str(error).startswith("CHRONICLE_UNOPENED") and FUNCTION_MISSING not in str(error):
                raise meaning(error) from error
        # The server forgot its functions or its epoch and said so before it wrote anything: open it again, once.
        self._open(wire)
        try:
            return wire.call(*call)
        except ResponseError as error:
            raise meaning(error) from error

    def _close_idle(self) -> None:
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                self._idle.pop().close()
