"""What a caller sends is not sent back in full: an error quotes the beginning of a name, on every transport."""

from typing import Any

import httpx2
import pytest

from domain.errors import FAULTS_MAX, MESSAGE_LENGTH_MAX, ChronicleError, Fault, InvalidInput, shortened
from tests.api.conftest import static_tool

LONG = "x" * 100_000
ANSWER_BYTES_MAX = 3 * MESSAGE_LENGTH_MAX


HANDSHAKE_ERA = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}


def mcp(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a request to the MCP endpoint, of the revision without sessions."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": method,
    }
    name = params.get("name") or params.get("uri")
    return {"url": "/mcp", "json": body, "headers": {**headers, "Mcp-Name": name} if name else headers}


def graphql(document: str, **more: Any) -> dict[str, Any]:
    """The arguments of a GraphQL request."""
    return {"url": "/graphql", "json": {"query": document, **more}}


@pytest.mark.parametrize(
    "request_",
    [
        mcp("tools/call", {"name": LONG[:30_000], "arguments": {}}),
        mcp("prompts/get", {"name": LONG[:30_000]}),
        mcp("resources/read", {"uri": f"docs://{LONG[:30_000]}"}),
        {**mcp("tools/call", {"name": LONG, "arguments": {}}), "headers": HANDSHAKE_ERA},
        {**mcp("prompts/get", {"name": LONG}), "headers": {**HANDSHAKE_ERA, "Mcp-Name": "other"}},
        {"url": "/v1/tools", "json": {"namespace": LONG, "definition": static_tool()}},
        {"url": "/v1/tools", "json": {"namespace": "default", "definition": static_tool(), LONG: 1}},
        {"url": "/v1/tools", "json": {"namespace": "default", "definition": {**static_tool(), LONG: 1}}},
        graphql(f"{{ {LONG} }}"),
        graphql(f"{{ tools(namespace: {LONG}) {{ position }} }}"),
        graphql(f"query {LONG} {{ __typename }}", operationName=LONG + "y"),
        graphql(f'{{ search(query: "a", namespace: "{LONG}") {{ position }} }}'),
        graphql(f'{{ tool(id: "{LONG}") {{ id }} }}'),
    ],
    ids=range(13),
)
async def test_an_error_is_short(client: httpx2.AsyncClient, request_: dict[str, Any]) -> None:
    """Whatever was too long in the request is in the answer at its beginning only."""
    answer = await client.post(**request_)
    assert len(answer.content) < ANSWER_BYTES_MAX, (
        answer.status_code,
        len(answer.content),
        answer.text[:300],
    )
    assert answer.status_code >= 400 or '"error' in answer.text, answer.text[:300]


def test_messages_and_pointers_have_a_bound() -> None:
    """However the error is made."""
    fault = Fault(f"/{LONG}", LONG)
    error = InvalidInput(LONG, [fault] * (FAULTS_MAX + 1))
    assert {len(error.message), len(fault.pointer), len(fault.message)} == {MESSAGE_LENGTH_MAX}
    assert (len(error.faults), str(ChronicleError(LONG))) == (FAULTS_MAX, shortened(LONG))
