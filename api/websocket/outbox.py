"""The one way out of a connection: a bounded queue and one writer, so that messages keep their order.

Whoever puts waits while the queue is full, and so does the reading of the log behind it: nothing is dropped and
nothing piles up. A send that does not end in time means that the client does not read.
"""

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import orjson

from api.websocket.messages import ServerMessage


class SlowReader(Exception):
    """The client took too long to take one message."""


class Outbox:
    """Queue and writer; `run` must be running."""

    def __init__(self, send: Callable[[str], Awaitable[None]], size_max: int, send_timeout_s: float) -> None:
        self._send = send
        self._send_timeout_s = send_timeout_s
        self._queue: asyncio.Queue[tuple[ServerMessage, Callable[[], None] | None]] = asyncio.Queue(size_max)

    async def put(self, message: ServerMessage, on_sent: Callable[[], None] | None = None) -> None:
        """Queue a message, after waiting for room; `on_sent` is called when the transport has taken it."""
        await self._queue.put((message, on_sent))

    async def run(self) -> None:
        """Send until cancelled. Raises SlowReader, and what the transport raises for a client that is gone."""
        while True:
            message, on_sent = await self._queue.get()
            text = orjson.dumps(message).decode()
            with anyio.move_on_after(self._send_timeout_s) as scope:
                await self._send(text)
            if scope.cancelled_caught:
                raise SlowReader
            if on_sent is not None:
                on_sent()
