"""A proxy on loopback between clients and a server that knows where a request and a reply ends.

So it can lose exactly one reply after the server has done what was asked, tear one in half, pass on half a request, or
hold a reply back; it can also reset every connection, delay replies, and swallow them without closing anything.
"""

import asyncio
import random
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, Self

Fault = Literal["drop", "tear", "cut", "hold"]
"""Of one append: its reply is lost after it was applied, is torn, is held back; or half the request arrives."""

APPEND = b"append_many"
_HEAD_BYTES = 200
_READ_BYTES = 1 << 16


class Frames:
    """Splits a stream of bytes into whole RESP2 values; what is incomplete waits for the next bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._wanted = 1

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The values that are complete now."""
        self._buffer += data
        while self._step():
            if self._wanted == 0:
                yield bytes(self._buffer[: self._at])
                del self._buffer[: self._at]
                self._at, self._wanted = 0, 1

    def _step(self) -> bool:
        """Pass over one line, or one string with its length; False if it is not all there yet."""
        end = self._buffer.find(b"\r\n", self._at)
        if end < 0:
            return False
        kind, after = chr(self._buffer[self._at]), end + 2
        length = int(self._buffer[self._at + 1 : end]) if kind in "$*" else 0
        if kind == "$" and length >= 0:
            after += length + 2
            if len(self._buffer) < after:
                return False
        self._wanted += max(length, 0) - 1 if kind == "*" else -1
        self._at = after
        return True


class _Broken(Exception):
    """The fault that was planned has happened: reset the connection."""


class FaultProxy:
    """Listens on a port of loopback; use `serving`. `faults` counts what it did to its clients.

    `plan` names faults for the next appends, one each. `delay_s` delays each reply by up to so much, `swallowing` keeps
    all replies. `held` is set when a reply is held back.
    """

    def __init__(self, server: Path, rng: random.Random) -> None:
        self._server = server
        self._rng = rng
        self._planned: deque[Fault] = deque()
        self._links: set[_Link] = set()
        self._port = 0
        self.delay_s = 0.0
        self.swallowing = False
        self.held = asyncio.Event()
        self.faults = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}"

    @property
    def pending(self) -> int:
        """How many planned faults have not struck yet."""
        return len(self._planned)

    def plan(self, *faults: Fault) -> None:
        self._planned.extend(faults)

    def reset(self) -> None:
        """Reset every open connection, in the middle of whatever it does."""
        for link in list(self._links):
            self.faults += 1
            link.abort()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Listen until the block is left, then reset what is open."""
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = listener.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listener.close()
            for link in list(self._links):
                link.abort()
            while self._links:  # noqa: ASYNC110 - each ends by itself, a moment after its reset
                await asyncio.sleep(0.005)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, writer)
        self._links.add(link)
        try:
            server_reader, link.server = await asyncio.open_unix_connection(str(self._server))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(link.requests(reader, link.server))
                tasks.create_task(link.replies(server_reader))
        except* (OSError, EOFError, _Broken):
            pass
        finally:
            link.abort()
            self._links.discard(link)

    def next_fault(self, request: bytes) -> Fault | None:
        """What is planned for this request."""
        if self._planned and APPEND in request[:_HEAD_BYTES]:
            self.faults += 1
            return self._planned.popleft()
        return None

    async def delayed(self) -> None:
        """Wait as long as this reply is to be late."""
        if self.delay_s:
            await asyncio.sleep(self._rng.random() * self.delay_s)


class _Link:
    """One client's connection and its counterpart to the server."""

    def __init__(self, proxy: FaultProxy, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = client
        self._expected: deque[Fault | None] = deque()
        self.server: asyncio.StreamWriter | None = None

    def abort(self) -> None:
        """Reset the client, so that nothing that waits in a buffer arrives, and leave the server."""
        with suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self._client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._client.transport.abort()
        if self.server is not None:
            self.server.transport.abort()

    async def requests(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        frames = Frames()
        while data := await client.read(_READ_BYTES):
            for frame in frames.feed(data):
                fault = self._proxy.next_fault(frame)
                if fault == "cut":
                    server.write(frame[: len(frame) // 2])
                    await server.drain()
                    raise _Broken
                self._expected.append(fault)
                server.write(frame)
            await server.drain()
        raise EOFError

    async def replies(self, server: asyncio.StreamReader) -> None:
        frames = Frames()
        while data := await server.read(_READ_BYTES):
            for frame in frames.feed(data):
                await self._pass_on(frame, self._expected.popleft())
        raise EOFError

    async def _pass_on(self, frame: bytes, fault: Fault | None) -> None:
        await self._proxy.delayed()
        if fault == "hold":
            self._proxy.held.set()
            await asyncio.Event().wait()
        if fault == "drop":
            raise _Broken
        if self._proxy.swallowing:
            return
        self._client.write(frame[: max(1, len(frame) // 2)] if fault == "tear" else frame)
        await self._client.drain()
        if fault == "tear":
            raise _Broken
