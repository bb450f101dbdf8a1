"""Who may use what: every route declares it, and keeps it."""

from dataclasses import replace
from typing import get_args

import httpx2
import pytest
from starlette.routing import Route, WebSocketRoute

from api.app import create_app
from domain.errors import Unauthenticated
from domain.principal import EVERY_SCOPE, NamespaceSet, Principal, Scope
from tests.api.conftest import Server, static_tool

POLICIES = {*get_args(Scope), "public", "operation"}
PUBLIC = {"/", "/v1", "/livez", "/readyz", "/openapi.json", "/problems", "/problems/{code}"}
NOBODY = "00000000-0000-4000-8000-000000000000"


def concrete(path: str) -> str:
    """A path that the route matches."""
    return (
        path.replace("{id}", NOBODY)
        .replace("{name}", "default")
        .replace("{code}", "not_found")
        .replace("{namespace}", "default")
    )


async def test_every_route_declares_who_may_use_it(server: Server) -> None:
    """A route that came in another way than by an extension, or without a policy, fails here."""
    declared = {id(one.route): one.policies for one in server.app.state.declared}
    assert len(server.app.routes) > 40
    undeclared = [route for route in server.app.routes if not declared.get(id(route))]
    assert undeclared == []
    assert {policy for policies in declared.values() for policy in policies.values()} <= POLICIES
    public = {
        getattr(one.route, "path", "")
        for one in server.app.state.declared
        if "public" in one.policies.values()
    }
    assert public == PUBLIC


async def test_every_rest_method_has_the_scope_of_its_operation(server: Server) -> None:
    """REST routes name a scope for each method, none leaves it to somebody else."""
    for one in server.app.state.declared:
        path = getattr(one.route, "path", "")
        if path.startswith("/v1/") and isinstance(one.route, Route):
            assert set(one.policies.values()) <= set(get_args(Scope)), path


async def test_without_a_key_nothing_but_the_public_is_served(
    server: Server, stranger: httpx2.AsyncClient
) -> None:
    """Each method of each route: 401 with a challenge, as a problem."""
    asked = 0
    for one in server.app.state.declared:
        if isinstance(one.route, WebSocketRoute):
            continue
        path = concrete(one.route.path)
        for method in one.policies:
            answer = await stranger.request("POST" if method == "*" else method, path)
            if "public" in one.policies.values():
                assert answer.status_code < 400, path
                continue
            assert answer.status_code == 401, path
            assert answer.headers["WWW-Authenticate"].startswith("Bearer"), path
            asked += 1
    assert asked > 50


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer chr_wrong"},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
        {"Authorization": "Bearer"},
        {"Authorization": ""},
        {"X-Api-Key": "x"},
    ],
)
async def test_a_wrong_key(stranger: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    """401, and the key is not repeated."""
    answer = await stranger.get("/v1/tools", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "chr_wrong" not in answer.text


@pytest.mark.parametrize("name", ["access_token", "api_key", "token", "Authorization"])
async def test_a_key_in_the_url(server: Server, client: httpx2.AsyncClient, name: str) -> None:
    """Refused although it is right, and although the header is right too: URLs are logged."""
    answer = await client.get("/v1/tools", params={name: server.key})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert server.key not in answer.text


class Narrow:
    """An authenticator whose keys are worth less than the administrator's."""

    def __init__(self, **principals: Principal) -> None:
        self._principals = principals

    def authenticate(self, key: str | None) -> Principal:
        if key not in self._principals:
            raise Unauthenticated("The key is not valid.")
        return self._principals[key]


async def test_a_narrower_key(server: Server, client: httpx2.AsyncClient, namespace: str) -> None:
    """Without the scope 403; outside of its namespaces there is nothing."""
    body = {"namespace": namespace, "definition": static_tool()}
    made = await client.post("/v1/tools", json=body)
    item = made.headers["Location"]
    keys = Narrow(
        reader=Principal("reader", NamespaceSet(frozenset({namespace})), frozenset({"tools:read"})),
        neighbour=Principal("neighbour", NamespaceSet(frozenset({"default"})), EVERY_SCOPE),
    )
    app = create_app(replace(server.runtime, authenticator=keys))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url=server.base_url) as narrow:
        reader = {"Authorization": "Bearer reader"}
        query = {"min_position": made.json()["position"]}
        assert (await narrow.get(item, params=query, headers=reader)).status_code == 200
        for method, path in (
            ("POST", "/v1/tools"),
            ("GET", "/v1/prompts"),
            ("GET", "/v1/events"),
            ("GET", "/metrics"),
        ):
            answer = await narrow.request(method, path, headers=reader)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
        neighbour = {"Authorization": "Bearer neighbour", "If-Match": '"v1"'}
        for method, path in (("GET", item), ("GET", f"{item}/history"), ("POST", f"{item}/disable")):
            assert (await narrow.request(method, path, headers=neighbour)).status_code == 404, path
        listed = await narrow.get("/v1/tools", params={"namespace": namespace}, headers=neighbour)
        assert listed.json()["items"] == []
        stream = await narrow.get("/v1/events/stream?after=0-0&follow=false", headers=neighbour)
        assert namespace not in stream.text
        refused = await narrow.post("/v1/tools", json=body, headers={"Authorization": "Bearer neighbour"})
        assert refused.json()["code"] == "namespace_not_found"
