"""An HTTP server that answers what a test tells it, for the failures that a healthy Elasticsearch does not show."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass
class ScriptedServer:
    """Answers the scripted (status, body) pairs in order, the last one for ever; None as body: never answers."""

    url: str = ""
    script: list[tuple[int, Any]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                original = dict(line.split(": ", 1) for line in head[1:] if line)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.requests.append((head[0], {k.lower(): v for k, v in original.items()}, body))
                status, answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if answer is None:
                    await reader.read()
                    return
                content = orjson.dumps(answer)
                writer.write(
                    f"HTTP/1.1 {status} X\r\nX-Elastic-Product: Elasticsearch\r\n"
                    f"Content-Type: application/vnd.elasticsearch+json;compatible-with=9\r\n"
                    f"Content-Length: {len(content)}\r\n\r\n".encode()
                    + content
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def scripted_server() -> AsyncIterator[ScriptedServer]:
    """Run a server on a free port of the loopback address."""
    scripted = ScriptedServer()
    async with await asyncio.start_server(scripted.serve, "127.0.0.1", 0) as listening:
        scripted.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield scripted
