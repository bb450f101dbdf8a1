"""What the faults of a wrong request say: what would be right, in the product's words."""

from typing import Any

import httpx2
import pytest

from tests.api.conftest import static_tool

TAGS = "'type' must be one of: 'http', 'static', 'unbound'."


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "/v1/resources?colour=red",
            "There is no such parameter here. Use cursor, limit, min_position, namespace, status or uri.",
        ),
        (
            "/v1/tools?name=a&namespace=b&colour=red",
            "There is no such parameter here. Use min_position, name or namespace.",
        ),
        (
            "/v1/resources/content?uri=a:b&colour=red",
            "There is no such parameter here. Use min_position, namespace or uri.",
        ),
    ],
)
async def test_a_sentence_names_the_parameters_that_there_are(
    client: httpx2.AsyncClient, path: str, message: str
) -> None:
    """All of them, also the one with which the same path answers a single definition."""
    [fault] = (await client.get(path)).json()["errors"]
    assert fault == {"pointer": "/colour", "message": message}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"binding": {"type": "shell"}}, TAGS),
        ({"binding": {}}, TAGS),
        ({"name": "not a name"}, "Use 1 to 128 characters of A-Z, a-z, 0-9, _, . and -."),
        ({"colour": "red"}, "There is no such field here."),
        ({"description": 7}, "It must be a valid string."),
    ],
)
async def test_a_fault_says_what_would_be_right(
    client: httpx2.AsyncClient, namespace: str, changes: dict[str, Any], message: str
) -> None:
    """Not what a validation library says, and no class of ours is named."""
    body = {"namespace": namespace, "definition": {**static_tool(), **changes}}
    answer = await client.post("/v1/tools", json=body)
    assert answer.json()["detail"] == "The request is not valid."
    [fault] = answer.json()["errors"]
    assert fault["message"] == message


async def test_a_missing_field_and_a_first_character(client: httpx2.AsyncClient, namespace: str) -> None:
    """A pattern with a rule of its own for the first character is told whole."""
    definition = {"name": "p", "messages": [{"role": "user", "text": "x"}], "arguments": [{"name": "1a"}, {}]}
    answer = await client.post("/v1/prompts", json={"namespace": namespace, "definition": definition})
    assert {fault["message"] for fault in answer.json()["errors"]} == {
        "Begin with one of A-Z, a-z and _; then 0 to 127 characters of A-Z, a-z, 0-9, _ and - may follow.",
        "This field is required.",
    }
