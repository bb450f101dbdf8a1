"""What GraphQL refuses, how it says so, and that nothing inside shows."""

from typing import Any

import httpx2
import pytest
from graphql import get_introspection_query

from api.graphql.limits import ALIASES_MAX, COST_MAX, DEPTH_MAX, TOKENS_MAX
from commands.message_manager import MessageManager
from tests.api.conftest import Server, Unchanged, static_tool
from tests.api.graphql.conftest import Ask


async def error_of(ask: Ask, document: str, **variables: Any) -> dict[str, Any]:
    """The only error of a document."""
    answer = await ask(document, **variables)
    [error] = answer["errors"]
    assert error["extensions"]["traceId"]
    return dict(error)


async def test_wrong_input_is_pointed_at_in_the_arguments(ask: Ask, space: str, unchanged: Unchanged) -> None:
    """Pointers lead into the field's arguments, with the names that the caller used."""
    async with unchanged():
        error = await error_of(
            ask,
            "mutation ($input: RegisterToolInput!) { toolRegister(input: $input) { id } }",
            input={"namespace": space, "definition": {**static_tool(), "input_schema": {"type": 7}}},
        )
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert [fault["pointer"] for fault in error["extensions"]["errors"]] == ["/input/definition/input_schema"]
    error = await error_of(ask, "{ tools(first: 201) { position } }")
    assert [fault["pointer"] for fault in error["extensions"]["errors"]] == ["/first"]
    error = await error_of(ask, '{ tools(after: "x") { position } }')
    assert [fault["pointer"] for fault in error["extensions"]["errors"]] == ["/after"]
    error = await error_of(ask, '{ tools(minPosition: "x") { position } }')
    assert [fault["pointer"] for fault in error["extensions"]["errors"]] == ["/minPosition"]
    error = await error_of(ask, '{ node(id: "x") { id } }')
    assert [fault["pointer"] for fault in error["extensions"]["errors"]] == ["/id"]


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ('toolDisable(namespace: $space, key: "weather")', "VERSION_REQUIRED"),
        ('toolDisable(namespace: $space, key: "weather", expectedVersion: 7)', "VERSION_CONFLICT"),
        ('toolDisable(namespace: $space, key: "other", expectedVersion: 1)', "NOT_FOUND"),
        ("toolDisable(namespace: $space, expectedVersion: 1)", "BAD_USER_INPUT"),
        ('toolEnable(namespace: $space, key: "weather", expectedVersion: 1)', None),
        ('toolRestore(namespace: $space, key: "weather", expectedVersion: 1)', "ILLEGAL_TRANSITION"),
        (
            'toolApprove(namespace: $space, key: "weather", expectedVersion: 1, input: {revision: 9})',
            "NOT_FOUND",
        ),
    ],
)
async def test_a_refused_command_has_its_own_code(ask: Ask, space: str, field: str, code: str | None) -> None:
    """The code is the one of the error table; what is so already is no error."""
    await ask(
        "mutation ($input: RegisterToolInput!) { toolRegister(input: $input) { id } }",
        input={"namespace": space, "definition": static_tool()},
    )
    answer = await ask(f"mutation ($space: String!) {{ {field} {{ version event }} }}", space=space)
    if code is None:
        assert "errors" not in answer, answer
    else:
        [error] = answer["errors"]
        assert error["extensions"]["code"] == code


async def test_a_key_is_needed_before_anything_else(
    http: httpx2.AsyncClient, graphql_url: str, stranger: httpx2.AsyncClient
) -> None:
    """Without a key, with a wrong one and with one in the URL the answer is 401, whatever the body."""
    for headers, url in (
        ({}, graphql_url),
        ({"Authorization": "Bearer wrong"}, graphql_url),
        ({}, f"{graphql_url}?token=x"),
    ):
        answer = await stranger.post(url, content=b"{", headers=headers)
        assert answer.status_code == 401, answer.text
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"method": "GET", "params": {"query": "{ __typename }"}}, 405),
        ({"method": "POST", "json": [{"query": "{ __typename }"}]}, 422),
        ({"method": "POST", "files": {"file": b"x"}, "data": {"operations": "{}"}}, 415),
        ({"method": "POST", "content": b"{"}, 415),
        ({"method": "POST", "content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"method": "POST", "json": {"query": 1}}, 422),
        ({"method": "POST", "json": {"query": "{ __typename }", "variables": []}}, 422),
        ({"method": "POST", "json": {"query": "query A { __typename }", "operationName": "B"}}, 422),
        ({"method": "POST", "json": {}}, 422),
    ],
)
async def test_only_one_operation_in_a_json_body_is_taken(
    http: httpx2.AsyncClient, graphql_url: str, request_: dict[str, Any], status: int
) -> None:
    """GET, batches, uploads and everything else that is no GraphQL request are problem documents."""
    answer = await http.request(url=graphql_url, **request_)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_page_of_another_origin_is_refused(http: httpx2.AsyncClient, graphql_url: str) -> None:
    """Host and Origin are the guard's business here too."""
    for headers, status in (({"Origin": "https://evil.example"}, 403), ({"Host": "evil.example"}, 421)):
        answer = await http.post(graphql_url, json={"query": "{ __typename }"}, headers=headers)
        assert answer.status_code == status


def nested_fragments(levels: int) -> str:
    """Fragments of which each spreads the next one twice: 2^levels fields, in a short document."""
    parts = [
        f"fragment F{level} on Query {{ ...F{level + 1} __typename ...F{level + 1} }}"
        for level in range(levels)
    ]
    return (
        "{ ...F0 } " + " ".join(parts) + f" fragment F{levels} on Query {{ tools(first: 1) {{ position }} }}"
    )


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{ " + "a { " * DEPTH_MAX + "a" + " }" * DEPTH_MAX + " }", f"depth: {DEPTH_MAX + 1}, at most"),
        ("{ " + " ".join(f"a{number}: __typename" for number in range(ALIASES_MAX + 1)) + " }", "aliases"),
        ("{ " + "__typename " * TOKENS_MAX + "}", "tokens"),
        ("{ tools(first: 200) { nodes { history(first: 200) { cursor } } } }", "cost: 40200, at most"),
        (
            "query ($n: Int!) { tools(first: $n) { nodes { history(first: $n) { cursor } } } }",
            "cost: 40200, at most",
        ),
        ("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }", "itself"),
        ("{ " + "a { " * 450 + "a" + " }" * 450 + " }", ""),
        (nested_fragments(60), "fragments"),
        (
            "{ __schema { types { " + "fields { type { " * 5 + "name" + " } }" * 5 + " } } }",
            "introspection depth",
        ),
        (nested_fragments(30), f"cost: {2**30}, at most"),
        ("{ tols { position } }", "Cannot query field 'tols' on type 'Query'."),
        ("{ tools(first: 1) }", "must have a selection"),
        ("{ tools(", "Syntax Error"),
    ],
)
async def test_a_document_beyond_a_bound_is_not_executed(ask: Ask, document: str, words: str) -> None:
    """Each bound is named; nothing is executed, and no name is suggested."""
    answer = await ask(document, **({"n": 1} if "$n" in document else {}))
    assert answer["data"] is None
    assert any(words in error["message"] for error in answer["errors"]), answer["errors"]
    unreadable = words in ("tokens", "Syntax Error", "")  # the last one is too deep for the parser
    for error in answer["errors"]:
        code = "GRAPHQL_PARSE_FAILED" if unreadable else "GRAPHQL_VALIDATION_FAILED"
        assert error["extensions"]["code"] == code


async def test_what_is_within_the_bounds_is_executed(ask: Ask) -> None:
    """The largest page with a short history costs what is allowed, and so does the introspection of the schema."""
    answer = await ask("{ tools(first: 200) { nodes { history(first: 19) { cursor } } } }")
    assert COST_MAX == 200 * 20
    assert "errors" not in answer
    answer = await ask(get_introspection_query(descriptions=False))
    assert "errors" not in answer


async def test_a_defect_shows_nothing_but_its_trace_id(
    ask: Ask, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is none of ours is masked, with the code and the trace id."""

    async def fail(self: MessageManager, request: object) -> None:
        raise ZeroDivisionError("the secret is 42")

    monkeypatch.setattr(MessageManager, "handle", fail)
    error = await error_of(ask, "{ tools { position } }")
    assert error["extensions"]["code"] == "INTERNAL_ERROR"
    assert "secret" not in str(error)
