"""A whole runtime over real stores, and a short way to send requests through its Message Manager."""

from collections.abc import AsyncIterator
from typing import Any, Protocol
from uuid import uuid4

import pytest

from commands.request import Request
from domain.principal import SYSTEM, Principal
from infra.bootstrap import open_runtime
from infra.runtime import Runtime
from infra.settings import Settings


@pytest.fixture(scope="package")
async def runtime(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runtime]:
    """The embedded product, shared by the tests of this package; each uses namespaces of its own."""
    settings = Settings.load(data_dir=tmp_path_factory.mktemp("data"))
    async with open_runtime(settings) as opened:
        yield opened


class Send(Protocol):
    """Sends one request as the product itself, or as `principal`."""

    async def __call__(
        self, operation: str, input_: Any = None, *, principal: Principal = ..., **envelope: Any
    ) -> Any: ...


@pytest.fixture
def send(runtime: Runtime) -> Send:
    """Through the Message Manager, as every transport does."""

    async def sender(
        operation: str, input_: Any = None, *, principal: Principal = SYSTEM, **envelope: Any
    ) -> Any:
        return await runtime.messages.handle(
            Request(operation, input_ or {}, principal, "system", **envelope)
        )

    return sender


@pytest.fixture
async def namespace(send: Send) -> str:
    """A namespace that no other test uses."""
    name = f"n-{uuid4().hex[:12]}"
    await send("namespace.create", {"definition": {"name": name}})
    return name


def static_tool(name: str = "weather", description: str = "Forecast", text: str = "sunny") -> dict[str, Any]:
    """A tool that answers `text`."""
    return {
        "name": name,
        "description": description,
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
        "binding": {"type": "static", "content": [{"type": "text", "text": text}]},
    }
