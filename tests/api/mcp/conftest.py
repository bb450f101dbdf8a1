"""A real runtime behind a real HTTP server, and official clients of both protocol eras that talk to it."""

import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from api.app import create_app
from api.extension import Extension
from api.mcp.endpoint import mcp_endpoint
from commands.request import CommandResult, Request
from domain.errors import Unauthenticated
from domain.principal import EVERY_NAMESPACE, EVERY_SCOPE, SYSTEM, NamespaceSet, Principal
from infra.bootstrap import open_runtime
from infra.runtime import Runtime
from infra.settings import Settings
from tests.api.conftest import serving

DEADLINE_S = 1.5
NOTICE_INTERVAL_S = 0.05
WAIT_S = 10.0
"""How long a test waits for what must come; nothing waits so long unless it failed."""

MODES = ("legacy", "2026-07-28", "auto")
ERAS = ("legacy", "2026-07-28")


INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
"""The message that opens a session."""


@dataclass
class Keys:
    """An authenticator that knows several principals, as later issues bring them."""

    principals: dict[str, Principal] = field(default_factory=dict)

    def authenticate(self, key: str | None) -> Principal:
        if key not in self.principals:
            raise Unauthenticated("The key is not valid.")
        return self.principals[key]


@dataclass(frozen=True)
class Served:
    """The server and what a test needs of it."""

    runtime: Runtime
    port: int
    keys: Keys

    def url(self, namespace: str | None = None) -> str:
        return f"http://127.0.0.1:{self.port}/mcp" + (f"/{namespace}" if namespace else "")

    async def do(
        self, operation: str, value: Mapping[str, Any], on: CommandResult | None = None
    ) -> CommandResult:
        """Carry out a command and wait until the registry has it."""
        result: CommandResult = await self.runtime.messages.handle(
            Request(
                operation,
                dict(value),
                SYSTEM,
                "system",
                target=on.id if on else None,
                expected_version=on.version if on else None,
            )
        )
        await self.runtime.registry.wait_for(result.position, WAIT_S)
        return result

    async def namespace(self, name: str, **policy: Any) -> str:
        """A new namespace."""
        await self.do("namespace.create", {"definition": {"name": name, "policy": policy}})
        return name

    async def tool(
        self,
        name: str,
        binding: Mapping[str, Any] | None = None,
        namespace: str = "default",
        **definition: Any,
    ) -> CommandResult:
        """A new tool, unbound unless it is said otherwise."""
        return await self.do(
            "tool.register",
            {"namespace": namespace, "definition": tool_definition(name, binding, **definition)},
        )

    @asynccontextmanager
    async def client(
        self, mode: str = "auto", namespace: str | None = None, key: str = "admin", **options: Any
    ) -> AsyncIterator[Client]:
        """An official client, connected."""
        async with (
            self.http(key) as http,
            Client(
                streamable_http_client(self.url(namespace), http_client=http),
                mode=mode,
                read_timeout_seconds=WAIT_S,
                **options,
            ) as client,
        ):
            yield client

    def http(self, key: str | None = "admin") -> httpx2.AsyncClient:
        """A bare HTTP client with the key."""
        headers = {"accept": "application/json, text/event-stream"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        return httpx2.AsyncClient(headers=headers, timeout=WAIT_S)


def tool_definition(name: str, binding: Mapping[str, Any] | None = None, **definition: Any) -> dict[str, Any]:
    """The definition of a tool that takes anything."""
    return {
        "name": name,
        "input_schema": {"type": "object"},
        "binding": dict(binding or {"type": "unbound"}),
        **definition,
    }


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """The whole program behind `/mcp`, empty; the key `admin` may do everything."""
    keys = Keys({"admin": Principal("admin", EVERY_NAMESPACE, EVERY_SCOPE)})
    with (
        # Not pytest's own directories: the path of a unix socket must be short.
        tempfile.TemporaryDirectory(prefix="chr-") as directory,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        port: int = listener.getsockname()[1]
        settings = Settings.load(data_dir=Path(directory), port=port, request_deadline_s=DEADLINE_S)
        async with open_runtime(settings) as opened:
            runtime = replace(opened, authenticator=keys)
            app = create_app(runtime, [_endpoint])
            async with serving(app, listener):
                yield Served(runtime, port, keys)


def _endpoint(runtime: Runtime) -> Extension:
    return mcp_endpoint(runtime, notice_interval_s=NOTICE_INTERVAL_S)


def narrow(name: str, *namespaces: str) -> Principal:
    """A principal that sees these namespaces alone."""
    return Principal(name, NamespaceSet(frozenset(namespaces)), EVERY_SCOPE)
