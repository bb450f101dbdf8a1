"""Calling tools: every binding, every way in which a call goes wrong, in each era."""

import asyncio
import json
from time import perf_counter
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from tests.api.mcp.conftest import DEADLINE_S, ERAS, MODES, WAIT_S, Served
from tests.support.peer import Behaviour, Peer, Received, answer, head, running_peer

ECHO_SCHEMA = {
    "type": "object",
    "properties": {"nonce": {"type": "integer"}},
    "required": ["nonce"],
    "additionalProperties": False,
}


async def echo(received: Received, writer: asyncio.StreamWriter) -> None:
    """Answer the body that came in."""
    body = received.body
    writer.write(head(content_type="application/json", content_length=str(len(body))) + body)


async def say_nothing(_: Received, writer: asyncio.StreamWriter) -> None:
    """Take the request and never answer."""
    await asyncio.Event().wait()


async def http_tool(served: Served, peer: Peer, name: str = "remote", **definition: Any) -> None:
    """A tool whose back end is the peer."""
    host = f"127.0.0.1:{peer.port}"
    namespace = f"n{peer.port}"
    await served.namespace(namespace, private_hosts=[host])
    await served.tool(name, {"type": "http", "url": f"http://{host}/do"}, namespace, **definition)


async def text_of_error(client: Client, name: str, arguments: dict[str, Any] | None = None) -> str:
    """Call, expect a tool error, and return what it tells the agent."""
    result = await client.call_tool(name, arguments or {})
    assert result.is_error
    (block,) = result.content
    assert block.type == "text"
    return block.text


@pytest.mark.parametrize("mode", MODES)
async def test_an_http_tool_answers_what_its_back_end_says(served: Served, mode: str) -> None:
    """Arguments go out as the body, JSON comes back as text and structured content."""
    async with running_peer(echo) as peer:
        await http_tool(served, peer, input_schema=ECHO_SCHEMA)
        async with served.client(mode) as client:
            result = await client.call_tool("remote", {"nonce": 7})
    assert not result.is_error
    assert result.structured_content == {"nonce": 7}
    assert json.loads(result.content[0].text) == {"nonce": 7}  # type: ignore[union-attr]  # it is text
    (received,) = peer.received
    assert (received.method, received.target, json.loads(received.body)) == ("POST", "/do", {"nonce": 7})
    assert "authorization" not in received.headers


@pytest.mark.parametrize("mode", MODES)
async def test_a_static_tool_answers_its_content(served: Served, mode: str) -> None:
    """Blocks of every kind go out as they were registered."""
    content = [
        {"type": "text", "text": "yes"},
        {"type": "image", "data": "aGk=", "mimeType": "image/png"},
        {"type": "resource_link", "uri": "doc:1", "name": "one"},
    ]
    await served.tool("static", {"type": "static", "content": content, "structured_content": {"a": None}})
    async with served.client(mode) as client:
        result = await client.call_tool("static", {"whatever": 1})
    blocks = [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content]
    assert blocks == content
    assert result.structured_content == {"a": None}


@pytest.mark.parametrize("mode", ERAS)
async def test_an_unbound_tool_says_so(served: Served, mode: str) -> None:
    """It is known from a catalogue only: a tool error, not a failure."""
    await served.tool("unbound")
    async with served.client(mode) as client:
        assert "no endpoint" in await text_of_error(client, "unbound")


@pytest.mark.parametrize("mode", ERAS)
async def test_content_that_mcp_does_not_allow_is_a_tool_error(served: Served, mode: str) -> None:
    """A definition with a wrong block hurts nobody but its own callers."""
    await served.tool("odd", {"type": "static", "content": [{"type": "text", "text": 5}]})
    async with served.client(mode) as client:
        assert "does not allow" in await text_of_error(client, "odd")


@pytest.mark.parametrize("mode", ERAS)
async def test_arguments_that_the_schema_refuses_are_a_tool_error(served: Served, mode: str) -> None:
    """The agent reads what is wrong and where, without the value, and the back end is not asked."""
    async with running_peer(echo) as peer:
        await http_tool(served, peer, input_schema=ECHO_SCHEMA)
        async with served.client(mode) as client:
            text = await text_of_error(client, "remote", {"nonce": "swordfish"})
            assert "/arguments/nonce" in text
            assert "swordfish" not in text
            assert "nonce" in await text_of_error(client, "remote")
    assert peer.received == []


@pytest.mark.parametrize("mode", ERAS)
async def test_an_unknown_tool_is_wrong_parameters(served: Served, mode: str) -> None:
    """Both eras say -32602."""
    async with served.client(mode) as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("nowhere")
        assert refused.value.code == -32602
        assert "nowhere" in refused.value.message


@pytest.mark.parametrize("mode", ERAS)
async def test_a_retired_tool_cannot_be_called(served: Served, mode: str) -> None:
    """What is no longer listed is no longer there."""
    tool = await served.tool("gone", {"type": "static", "content": []})
    async with served.client(mode) as client:
        assert not (await client.call_tool("gone")).is_error
        await served.do("tool.retire", {}, tool)
        with pytest.raises(MCPError) as refused:
            await client.call_tool("gone")
        assert refused.value.code == -32602


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (answer(500, b"broken"), "500"),
        (answer(200, b"{not json", content_type="application/json"), "something else"),
        (answer(302, location="http://127.0.0.1:1/"), ""),
        (say_nothing, ""),
    ],
    ids=["status", "garbage", "redirect", "silence"],
)
async def test_a_bad_back_end_is_a_tool_error_in_time(
    served: Served, mode: str, behaviour: Behaviour, told: str
) -> None:
    """Whatever the remote end does, the answer is a tool error within the deadline and half a second."""
    async with running_peer(behaviour) as peer:
        await http_tool(served, peer)
        async with served.client(mode) as client:
            await client.list_tools()
            started = perf_counter()
            assert told in await text_of_error(client, "remote")
            assert perf_counter() - started < DEADLINE_S + 0.5


@pytest.mark.parametrize("mode", ERAS)
async def test_a_back_end_that_is_down_is_a_tool_error(served: Served, mode: str) -> None:
    """A refused connection is told at once."""
    async with running_peer(echo) as peer:
        await http_tool(served, peer)
    async with served.client(mode) as client:
        await text_of_error(client, "remote")


async def test_a_closed_connection_cancels_the_call(served: Served) -> None:
    """In the stateless era going away is how a client cancels, and the back end is let go at once."""
    reached = asyncio.Event()

    async def wait(_: Received, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await asyncio.Event().wait()

    async with running_peer(wait) as peer:
        await http_tool(served, peer)
        async with served.client("2026-07-28") as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "remote")
            await asyncio.wait_for(reached.wait(), WAIT_S)
            started = perf_counter()
            tasks.cancel_scope.cancel()
        await asyncio.wait_for(peer.closed.wait(), WAIT_S)
        assert perf_counter() - started < DEADLINE_S - 0.5


async def test_cancelling_in_a_session_cancels_the_call(served: Served) -> None:
    """In the handshake era a notification does; the session goes on."""
    reached = asyncio.Event()

    async def wait(_: Received, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await asyncio.Event().wait()

    async with running_peer(wait) as peer:
        await http_tool(served, peer)
        async with served.client("legacy") as client:
            started = perf_counter()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.call_tool, "remote")
                await asyncio.wait_for(reached.wait(), WAIT_S)
                tasks.cancel_scope.cancel()
            await asyncio.wait_for(peer.closed.wait(), WAIT_S)
            assert perf_counter() - started < DEADLINE_S - 0.5
            assert [tool.name for tool in (await client.list_tools()).tools] == ["remote"]


@pytest.mark.parametrize("mode", ERAS)
async def test_fifty_clients_with_the_same_ids_get_their_own_answers(served: Served, mode: str) -> None:
    """Each client counts its requests from one; an answer never goes to another (CVE-2026-25536)."""
    async with running_peer(echo) as peer:
        await http_tool(served, peer, input_schema=ECHO_SCHEMA)

        async def one(nonce: int) -> None:
            async with served.client(mode) as client:
                results = [await client.call_tool("remote", {"nonce": nonce}) for _ in range(3)]
            assert [result.structured_content for result in results] == [{"nonce": nonce}] * 3

        async with asyncio.TaskGroup() as group:
            for nonce in range(50):
                group.create_task(one(nonce))
