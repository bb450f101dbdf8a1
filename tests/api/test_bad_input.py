"""Wrong requests: each gets its own problem with the right status and pointer, and changes nothing."""

from typing import Any

import httpx2
import pytest

from tests.api.conftest import DEFINITIONS, Unchanged, static_tool

JSON = {"Content-Type": "application/json"}
NOBODY = "00000000-0000-4000-8000-000000000000"


def assert_problem(answer: httpx2.Response, status: int, code: str, *pointers: str) -> dict[str, Any]:
    """The answer is this problem, complete, with a fault at each pointer; returns it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code
    assert body["type"] == f"/problems/{code}"
    assert body["status"] == status
    assert body["title"]
    assert len(body["detail"]) > 20
    assert body["trace_id"] == answer.headers["X-Correlation-Id"]
    assert "Traceback" not in answer.text
    assert {fault["pointer"] for fault in body.get("errors", [])} == set(pointers)
    return body


@pytest.fixture
async def tool(client: httpx2.AsyncClient, namespace: str) -> str:
    """The path of a tool at version 1."""
    answer = await client.post("/v1/tools", json={"namespace": namespace, "definition": static_tool()})
    assert answer.status_code == 201, answer.text
    await client.get(answer.headers["Location"], params={"min_position": answer.json()["position"]})
    return str(answer.headers["Location"])


def bad_definition(**changes: Any) -> dict[str, Any]:
    """The static tool with something else in it."""
    return {**static_tool(), **changes}


HTTP_WITH_CREDENTIAL = {
    "type": "http",
    "url": "https://api.example.org/x",
    "headers": {"X-Api-Key": "sk-literal-credential"},
}

BAD_DEFINITIONS = [
    (bad_definition(input_schema={"type": "objekt"}), "/definition/input_schema"),
    (bad_definition(input_schema={"type": "string"}), "/definition/input_schema"),
    (bad_definition(input_schema=None), "/definition/input_schema"),
    (
        bad_definition(input_schema={"type": "object", "$ref": "https://example.org/s"}),
        "/definition/input_schema",
    ),
    (bad_definition(binding=HTTP_WITH_CREDENTIAL), "/definition/binding/headers"),
    (bad_definition(binding={"type": "shell"}), "/definition/binding"),
    (bad_definition(name="not a name"), "/definition/name"),
    (bad_definition(colour="red"), "/definition/colour"),
    (bad_definition(description=7), "/definition/description"),
]


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(("definition", "pointer"), BAD_DEFINITIONS)
async def test_a_wrong_definition(
    client: httpx2.AsyncClient,
    namespace: str,
    unchanged: Unchanged,
    method: str,
    definition: dict[str, Any],
    pointer: str,
) -> None:
    """Schemas that are none, literal credentials, illegal names and unknown fields: 422 with a pointer, no value."""
    async with unchanged():
        answer = await client.request(
            method, "/v1/tools", json={"namespace": namespace, "definition": definition}
        )
    assert_problem(answer, 422, "invalid_input", pointer)
    assert "sk-literal" not in answer.text


@pytest.mark.parametrize("kind", DEFINITIONS)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_an_unknown_namespace(
    client: httpx2.AsyncClient, unchanged: Unchanged, kind: str, method: str
) -> None:
    """404 of its own code."""
    body = {"namespace": "nowhere", "definition": DEFINITIONS[kind]}
    async with unchanged():
        answer = await client.request(method, f"/v1/{kind}s", json=body)
    assert_problem(answer, 404, "namespace_not_found")


async def test_a_duplicate_name(
    client: httpx2.AsyncClient, namespace: str, tool: str, unchanged: Unchanged
) -> None:
    """409, for a namespace too; what exists is applied with PUT."""
    body = {"namespace": namespace, "definition": static_tool(description="Another")}
    async with unchanged():
        assert_problem(await client.post("/v1/tools", json=body), 409, "already_exists")
        again = await client.post("/v1/namespaces", json={"definition": {"name": namespace}})
        assert_problem(again, 409, "already_exists")


@pytest.mark.parametrize(
    ("tag", "status", "code"),
    [
        (None, 428, "version_required"),
        ("*", 428, "version_required"),
        ('"v2"', 412, "version_conflict"),
        ('"v99999"', 412, "version_conflict"),
        ('W/"v1"', 412, "precondition_failed"),
        ('"abc"', 412, "precondition_failed"),
        ('"v0"', 412, "precondition_failed"),
        ("v1", 400, "bad_header"),
        ('"v1', 400, "bad_header"),
        ("", 400, "bad_header"),
        ('"v1", "v2"', 400, "bad_header"),
    ],
)
@pytest.mark.parametrize("verb", ["revise", "disable", "retire"])
async def test_a_wrong_version(
    client: httpx2.AsyncClient,
    tool: str,
    unchanged: Unchanged,
    verb: str,
    tag: str | None,
    status: int,
    code: str,
) -> None:
    """Missing, stale, weak, several or garbage: never taken for the present version."""
    headers = {"If-Match": tag} if tag is not None else {}
    body = {"definition": static_tool(description="New")} if verb == "revise" else {}
    async with unchanged():
        answer = await client.post(f"{tool}/{verb}", json=body, headers=headers)
    problem = assert_problem(answer, status, code)
    assert problem.get("current_version") == (1 if code == "version_conflict" else None)


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_a_condition_that_would_not_be_kept(
    client: httpx2.AsyncClient, namespace: str, unchanged: Unchanged, header: str
) -> None:
    """Applying knows no condition, so one is refused instead of ignored."""
    body = {"namespace": namespace, "definition": static_tool()}
    async with unchanged():
        answer = await client.put("/v1/tools", json=body, headers={header: '"v1"'})
    assert_problem(answer, 400, "bad_header")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b'{"namespace": NaN}', 400, "malformed_json"),
        (b'{"namespace": "\\ud800"}', 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        (b"[" * 50_000, 400, "malformed_json"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, 400, "malformed_json"),
        (b"[" * 101 + b"]" * 101, 400, "malformed_json"),
        (b'"' + b"[" * 101 + b'"', 422, "invalid_input"),
        (b"[]", 422, "invalid_input"),
        (b"null", 422, "invalid_input"),
        (b"1e999", 400, "malformed_json"),
    ],
)
async def test_a_body_that_is_no_json_object(
    client: httpx2.AsyncClient, unchanged: Unchanged, body: bytes, status: int, code: str
) -> None:
    """400 for what is no JSON or nests too deep; 422, at the root, for JSON that is no object."""
    async with unchanged():
        answer = await client.post("/v1/tools", content=body, headers=JSON)
    assert_problem(answer, status, code, *([""] if status == 422 else []))


async def test_an_empty_body(client: httpx2.AsyncClient, unchanged: Unchanged) -> None:
    """Says what is missing."""
    async with unchanged():
        answer = await client.post("/v1/tools")
    assert_problem(answer, 422, "invalid_input", "/namespace", "/definition")


async def test_a_number_without_canonical_form(
    client: httpx2.AsyncClient, namespace: str, unchanged: Unchanged
) -> None:
    """An integer beyond 2^53 would be another one after a round trip through JSON."""
    schema = {"type": "object", "properties": {"n": {"maximum": 2**53 + 1}}}
    body = {"namespace": namespace, "definition": bad_definition(input_schema=schema)}
    async with unchanged():
        answer = await client.post("/v1/tools", json=body)
    assert_problem(answer, 422, "invalid_input", "")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {},
    ],
)
async def test_a_body_of_another_media_type(
    client: httpx2.AsyncClient, unchanged: Unchanged, headers: dict[str, str]
) -> None:
    """415: also what keeps forms of web pages out."""
    async with unchanged():
        answer = await client.post("/v1/tools", content=b'{"namespace":"default"}', headers=headers)
    assert_problem(answer, 415, "unsupported_media_type")


async def test_arguments_that_the_schema_refuses(
    client: httpx2.AsyncClient, tool: str, unchanged: Unchanged
) -> None:
    """A pointer into the arguments, and not the value, which may be secret."""
    async with unchanged():
        answer = await client.post(f"{tool}/call", json={"arguments": {"city": 7_777_777}})
    assert_problem(answer, 422, "invalid_input", "/arguments/city")
    assert "7777777" not in answer.text


@pytest.mark.parametrize("field", ["name", "namespace", "colour"])
async def test_a_call_cannot_name_another_tool_than_its_path(
    client: httpx2.AsyncClient, tool: str, field: str
) -> None:
    """The path says what is called; a name in the body would win over it."""
    answer = await client.post(f"{tool}/call", json={"arguments": {"city": "Bern"}, field: "other"})
    assert_problem(answer, 422, "invalid_input", f"/{field}")


async def test_a_call_with_an_idempotency_key(client: httpx2.AsyncClient, tool: str) -> None:
    """Nothing would keep the promise, so it is not made."""
    answer = await client.post(f"{tool}/call", json={}, headers={"Idempotency-Key": "a"})
    assert_problem(answer, 400, "bad_header")


@pytest.mark.parametrize(
    ("verb", "body"),
    [("approve", {"revision": 9}), ("reject", {"revision": 9}), ("roll-back", {"to_revision": 9})],
)
async def test_an_unknown_revision(
    client: httpx2.AsyncClient, tool: str, unchanged: Unchanged, verb: str, body: dict[str, int]
) -> None:
    """404: there is the tool, but not the revision."""
    async with unchanged():
        answer = await client.post(f"{tool}/{verb}", json=body, headers={"If-Match": '"v1"'})
    problem = assert_problem(answer, 404, "not_found")
    assert "9" in problem["detail"]


async def test_a_step_that_the_life_cycle_does_not_have(
    client: httpx2.AsyncClient, tool: str, unchanged: Unchanged
) -> None:
    """Restoring what is not retired: 409."""
    async with unchanged():
        answer = await client.post(f"{tool}/restore", headers={"If-Match": '"v1"'})
    assert_problem(answer, 409, "illegal_transition")


@pytest.mark.parametrize("kind", DEFINITIONS)
@pytest.mark.parametrize("item", [NOBODY, "not-an-id", "..%2F..", "%00"])
async def test_an_unknown_item(
    client: httpx2.AsyncClient, unchanged: Unchanged, kind: str, item: str
) -> None:
    """404 for reading, changing and using it alike."""
    path = f"/v1/{kind}s/{item}"
    async with unchanged():
        for answer in (
            await client.get(path),
            await client.get(f"{path}/history"),
            await client.post(f"{path}/disable", headers={"If-Match": '"v1"'}),
        ):
            assert answer.status_code == 404
            assert answer.json()["code"] in ("not_found", "no_such_route")


@pytest.mark.parametrize(
    ("path", "pointers"),
    [
        ("/v1/tools?limit=0", ["/limit"]),
        ("/v1/tools?limit=ten", ["/limit"]),
        ("/v1/tools?limit=999999999999999999999", ["/limit"]),
        ("/v1/tools?limit=1&limit=2", ["/limit"]),
        ("/v1/tools?colour=red&b/c=1", ["/colour", "/b~1c"]),
        ("/v1/tools?status=good", ["/status"]),
        ("/v1/tools?cursor=made-up", ["/cursor"]),
        ("/v1/tools?min_position=soon", ["/min_position"]),
        ("/v1/tools?name=weather", ["/namespace"]),
        ("/v1/search", ["/q"]),
        ("/v1/search?q=", ["/q"]),
        ("/v1/search?q=+", ["/q"]),
        ("/v1/tools?name=&namespace=default", ["/name"]),
        (f"/v1/search?q={'x' * 2001}", ["/q"]),
        ("/v1/search?q=a&kinds=tool,car", ["/kinds/1"]),
        ("/v1/events?after=5", ["/after"]),
        ("/v1/events?order=random", ["/order"]),
        ("/v1/events/stream?after=5", ["/after"]),
        ("/v1/events/stream?follow=maybe", ["/follow"]),
        ("/v1/resources/content", ["/uri"]),
    ],
)
async def test_a_wrong_query(client: httpx2.AsyncClient, path: str, pointers: list[str]) -> None:
    """422 with a pointer to each parameter, by the parameter's name."""
    assert_problem(await client.get(path), 422, "invalid_input", *pointers)


async def test_a_query_on_a_command(client: httpx2.AsyncClient, tool: str, unchanged: Unchanged) -> None:
    """A parameter that does nothing is an error: somebody thinks that it does."""
    async with unchanged():
        answer = await client.post(f"{tool}/disable?dry_run=true", headers={"If-Match": '"v1"'})
    assert_problem(answer, 422, "invalid_input", "/dry_run")


@pytest.mark.parametrize("value", ["", "ü", "x" * 257])
async def test_a_wrong_idempotency_key(
    client: httpx2.AsyncClient, namespace: str, unchanged: Unchanged, value: str
) -> None:
    """1 to 256 printable characters."""
    body = {"namespace": namespace, "definition": static_tool()}
    async with unchanged():
        answer = await client.put("/v1/tools", json=body, headers={b"Idempotency-Key": value.encode()})
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] in ("bad_header", "invalid_input")


async def test_a_method_that_is_not_served(client: httpx2.AsyncClient, tool: str) -> None:
    """405 with what is."""
    for path, allowed in (
        (tool, "GET, HEAD"),
        ("/v1/tools", "GET, HEAD, POST, PUT"),
        (f"{tool}/call", "POST"),
    ):
        answer = await client.delete(path)
        assert_problem(answer, 405, "method_not_allowed")
        assert answer.headers["Allow"] == allowed


async def test_a_path_that_is_not_served(client: httpx2.AsyncClient) -> None:
    """404 as a problem, whatever the framework would say."""
    for path in ("/v1/", "/v2", "/v2/tools", "/v1/tools/", "/docs"):
        assert_problem(await client.get(path), 404, "no_such_route")


async def test_a_resource_without_an_endpoint(client: httpx2.AsyncClient, namespace: str) -> None:
    """502: the fault is behind us."""
    definition = {"uri": "docs://unbound", "name": "Unbound", "binding": {"type": "unbound"}}
    answer = await client.post("/v1/resources", json={"namespace": namespace, "definition": definition})
    await client.get(answer.headers["Location"], params={"min_position": answer.json()["position"]})
    assert_problem(await client.get(f"{answer.headers['Location']}/content"), 502, "remote_failure")
