"""What clients learn about the server and what it serves, in each era."""

import asyncio
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from tests.api.mcp.conftest import ERAS, MODES, Served, narrow

SCHEMA = {
    "type": "object",
    "properties": {"q": {"type": ["string", "null"], "default": None, "enum": [None, "a"]}},
    "required": ["q"],
    "$defs": {"x": {"const": None}},
    "additionalProperties": False,
}


async def every_tool(client: Client) -> list[Any]:
    """All pages of tools/list, in order."""
    page = await client.list_tools()
    tools = list(page.tools)
    while page.next_cursor is not None:
        page = await client.list_tools(cursor=page.next_cursor)
        tools += page.tools
    return tools


@pytest.mark.parametrize(
    ("mode", "version"), [("legacy", "2025-11-25"), ("2026-07-28", "2026-07-28"), ("auto", "2026-07-28")]
)
async def test_one_endpoint_speaks_both_eras(served: Served, mode: str, version: str) -> None:
    """A client of either era connects to the same address."""
    async with served.client(mode) as client:
        page = await client.list_tools()
        assert client.protocol_version == version
        if mode == "legacy":
            assert client.server_info is not None
            assert client.server_info.name == "mcp-chronicle"
        else:
            assert (page.meta or {})["io.modelcontextprotocol/serverInfo"]["name"] == "mcp-chronicle"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_changing_lists_are_declared(served: Served, mode: str) -> None:
    """A client that is not told that lists change would keep an old one for ever."""
    async with served.client(mode) as client:
        capabilities = client.server_capabilities
        assert capabilities.tools
        assert capabilities.tools.list_changed
        assert capabilities.prompts
        assert capabilities.prompts.list_changed
        assert capabilities.resources
        assert capabilities.resources.list_changed
        assert not capabilities.resources.subscribe


@pytest.mark.parametrize("mode", ERAS)
async def test_the_pages_together_are_what_is_registered(served: Served, mode: str) -> None:
    """Pages of 100, in one order, without a gap or a repetition."""
    names = [f"tool-{number:03}" for number in range(250)]
    await asyncio.gather(*(served.tool(name) for name in names))
    async with served.client(mode) as client:
        assert len((await client.list_tools()).tools) == 100
        assert [tool.name for tool in await every_tool(client)] == names


@pytest.mark.parametrize("mode", MODES)
async def test_a_tool_is_listed_as_it_was_registered(served: Served, mode: str) -> None:
    """Schemas stay word for word; where the definition comes from and which one it is travels along."""
    registered = await served.do(
        "tool.register",
        {
            "namespace": "default",
            "provenance": {"server": "somewhere", "license": "MIT"},
            "definition": {
                "name": "look",
                "title": "Look",
                "description": "Looks it up",
                "input_schema": SCHEMA,
                "output_schema": {"type": "object", "properties": {"a": {"const": None}}},
                "annotations": {"readOnlyHint": True},
                "binding": {"type": "unbound"},
            },
        },
    )
    async with served.client(mode) as client:
        page = await client.list_tools()
    (tool,) = page.tools
    assert (tool.name, tool.title, tool.description) == ("look", "Look", "Looks it up")
    assert tool.input_schema == SCHEMA
    assert tool.output_schema == {"type": "object", "properties": {"a": {"const": None}}}
    assert tool.annotations is not None
    assert tool.annotations.read_only_hint is True
    assert tool.meta == {
        "io.mcp-chronicle/definition": {
            "id": str(registered.id),
            "namespace": "default",
            "revision": 1,
            "hash": registered.definition_hash,
            "provenance": {"server": "somewhere", "license": "MIT"},
        }
    }
    assert (page.ttl_ms, page.cache_scope) == (0, "private")


@pytest.mark.parametrize("mode", ERAS)
async def test_a_cursor_of_somebody_else_is_refused(served: Served, mode: str) -> None:
    """The specification wants -32602 for a cursor that is none."""
    async with served.client(mode) as client:
        for listing in (
            client.list_tools,
            client.list_prompts,
            client.list_resources,
            client.list_resource_templates,
        ):
            with pytest.raises(MCPError) as refused:
                await listing(cursor="bm90IG91cnM")
            assert refused.value.code == -32602


@pytest.mark.parametrize("mode", ERAS)
async def test_a_namespace_path_serves_that_namespace_alone(served: Served, mode: str) -> None:
    """What is elsewhere is neither listed nor callable there."""
    await served.namespace("one")
    await served.namespace("two")
    await served.tool("here", namespace="one")
    await served.tool("there", namespace="two")
    async with served.client(mode, "one") as client:
        assert [tool.name for tool in await every_tool(client)] == ["here"]
        with pytest.raises(MCPError) as refused:
            await client.call_tool("there")
        assert refused.value.code == -32602


@pytest.mark.parametrize("mode", ERAS)
async def test_what_a_principal_may_not_see_does_not_exist(served: Served, mode: str) -> None:
    """A hidden tool and one that never was are told apart by nothing."""
    await served.namespace("one")
    await served.namespace("two")
    await served.tool("here", namespace="one")
    await served.tool("there", namespace="two")
    served.keys.principals["narrow"] = narrow("narrow", "one")
    async with served.client(mode, key="narrow") as client:
        assert [tool.name for tool in await every_tool(client)] == ["here"]
        messages = []
        for name in ("there", "nowhere"):
            with pytest.raises(MCPError) as refused:
                await client.call_tool(name)
            assert refused.value.code == -32602
            messages.append(refused.value.message.replace(name, "…"))
        assert messages[0] == messages[1]


@pytest.mark.parametrize("mode", ERAS)
async def test_a_name_of_two_namespaces_shadows_neither(served: Served, mode: str) -> None:
    """Both are listed under names of their own; the plain name is refused with the ways out."""
    answers = {"one": "first", "two": "second"}
    for namespace, text in answers.items():
        await served.namespace(namespace)
        binding = {"type": "static", "content": [{"type": "text", "text": text}]}
        await served.tool("same", binding, namespace)
    async with served.client(mode) as client:
        names = [tool.name for tool in await every_tool(client)]
        assert len(set(names)) == 2
        assert [
            (await client.call_tool(name)).content[0].text  # type: ignore[union-attr]  # text, as registered
            for name in names
        ] == ["first", "second"]
        with pytest.raises(MCPError) as refused:
            await client.call_tool("same")
        assert refused.value.code == -32602
        assert all(name in refused.value.message for name in names)
