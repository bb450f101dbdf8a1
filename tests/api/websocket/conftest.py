"""The WebSocket interface over the shared runtime, behind a uvicorn of its own, and a client that reads JSON."""

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import uuid4

import anyio
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from api.app import create_app
from api.extension import Extension
from api.websocket import websocket_routes
from api.websocket.limits import DEFAULT_LIMITS, SUBPROTOCOL, Limits
from commands.request import CommandResult, Request
from domain.principal import SYSTEM
from infra.runtime import Runtime
from tests.api.conftest import Server, serving

WAIT_S = 10.0
"""How long a test waits for what must come; nothing waits so long unless it failed."""

Message: TypeAlias = dict[str, Any]


@dataclass
class Socket:
    """A client's end."""

    connection: ClientConnection

    async def send(self, message: Any) -> None:
        await self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def receive(self) -> Message:
        """The next message that is no heartbeat."""
        while True:
            with anyio.fail_after(WAIT_S):
                message: Message = json.loads(await self.connection.recv())
            if message["type"] != "heartbeat":
                return message

    async def ask(self, message: Any) -> Message:
        await self.send(message)
        return await self.receive()

    async def request(self, operation: str, **more: Any) -> Message:
        return await self.ask({"type": "request", "id": operation, "operation": operation, **more})

    async def rest(self) -> list[Message]:
        """Everything that comes before the close."""
        received = []
        try:
            while True:
                received.append(await self.receive())
        except ConnectionClosed:
            return received

    async def closed(self) -> tuple[int | None, str | None]:
        """Code and reason of the close that comes."""
        with anyio.fail_after(WAIT_S):
            await self.connection.wait_closed()
        return self.connection.close_code, self.connection.close_reason


@asynccontextmanager
async def serving_sockets(server: Server, limits: Limits) -> AsyncIterator[str]:
    """The application with these limits; answers the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Little room in the kernel, so that a client that does not read is felt soon.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        port: int = listener.getsockname()[1]
        app = create_app(server.runtime, [lambda runtime: extension(runtime, limits)])
        async with serving(app, listener):
            yield f"ws://127.0.0.1:{port}/v1/ws"


def extension(runtime: Runtime, limits: Limits) -> Extension:
    """The extension with limits of the test."""
    return Extension(websocket_routes(runtime, limits), "operation")


@pytest.fixture(scope="session")
async def url(server: Server) -> AsyncIterator[str]:
    """Where the socket answers, with the limits of the product."""
    async with serving_sockets(server, DEFAULT_LIMITS) as address:
        yield address


Connect: TypeAlias = Callable[..., AbstractAsyncContextManager[Socket]]


@pytest.fixture
def opened(server: Server, url: str) -> Connect:
    """Connects; with the administrator's key in the header unless it is told otherwise."""

    @asynccontextmanager
    async def opened(
        address: str = url,
        headers: dict[str, str] | None = None,
        subprotocols: tuple[str, ...] = (SUBPROTOCOL,),
        **options: Any,
    ) -> AsyncIterator[Socket]:
        sent = server.authorization if headers is None else headers
        async with connect(
            address,
            additional_headers=sent,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            proxy=None,
            **options,
        ) as connection:
            yield Socket(connection)

    return opened


Do: TypeAlias = Callable[..., Awaitable[CommandResult]]


@pytest.fixture
def do(server: Server) -> Do:
    """Carries out a command inside the product."""

    async def do(operation: str, value: Message, on: CommandResult | None = None) -> CommandResult:
        request = Request(
            operation,
            value,
            SYSTEM,
            "system",
            target=on.id if on else None,
            expected_version=on.version if on else None,
        )
        result: CommandResult = await server.runtime.messages.handle(request)
        return result

    return do


@pytest.fixture
async def space(do: Do) -> str:
    """A namespace that no other test uses."""
    name = f"w-{uuid4().hex[:12]}"
    await do("namespace.create", {"definition": {"name": name}})
    return name
