"""Where an argument goes in a request: it can never change which endpoint is reached."""

from urllib.parse import unquote, urlsplit

import pytest

from commands.http_request import resource_request, tool_request
from domain.binding import HttpBinding
from domain.errors import InvalidInput
from domain.resource import HttpResourceBinding
from tests.commands.conftest import Send

URL = "https://api.example.org/v1/{id}/end"
TOOL = HttpBinding(type="http", url=URL, method="GET")
RESOURCE = HttpResourceBinding(type="http", url=URL)


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("a/b", "a%2Fb"),
        ("../x", "..%2Fx"),
        ("..\\x", "..%5Cx"),
        ("%2e%2e", "%252e%252e"),
        ("%2F", "%252F"),
        ("a?b=c", "a%3Fb%3Dc"),
        ("a#b", "a%23b"),
        ("//evil.example", "%2F%2Fevil.example"),
        ("a@evil.example:80", "a%40evil.example%3A80"),
        ("a\r\nX-B: c", "a%0D%0AX-B%3A%20c"),
        ("a;b&c", "a%3Bb%26c"),
        ("{id}", "%7Bid%7D"),
        ("ü\x00", "%C3%BC%00"),
        ("...a", "...a"),
    ],
)
def test_a_path_argument_stays_in_its_segment(value: str, segment: str) -> None:
    """Whatever it holds is percent-encoded, once."""
    for request in (tool_request(TOOL, {"id": value}), resource_request(RESOURCE, {"id": value})):
        assert request.url == f"https://api.example.org/v1/{segment}/end"
        assert unquote(urlsplit(request.url).path.split("/")[2]) == value


@pytest.mark.parametrize("value", ["", ".", "..", "...", None, [], ["a"], {"a": 1}])
def test_a_value_that_is_no_segment_is_refused(value: object) -> None:
    """Dots alone mean another path, and nothing at all leaves a hole."""
    with pytest.raises(InvalidInput) as refusal:
        tool_request(TOOL, {"id": value})
    assert [fault.pointer for fault in refusal.value.faults] == ["/arguments/id"]


@pytest.mark.parametrize(("value", "segment"), [(1, "1"), (True, "true"), (1.5, "1.5")])
def test_numbers_and_booleans_are_segments(value: object, segment: str) -> None:
    """As JSON writes them."""
    assert tool_request(TOOL, {"id": value}).url == f"https://api.example.org/v1/{segment}/end"


def test_two_path_arguments_do_not_fill_each_other() -> None:
    """A value that looks like a placeholder is a value."""
    binding = HttpBinding(type="http", url="https://api.example.org/{a}/{b}", method="GET")
    assert tool_request(binding, {"a": "{b}", "b": "x"}).url == "https://api.example.org/%7Bb%7D/x"


@pytest.mark.parametrize("value", ["a&b=c", "a#b", "a\r\nb", "a/../b"])
def test_a_query_argument_stays_in_its_parameter(value: str) -> None:
    """Encoded as a form is."""
    parts = urlsplit(tool_request(TOOL, {"id": "1", "q": value}).url)
    assert (parts.path, parts.fragment) == ("/v1/1/end", "")
    assert parts.query.count("&") == 0


OBJECT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("structured", "reason"),
    [({"n": "x"}, "refuses"), ({}, "refuses"), (None, "answered none"), ({"n": 1}, None)],
)
async def test_an_output_that_breaks_its_schema_is_a_tool_error(
    send: Send, namespace: str, structured: object, reason: str | None
) -> None:
    """A client never takes it for structured content that it may rely on."""
    binding = {"type": "static", "content": [], "structured_content": structured}
    definition = {
        "name": "t",
        "input_schema": {"type": "object"},
        "output_schema": OBJECT,
        "binding": binding,
    }
    result = await send("tool.register", {"namespace": namespace, "definition": definition})
    called = await send(
        "tool.call", {"name": "t", "namespace": namespace, "min_position": str(result.position)}
    )
    assert called.is_error is (reason is not None)
    if reason:
        assert called.structured_content is None
        assert reason in called.content[0]["text"]


async def test_arguments_that_are_nested_too_deep_are_refused(send: Send, namespace: str) -> None:
    """Before the schema is applied to them."""
    definition = {
        "name": "t",
        "input_schema": {"type": "object"},
        "binding": {"type": "static", "content": []},
    }
    result = await send("tool.register", {"namespace": namespace, "definition": definition})
    call = {"name": "t", "namespace": namespace, "min_position": str(result.position)}
    value: object = 1
    for _ in range(64):
        value = [value]
    with pytest.raises(InvalidInput, match="nested deeper than the 64 levels"):
        await send("tool.call", {**call, "arguments": {"a": value}})
