"""What a definition may hold: bindings, schemas, URIs, prompts and names."""

from typing import Any

import pytest
from pydantic import ValidationError

from domain.errors import InvalidInput
from domain.namespace import NamespacePolicy
from domain.prompt import PromptDefinition, render
from domain.resource import ResourceDefinition, match_template
from domain.tool import ToolDefinition
from tests.domain.given import tool

URL = "https://api.example.org/v1/items"


def http(**fields: Any) -> dict[str, Any]:
    return tool(binding={"type": "http", "url": URL, **fields})


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Authorization": "Bearer abc"}, False),
        ({"authorization": "Bearer secret://weather"}, True),
        ({"Cookie": "session=1"}, False),
        ({"X-Api-Key": "abc"}, False),
        ({"X-Api-Key": "secret://key"}, True),
        ({"X-Auth-Token": "abc"}, False),
        ({"Proxy-Authorization": "Basic x"}, False),
        ({"X-Client-Secret": "abc"}, False),
        ({"Accept": "text/plain"}, True),
        ({"X-Keyboard": "qwerty"}, True),
        ({"Host": "elsewhere"}, False),
        ({"X-A": "a\r\nX-B: b"}, False),
        ({"bad name": "x"}, False),
    ],
)
def test_headers_hold_no_literal_credential(headers: dict[str, str], allowed: bool) -> None:
    """Definitions are kept for ever, so a credential must be a reference."""
    if allowed:
        ToolDefinition.model_validate(http(headers=headers))
    else:
        with pytest.raises(ValidationError) as refusal:
            ToolDefinition.model_validate(http(headers=headers))
        assert "abc" not in str(refusal.value.errors(include_input=False, include_url=False))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/a",
        "file:///etc/passwd",
        "https://user:pw@example.org/",
        "https://{host}/a",
        "https://example.org/a?x={x}",
        "https://example.org/?api_key=abc",
        "https://example.org/a b",
        "//example.org/a",
        "https://example.org:99999/",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    """Only plain absolute HTTP URLs, with placeholders in the path alone."""
    with pytest.raises(ValidationError):
        ToolDefinition.model_validate(http(url=url))


def test_a_path_argument_must_be_required() -> None:
    """Otherwise a call could leave a hole in the path."""
    with pytest.raises(ValidationError, match="required properties"):
        ToolDefinition.model_validate(http(url=URL + "/{id}"))
    schema = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    ToolDefinition.model_validate({**http(url=URL + "/{id}"), "input_schema": schema})


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "objekt"}, "not a JSON Schema at '/type'"),
        ({"type": "object", "properties": [1]}, "not a JSON Schema at '/properties'"),
        ({"type": "object", "$ref": "https://example.org/schema.json"}, "never fetched"),
        ({"type": "array"}, "root"),
        ({}, "root"),
    ],
)
def test_what_is_no_object_schema_is_refused(schema: dict[str, Any], reason: str) -> None:
    """The message says where and why; nothing is fetched."""
    with pytest.raises(ValidationError, match=reason):
        ToolDefinition.model_validate(tool(input_schema=schema))


def test_a_deeply_nested_schema_is_refused() -> None:
    """Depth is bounded before anything recursive looks at it."""
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(100):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(ValidationError, match="64 levels"):
        ToolDefinition.model_validate(tool(input_schema=schema))


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 129, "ünïcode", "a\n"])
def test_names_are_mcp_names(name: str) -> None:
    """1 to 128 of [A-Za-z0-9_.-]."""
    with pytest.raises(ValidationError):
        ToolDefinition.model_validate(tool(name=name))


def test_unknown_fields_and_loose_types_are_refused() -> None:
    """A misspelt field is not silently dropped, and 1 is no true."""
    with pytest.raises(ValidationError):
        ToolDefinition.model_validate(tool(descriptoin="x"))
    with pytest.raises(ValidationError):
        ToolDefinition.model_validate(tool(annotations={"readOnlyHint": 1}))


def resource(**fields: Any) -> dict[str, Any]:
    return {"uri": "docs://a", "name": "A", "binding": {"type": "static", "text": "hello"}, **fields}


@pytest.mark.parametrize(
    "fields",
    [
        {"uri": "no-scheme"},
        {"uri": "docs://a b"},
        {"uri_template": "docs://{id}"},
        {"uri": None, "uri_template": None},
        {"uri": None, "uri_template": "docs://plain"},
        {"uri": None, "uri_template": "docs://{open"},
        {"binding": {"type": "static"}},
        {"binding": {"type": "static", "blob": "not base64!"}},
        {"binding": {"type": "http", "url": "https://example.org/{x}"}},
    ],
)
def test_resources_that_are_refused(fields: dict[str, Any]) -> None:
    """One address, one content, and variables that exist."""
    with pytest.raises(ValidationError):
        ResourceDefinition.model_validate(resource(**fields))


def test_templates_match_one_segment_for_each_variable() -> None:
    """A value cannot reach over a slash, and is decoded."""
    assert match_template("a://{x}/b/{y}", "a://1%202/b/3") == {"x": "1 2", "y": "3"}
    assert match_template("a://{x}/b", "a://1/2/b") is None
    assert match_template("a://{+x}/b", "a://1/b") is None
    assert match_template("a://{x}/{x}", "a://1/1") is None


def prompt(**fields: Any) -> PromptDefinition:
    return PromptDefinition.model_validate(
        {
            "name": "greet",
            "arguments": [{"name": "who", "required": True}, {"name": "mood"}],
            "messages": [
                {"role": "user", "text": "Hello {{ who }}{{mood}}"},
                {"role": "system", "text": "Be kind."},
            ],
            **fields,
        }
    )


def test_a_prompt_renders_system_messages_first() -> None:
    """MCP has no system role, so their order matters to whoever maps them."""
    rendered = render(prompt(), {"who": "{{mood}}"})
    assert [(m.role, m.text) for m in rendered] == [("system", "Be kind."), ("user", "Hello {{mood}}")]


@pytest.mark.parametrize(
    ("arguments", "pointer"), [({}, "/arguments/who"), ({"who": "x", "no": "y"}, "/arguments/no")]
)
def test_prompt_arguments_that_do_not_fit(arguments: dict[str, str], pointer: str) -> None:
    """Missing and unknown arguments are named by a pointer."""
    with pytest.raises(InvalidInput) as refusal:
        render(prompt(), arguments)
    assert [fault.pointer for fault in refusal.value.faults] == [pointer]


def test_a_rendered_prompt_is_bounded() -> None:
    """A small template must not become a huge message."""
    big = prompt(messages=[{"role": "user", "text": "{{who}}" * 20}])
    with pytest.raises(InvalidInput, match="larger than"):
        render(big, {"who": "x" * 100_000})


def test_a_prompt_uses_only_its_arguments() -> None:
    """A variable that nobody can give is a mistake of the author."""
    with pytest.raises(ValidationError, match="not among the arguments"):
        prompt(messages=[{"role": "user", "text": "{{ nobody }}"}])


@pytest.mark.parametrize("host", ["", "http://a", "A.example", "*", "a b", "user@host"])
def test_private_hosts_are_plain_hosts(host: str) -> None:
    """No pattern and no URL: each host is named."""
    with pytest.raises(ValidationError):
        NamespacePolicy(private_hosts=[host])
