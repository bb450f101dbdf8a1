"""Resources and prompts, in each era."""

from collections.abc import Mapping
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from commands.request import CommandResult
from tests.api.mcp.conftest import ERAS, MODES, Served
from tests.support.peer import answer, running_peer


async def resource(
    served: Served, binding: Mapping[str, Any], namespace: str = "default", **definition: Any
) -> CommandResult:
    """A new resource."""
    return await served.do(
        "resource.register",
        {"namespace": namespace, "definition": {"name": "r", "binding": dict(binding), **definition}},
    )


async def contents_of(client: Client, uri: str) -> list[dict[str, Any]]:
    """What reading it answers."""
    result = await client.read_resource(uri)
    return [part.model_dump(mode="json", by_alias=True, exclude_none=True) for part in result.contents]


@pytest.mark.parametrize("mode", MODES)
async def test_a_static_resource_is_listed_and_read(served: Served, mode: str) -> None:
    """Text and bytes, with their media types."""
    await resource(served, {"type": "static", "text": "hello"}, uri="doc:text", mime_type="text/plain")
    await resource(served, {"type": "static", "blob": "aGk="}, uri="doc:bytes", description="bytes")
    async with served.client(mode) as client:
        listed = (await client.list_resources()).resources
        assert [(each.uri, each.mime_type) for each in listed] == [
            ("doc:bytes", None),
            ("doc:text", "text/plain"),
        ]
        assert listed[0].description == "bytes"
        assert (listed[0].meta or {})["io.mcp-chronicle/definition"]["revision"] == 1
        assert (await client.list_resource_templates()).resource_templates == []
        assert await contents_of(client, "doc:text") == [
            {"uri": "doc:text", "mimeType": "text/plain", "text": "hello"}
        ]
        assert await contents_of(client, "doc:bytes") == [{"uri": "doc:bytes", "blob": "aGk="}]


@pytest.mark.parametrize("mode", ERAS)
async def test_a_template_serves_every_uri_that_fits(served: Served, mode: str) -> None:
    """The variable goes into the path of the back end, encoded."""
    async with running_peer(answer(200, b"leaf", content_type="text/plain")) as peer:
        host = f"127.0.0.1:{peer.port}"
        await served.namespace("files", private_hosts=[host])
        binding = {"type": "http", "url": f"http://{host}/raw/{{name}}"}
        await resource(served, binding, "files", uri_template="files:///{name}", mime_type="text/x-leaf")
        async with served.client(mode) as client:
            (template,) = (await client.list_resource_templates()).resource_templates
            assert (template.uri_template, template.mime_type) == ("files:///{name}", "text/x-leaf")
            assert (await client.list_resources()).resources == []
            assert await contents_of(client, "files:///a%20b") == [
                {"uri": "files:///a%20b", "mimeType": "text/x-leaf", "text": "leaf"}
            ]
    assert [received.target for received in peer.received] == ["/raw/a%20b"]


@pytest.mark.parametrize(("mode", "code"), [("legacy", -32002), ("2026-07-28", -32602)])
async def test_a_missing_resource_has_the_error_of_its_era(served: Served, mode: str, code: int) -> None:
    """The number changed between the eras; the URI is told in both."""
    async with served.client(mode) as client:
        with pytest.raises(MCPError) as refused:
            await client.read_resource("doc:nothing")
    assert (refused.value.code, refused.value.data) == (code, {"uri": "doc:nothing"})


@pytest.mark.parametrize("mode", ERAS)
async def test_a_resource_whose_back_end_fails_is_an_error_and_no_content(served: Served, mode: str) -> None:
    """The message says what the back end did."""
    async with running_peer(answer(503)) as peer:
        host = f"127.0.0.1:{peer.port}"
        await served.namespace("files", private_hosts=[host])
        await resource(served, {"type": "http", "url": f"http://{host}/"}, "files", uri="files:one")
        async with served.client(mode) as client:
            with pytest.raises(MCPError) as refused:
                await client.read_resource("files:one")
    assert "503" in refused.value.message
    assert refused.value.data["code"] == "remote_failure"


@pytest.mark.parametrize("mode", MODES)
async def test_a_prompt_is_rendered_with_its_system_message_first(served: Served, mode: str) -> None:
    """MCP has no role `system`: it goes out as `user`, first and marked."""
    await served.do(
        "prompt.register",
        {
            "namespace": "default",
            "definition": {
                "name": "greet",
                "description": "Greets",
                "arguments": [{"name": "who", "required": True}, {"name": "mood", "title": "Mood"}],
                "messages": [
                    {"role": "user", "text": "Greet {{ who }}{{ mood }}."},
                    {"role": "assistant", "text": "Hello"},
                    {"role": "system", "text": "You are kind to {{ who }}."},
                ],
            },
        },
    )
    async with served.client(mode) as client:
        (listed,) = (await client.list_prompts()).prompts
        assert [(each.name, each.required or False, each.title) for each in listed.arguments or []] == [
            ("who", True, None),
            ("mood", False, "Mood"),
        ]
        rendered = await client.get_prompt("greet", {"who": "Ada"})
    assert rendered.description == "Greets"
    assert [
        (message.role, message.content.text, message.content.meta)  # type: ignore[union-attr]  # all are text
        for message in rendered.messages
    ] == [
        ("user", "You are kind to Ada.", {"io.mcp-chronicle/role": "system"}),
        ("user", "Greet Ada.", None),
        ("assistant", "Hello", None),
    ]


@pytest.mark.parametrize("mode", ERAS)
async def test_wrong_prompt_requests_are_wrong_parameters(served: Served, mode: str) -> None:
    """Unknown names and missing arguments are -32602, with the place of each fault."""
    definition = {
        "name": "greet",
        "arguments": [{"name": "who", "required": True}],
        "messages": [{"role": "user", "text": "{{ who }}"}],
    }
    await served.do("prompt.register", {"namespace": "default", "definition": definition})
    async with served.client(mode) as client:
        with pytest.raises(MCPError) as unknown:
            await client.get_prompt("nobody")
        with pytest.raises(MCPError) as missing:
            await client.get_prompt("greet")
    assert (unknown.value.code, missing.value.code) == (-32602, -32602)
    assert [each["pointer"] for each in missing.value.data["errors"]] == ["/arguments/who"]
