"""The product behind a real uvicorn on a free port, shared by the tests of every transport."""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from infra.bootstrap import open_runtime
from infra.runtime import Runtime
from infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Server:
    """Where the product answers, the administrator's key, and what is inside."""

    base_url: str
    key: str
    runtime: Runtime
    app: FastAPI

    @property
    def authorization(self) -> dict[str, str]:
        """The header that every request needs."""
        return {"Authorization": f"Bearer {self.key}"}


class _Uvicorn(uvicorn.Server):
    """Tells when it listens, and leaves the signals to pytest."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
        self.listens = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@asynccontextmanager
async def serving(app: FastAPI, listener: socket.socket) -> AsyncIterator[None]:
    """The application on a bound socket, for as long as the body runs."""
    server = _Uvicorn(app)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(server.serve(sockets=[listener]))
        waiting = tasks.create_task(server.listens.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not server.listens.is_set():
            waiting.cancel()
            raise RuntimeError("the server did not start")
        yield
        server.should_exit = True


@pytest.fixture(scope="session")
async def server(anyio_backend: str) -> AsyncIterator[Server]:
    """One server for all tests; each uses a namespace of its own."""
    with (
        # Not pytest's own directories: the path of a unix socket must be short.
        tempfile.TemporaryDirectory(prefix="chr-") as directory,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        port: int = listener.getsockname()[1]
        settings = Settings.load(data_dir=Path(directory), port=port)
        async with open_runtime(settings) as runtime:
            app = create_app(runtime)
            key = settings.admin_key_file.read_text(encoding="ascii").strip()
            async with serving(app, listener):
                yield Server(f"http://127.0.0.1:{port}", key, runtime, app)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client with the administrator's key."""
    async with httpx2.AsyncClient(base_url=server.base_url, headers=server.authorization) as opened:
        yield opened


@pytest.fixture
async def stranger(server: Server) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client without a key."""
    async with httpx2.AsyncClient(base_url=server.base_url) as opened:
        yield opened


@pytest.fixture
async def namespace(client: httpx2.AsyncClient) -> str:
    """A namespace that no other test uses."""
    name = f"n-{uuid4().hex[:12]}"
    answer = await client.post("/v1/namespaces", json={"definition": {"name": name}})
    assert answer.status_code == 201, answer.text
    return name


class Unchanged(Protocol):
    """A context whose body appends nothing to the log."""

    def __call__(self) -> AbstractAsyncContextManager[None]: ...


@pytest.fixture
def unchanged(server: Server) -> Unchanged:
    """Fails if the head of the log is another after its body than before."""

    @asynccontextmanager
    async def context() -> AsyncIterator[None]:
        before = await server.runtime.store.head()
        yield
        assert await server.runtime.store.head() == before

    return context


def static_tool(name: str = "weather", description: str = "Forecast") -> dict[str, Any]:
    """A tool that takes a city and answers 'sunny'."""
    return {
        "name": name,
        "description": description,
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
        "binding": {"type": "static", "content": [{"type": "text", "text": "sunny"}]},
    }


DEFINITIONS: dict[str, dict[str, Any]] = {
    "tool": static_tool(),
    "resource": {
        "uri": "docs://handbook/travel",
        "name": "Travel policy",
        "mime_type": "text/plain",
        "binding": {"type": "static", "text": "Trains before planes."},
    },
    "prompt": {
        "name": "summarise",
        "description": "Makes it short",
        "arguments": [{"name": "text", "required": True}],
        "messages": [{"role": "user", "text": "Summarise: {{ text }}"}],
    },
}
"""One definition of each kind."""
