"""A proxy between a client and a server that can lose a reply after the server has done what was asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


class LossyProxy:
    """Passes bytes both ways between a socket of its own and the server's.

    While `drop_replies_to` is set, the first request that contains these bytes is passed on, its reply is read and
    thrown away, and the connection is cut. `dropped` counts these.
    """

    def __init__(self, listen: Path, server: Path) -> None:
        self._listen = listen
        self._server = server
        self.drop_replies_to: bytes | None = None
        self.dropped = 0

    @property
    def url(self) -> str:
        return f"unix://{self._listen}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["LossyProxy"]:
        """Listen until the block is left, then cut what is open."""
        listener = await asyncio.start_unix_server(self._serve, str(self._listen))
        try:
            yield self
        finally:
            listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(str(self._server))
        dropping = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._requests(reader, server_writer, dropping))
                tasks.create_task(self._replies(server_reader, writer, dropping))
        except* (ConnectionError, EOFError):
            pass
        finally:
            for end in (writer, server_writer):
                end.close()

    async def _requests(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, dropping: asyncio.Event
    ) -> None:
        while data := await reader.read(1 << 20):
            if self.drop_replies_to is not None and self.drop_replies_to in data:
                self.drop_replies_to = None
                dropping.set()
            server.write(data)
            await server.drain()
        raise EOFError

    async def _replies(
        self, server: asyncio.StreamReader, writer: asyncio.StreamWriter, dropping: asyncio.Event
    ) -> None:
        while data := await server.read(1 << 20):
            if dropping.is_set():
                self.dropped += 1
                raise EOFError
            writer.write(data)
            await writer.drain()
        raise EOFError
