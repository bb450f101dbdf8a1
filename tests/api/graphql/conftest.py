"""GraphQL over the shared runtime, behind a uvicorn of its own."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias
from uuid import uuid4

import httpx2
import pytest

from api.app import create_app
from api.graphql import graphql_extension
from tests.api.conftest import Server, serving

Ask: TypeAlias = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(scope="session")
async def graphql_url(server: Server) -> AsyncIterator[str]:
    """Where GraphQL answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        app = create_app(server.runtime, [graphql_extension])
        async with serving(app, listener):
            yield f"http://127.0.0.1:{port}/graphql"


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client with the administrator's key."""
    async with httpx2.AsyncClient(headers=server.authorization, timeout=20) as opened:
        yield opened


@pytest.fixture
def ask(http: httpx2.AsyncClient, graphql_url: str) -> Ask:
    """Carries out a document and answers the whole response."""

    async def ask(document: str, **variables: Any) -> dict[str, Any]:
        answer = await http.post(graphql_url, json={"query": document, "variables": variables})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    return ask


@pytest.fixture
async def space(ask: Ask) -> str:
    """A namespace that no other test uses."""
    name = f"g-{uuid4().hex[:12]}"
    answer = await ask(
        "mutation ($definition: JSON!) { namespaceCreate(input: {definition: $definition}) { version } }",
        definition={"name": name},
    )
    assert answer["data"]["namespaceCreate"]["version"] == 1, answer
    return name
