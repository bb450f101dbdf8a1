"""Who gets in, what a session is bound to, and what is refused before any method is read."""

import asyncio
from typing import Any

import anyio
import httpx2
import pytest
from mcp.shared.exceptions import MCPError

from api.mcp.endpoint import REQUEST_BYTES_MAX
from api.mcp.gate import Gate
from api.mcp.notices import ListChanges, Sessions
from domain.principal import EVERY_NAMESPACE, Principal
from tests.api.mcp.conftest import ERAS, INITIALIZE, MODES, WAIT_S, Served, narrow

LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}


async def open_session(
    served: Served, http: httpx2.AsyncClient, namespace: str | None = None
) -> dict[str, str]:
    """The headers of a new session."""
    opened = await http.post(served.url(namespace), json=INITIALIZE)
    assert opened.status_code == 200
    return {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}


def modern(method: str, **params: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Body and headers of a request of the stateless era."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": method}
    if "name" in params:
        headers["mcp-name"] = params["name"]
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}, headers


@pytest.mark.parametrize("mode", MODES)
async def test_a_wrong_key_gets_nothing(served: Served, mode: str) -> None:
    """The official client is told why."""
    with pytest.raises(ExceptionGroup) as refused:
        async with served.client(mode, key="wrong") as client:
            await client.list_tools()
    (error,) = leaves(refused.value)
    assert isinstance(error, MCPError)
    assert "key" in error.message


@pytest.mark.parametrize("key", [None, "wrong"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_every_method_needs_a_key(served: Served, method: str, key: str | None) -> None:
    """401 names the scheme, whatever the method, also on a session that exists."""
    async with served.http() as http, served.http(key) as stranger:
        session = await open_session(served, http)
        for headers in ({}, session):
            answer = await stranger.request(method, served.url(), headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["error"]["data"]["code"] == "unauthenticated"


async def test_a_key_in_the_address_is_refused(served: Served) -> None:
    """Addresses are logged."""
    async with served.http() as http:
        answer = await http.post(served.url() + "?access_token=admin", json=INITIALIZE)
    assert answer.status_code == 401


@pytest.mark.parametrize("key", ["admin", "narrow"])
async def test_a_hidden_namespace_and_none_look_the_same(served: Served, key: str) -> None:
    """404 for both, with nothing to tell them apart."""
    await served.namespace("one")
    await served.namespace("two")
    served.keys.principals["narrow"] = narrow("narrow", "one")
    asked = ["nowhere", "two"] if key == "narrow" else ["nowhere", "Not_A_Slug"]
    seen = []
    async with served.http(key) as http:
        assert (await http.post(served.url("one"), json=INITIALIZE)).status_code == 200
        for namespace in asked:
            answer = await http.post(served.url(namespace), json=INITIALIZE)
            assert answer.status_code == 404
            error = answer.json()["error"]
            assert error["data"].pop("trace_id")
            error["message"] = error["message"].replace(namespace, "…")
            seen.append(error)
    assert seen[0] == seen[1]


@pytest.mark.parametrize(("key", "namespace"), [("other", None), ("admin", "default"), ("other", "default")])
async def test_a_session_belongs_to_its_principal_and_path(
    served: Served, key: str, namespace: str | None
) -> None:
    """Another key or another path finds no such session, and does not disturb it."""
    served.keys.principals["other"] = Principal("other", EVERY_NAMESPACE, frozenset({"tools:read"}))
    async with served.http() as http, served.http(key) as stranger:
        session = await open_session(served, http)
        for method in ("POST", "GET", "DELETE"):
            body = LIST if method == "POST" else None
            answer = await stranger.request(method, served.url(namespace), json=body, headers=session)
            assert answer.status_code == 404, method
        answer = await http.post(served.url(), json=LIST, headers=session)
        assert answer.json()["result"]["tools"] == []


async def test_an_ended_session_is_gone(served: Served) -> None:
    """After DELETE the client has to open another one."""
    async with served.http() as http:
        session = await open_session(served, http)
        assert (await http.delete(served.url(), headers=session)).status_code == 200
        assert (await http.post(served.url(), json=LIST, headers=session)).status_code == 404


@pytest.mark.parametrize("mode", ERAS)
async def test_a_missing_scope_is_an_error_of_its_own(served: Served, mode: str) -> None:
    """Who may list but not call is told so."""
    await served.tool("one", {"type": "static", "content": []})
    served.keys.principals["reader"] = Principal("reader", EVERY_NAMESPACE, frozenset({"tools:read"}))
    async with served.client(mode, key="reader") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["one"]
        with pytest.raises(MCPError) as refused:
            await client.call_tool("one")
    assert refused.value.data["code"] == "forbidden"


@pytest.mark.parametrize(
    ("headers", "status"), [({"host": "evil.example"}, 421), ({"origin": "http://evil.example"}, 403)]
)
async def test_strange_hosts_and_origins_are_refused(
    served: Served, headers: dict[str, str], status: int
) -> None:
    """DNS rebinding ends before the key is looked at."""
    async with served.http() as http:
        assert (await http.post(served.url(), json=INITIALIZE, headers=headers)).status_code == status


async def test_a_body_has_its_own_bound(served: Served) -> None:
    """Arguments may be larger than other requests, and not larger than the bound; nothing is opened for them."""
    async with served.http() as http:
        padded = {**INITIALIZE, "params": {**INITIALIZE["params"], "_meta": {"pad": "x" * 2_000_000}}}
        assert (await http.post(served.url(), json=padded)).status_code == 200
        answer = await http.post(served.url(), content=b" " * (REQUEST_BYTES_MAX + 1))
        assert answer.status_code == 413


async def test_answers_are_json_and_not_a_stream(served: Served) -> None:
    """Framing every answer as a stream of one event costs several times the work."""
    await served.tool("one", {"type": "static", "content": []})
    async with served.http() as http:
        session = await open_session(served, http)
        body, headers = modern("tools/call", name="one", arguments={"a": 1})
        for answer in (
            await http.post(served.url(), json=LIST, headers=session),
            await http.post(served.url(), json=body, headers=headers),
        ):
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "application/json"


async def test_a_header_that_contradicts_an_argument_is_refused(served: Served) -> None:
    """2026-07-28: a proxy may have routed by the header, so both must say the same."""
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    await served.tool("route", {"type": "static", "content": []}, input_schema=schema)
    body, headers = modern("tools/call", name="route", arguments={"region": "eu"})
    async with served.http() as http:
        same = await http.post(served.url(), json=body, headers={**headers, "mcp-param-region": "eu"})
        other = await http.post(served.url(), json=body, headers={**headers, "mcp-param-region": "us"})
    assert same.status_code == 200
    assert other.status_code == 400
    assert other.json()["error"]["code"] == -32020


@pytest.mark.parametrize("mode", ERAS)
async def test_what_fails_inside_is_not_told(
    served: Served, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of an unexpected error may hold anything; it is logged and stays here."""

    async def explode(_: object) -> None:
        raise RuntimeError("swordfish")

    async with served.client(mode) as client:
        await client.list_tools()
        monkeypatch.setattr(served.runtime.messages, "handle", explode)
        with pytest.raises(MCPError) as refused:
            await client.list_tools(cache_mode="bypass")
    assert refused.value.code == -32603
    assert "swordfish" not in refused.value.message + str(refused.value.data)


async def test_a_client_that_does_not_read_is_cut_off(served: Served) -> None:
    """One part of an answer that nobody takes ends its own request, within its limit."""

    async def stuck(_: object) -> None:
        await asyncio.Event().wait()

    async def transport(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    changes = ListChanges(served.runtime.registry)
    sessions = Sessions(changes, served.runtime.metrics.mcp_sessions)
    gate = Gate(transport, served.runtime, sessions, send_timeout_s=0.05)
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer admin")],
        "path_params": {},
    }
    with anyio.fail_after(WAIT_S):
        await gate(scope, asyncio.Event().wait, stuck)  # type: ignore[arg-type]  # nothing comes in


def leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    """The exceptions in a group, however deep."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
