"""Connections to a Redis or Valkey server, from a URL: `redis://`, `rediss://` or `unix://`.

Nothing here repeats a write: redis-py's default retries turn one XADD whose reply was lost into three entries. `Wire`
is one connection whose caller knows for each failure whether the server may have seen the call; `reading_client` is a
pool for calls that may be repeated. Replies are RESP2 and unparsed on both, which is what `infra.redis.calls` reads.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from domain.errors import InvalidInput, OutcomeUnknown, Unavailable

CONNECT_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 5.0
READ_CONNECTIONS_MAX = 16
READ_RETRIES_MAX = 3
READ_WAIT_S = 30.0
"""How long a read waits for a connection while all are in use; a request's own deadline may be over before."""

FUNCTION_MISSING = "Function not found"
"""How every server says that it does not have a function; then it has done nothing."""

_LOST = (RedisConnectionError, RedisTimeoutError, OSError)

# What to do about a refusal, by its first word; the server wrote nothing.
_REFUSALS = {
    "OOM": "It is out of memory: raise its maxmemory, or archive and trim the log.",
    "MISCONF": "It cannot write to its disk: free space on it, or repair it.",
    "READONLY": "It is a replica: point CHRONICLE_REDIS_URL at the primary.",
    "LOADING": "It is still loading its data: try again soon.",
    "BUSY": "A script blocks it: try again soon.",
    "NOREPLICAS": "It has fewer good replicas than min-replicas-to-write asks for: repair them.",
    "CLUSTERDOWN": "Its cluster is down: repair it.",
    "MOVED": "The keys live on another node: use that node's address.",
    "NOAUTH": "It asks for a password: put one into the URL.",
    "WRONGPASS": "It refused the password in the URL: correct it.",
    "NOPERM": "The user in the URL may not run this command: grant it.",
}

# Refusals that end without anybody's doing: the server starts, a script ends, another node takes over.
_PASSING = frozenset({"LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN", "CLUSTERDOWN"})
_NO_PLACE = "max number of clients"


class ServerRefused(Unavailable):
    """The server answered that it will not do this now. Nothing was written.

    `passes` tells that the same call may succeed a little later, with nothing changed by anybody.
    """

    def __init__(self, message: str, *, passes: bool = False) -> None:
        super().__init__(message)
        self.passes = passes


class ReadingClient:
    """Calls that may be repeated, at most READ_CONNECTIONS_MAX at once; the others wait for their turn."""

    def __init__(self, url: str) -> None:
        retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), READ_RETRIES_MAX)
        pool = ConnectionPool.from_url(
            checked_url(url), max_connections=READ_CONNECTIONS_MAX, retry=retry, **connection_settings()
        )
        self._client = Redis.from_pool(pool)
        self._client.response_callbacks.clear()
        # The wait is apart from the pool's own, so that a busy pool is never taken for a silent server.
        self._places = asyncio.Semaphore(READ_CONNECTIONS_MAX)

    async def call(self, *call: str | bytes | int) -> Any:
        """See `read_call`."""
        async with self._place():
            return await self._client.execute_command(*call)  # type: ignore[no-untyped-call] # redis-py types it not

    async def at_once(self, asked: Sequence[Sequence[str | bytes | int]], *, transaction: bool) -> list[Any]:
        """Several calls in one round trip; in a transaction, nothing happens between them."""
        async with self._place():
            pipeline = self._client.pipeline(transaction=transaction)
            for call in asked:
                pipeline.execute_command(*call)
            return list(await pipeline.execute())

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One connection's worth, for at most CALL_TIMEOUT_S."""
        try:
            async with asyncio.timeout(READ_WAIT_S):
                await self._places.acquire()
        except TimeoutError as error:
            message = (
                f"The event store is busy: no connection for reading was free within {READ_WAIT_S:g} s "
                f"({READ_CONNECTIONS_MAX} are in use). Try again, with fewer requests at once."
            )
            raise Unavailable(message) from error
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                yield
        finally:
            self._places.release()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def unix_url(path: str) -> str:
    """The URL of a server that listens on a socket file."""
    return f"unix://{quote(path)}"


def reading_client(url: str) -> ReadingClient:
    """For calls that may be repeated. Close it with `aclose`."""
    return ReadingClient(url)


async def read_call(client: ReadingClient, *call: str | bytes | int) -> Any:
    """Send a call that may be repeated. Raises Unavailable if the server is busy, does not answer or refuses."""
    try:
        return await client.call(*call)
    except (ResponseError, BusyLoadingError, AuthenticationError) as error:
        raise refusal(error) from error
    except (RedisError, OSError) as error:
        # A timeout has no text of its own.
        reason = str(error).rstrip(". ") or f"no reply within {CALL_TIMEOUT_S:g} s"
        raise Unavailable(f"The event store's server does not answer: {reason}. Is it running?") from error


def refusal(error: Exception) -> ServerRefused:
    """What a server's error reply means for the caller."""
    word, text = error_code(error), str(error)
    advice = _REFUSALS.get(word, "See the server's log.")
    shown = text if text.startswith(word) else f"{word} {text}"
    message = f"The event store's server refused: {shown.rstrip('. ')}. {advice}"
    return ServerRefused(message, passes=word in _PASSING or _NO_PLACE in text)


def error_code(error: Exception) -> str:
    """The first word of a server's error reply, which redis-py cuts off for the errors that it knows."""
    code = getattr(error, "status_code", None)
    return str(code) if code else str(error).partition(" ")[0]


def meaning(error: ResponseError) -> Unavailable:
    """What an error reply to a write means for the caller: refused, or failed in the middle."""
    text = str(error)
    if "user_" in text or "script:" in text:
        # An error inside the function: it may have struck between two writes.
        return OutcomeUnknown(f"The append function failed: {text}. Retry with the same idempotency key.")
    return refusal(error)


class Caller(Protocol):
    """Whatever sends a call and answers its reply, or raises redis-py's ResponseError."""

    async def call(self, *call: str | bytes | int) -> Any: ...


class Wire:
    """One connection and one call at a time, never repeated. Use it as an async context manager."""

    def __init__(self, url: str, *, call_timeout_s: float = CALL_TIMEOUT_S, name: str = "chronicle") -> None:
        retry = Retry(NoBackoff(), 0)
        pool = ConnectionPool.from_url(
            checked_url(url), retry=retry, client_name=name, **connection_settings()
        )
        self._call_timeout_s = call_timeout_s
        self._connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call] # nor this

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Raises Unavailable if the server cannot be reached, and ServerRefused if it lets nobody in."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._connection.connect()  # type: ignore[no-untyped-call] # nor this
        except (ResponseError, BusyLoadingError, AuthenticationError) as error:
            raise refusal(error) from error
        except (*_LOST, TimeoutError) as error:
            await self.close()
            raise Unavailable(f"The event store's server cannot be reached: {error}") from error

    async def is_usable(self) -> bool:
        """Whether the connection is open as far as this side can know, with nothing unread on it."""
        if not self._connection.is_connected:
            return False
        try:
            return not await self._connection.can_read()
        except _LOST:
            return False

    async def call(self, *call: str | bytes | int, timeout_s: float | None = None) -> Any:
        """Send a call and wait for its reply. A connection that fails is closed.

        Raises redis-py's ResponseError for an error reply, ServerRefused for those that tell of the server's state, and
        OutcomeUnknown if the reply does not come: the server may have done it.
        """
        try:
            async with asyncio.timeout(timeout_s or self._call_timeout_s):
                await self._connection.send_command(*call, check_health=False)
                return await self._connection.read_response()
        except (BusyLoadingError, AuthenticationError) as error:
            await self.close()
            raise refusal(error) from error
        except (*_LOST, TimeoutError) as error:
            await self.close()
            message = (
                f"The reply of the event store's server was lost ({type(error).__name__}: {error}). "
                "The call may have been done once; retry it with the same idempotency key."
            )
            raise OutcomeUnknown(message) from error

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)


def checked_url(url: str) -> str:
    """The URL itself. Raises InvalidInput if it is of no Redis."""
    if not url.startswith(("redis://", "rediss://", "unix://")):
        scheme = url.partition("://")[0]
        raise InvalidInput(f"'{scheme}' is no scheme of a Redis URL: use redis://, rediss:// or unix://.")
    return url


def connection_settings() -> dict[str, Any]:
    """What every connection shares, of either face."""
    return {
        "protocol": 2,
        "decode_responses": False,
        # Timeouts are set around each call: redis-py's own use asyncio.wait_for, which before Python 3.12 swallows a
        # cancellation that arrives together with the result.
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "health_check_interval": 0,
        "driver_info": None,
    }
