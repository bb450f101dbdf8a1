"""A remote endpoint on the loopback that behaves as badly as a test wants, and remembers what it was sent."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Behaviour = Callable[["Received", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Received:
    """One request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    """A running endpoint. `closed` is set when a connection of a behaviour has ended."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Behaviour:
    """One complete answer. Header names are written with `_` for `-`."""

    async def behave(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(head(status, content_length=str(len(body)), **headers) + body)

    return behave


def head(status: int = 200, **headers: str) -> bytes:
    """A status line and headers."""
    lines = [
        f"HTTP/1.1 {status} X",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@asynccontextmanager
async def running_peer(behave: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """The endpoint, on a free port of 127.0.0.1."""
    peer = Peer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peer.connections += 1
        try:
            received = await _request(reader)
            peer.received.append(received)
            doing = asyncio.ensure_future(behave(received, writer))
            gone = asyncio.ensure_future(reader.read())
            await asyncio.wait({doing, gone}, return_when=asyncio.FIRST_COMPLETED)
            for part in (doing, gone):
                part.cancel()
            await asyncio.gather(doing, gone, return_exceptions=True)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, which the test looks at from its own side
        except asyncio.CancelledError:
            pass  # the test is over; streams log a handler that ends as cancelled
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            peer.closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> Received:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, target, headers, body)
