"""Health, metrics and the pages that explain problems."""

from dataclasses import replace

import httpx2

from api.app import create_app
from api.errors import TABLE
from infra.runtime import Health
from tests.api.conftest import Server


async def test_the_process_is_alive(stranger: httpx2.AsyncClient) -> None:
    """Nothing but the loop answers."""
    assert (await stranger.get("/livez")).json() == {"live": True}


async def test_the_address_itself_says_where_to_go_on(stranger: httpx2.AsyncClient, server: Server) -> None:
    """Somebody who opens it in a browser, without a key; every link is served."""
    paths = {getattr(one.route, "path", "") for one in server.app.state.declared}
    for path in ("/", "/v1"):
        entrance = (await stranger.get(path)).json()
        assert entrance["name"] == "MCP Chronicle"
        assert entrance["version"]
        assert {"/openapi.json", "/graphql", "/v1/ws", "/mcp", "/metrics", "/readyz"} == set(
            entrance["links"].values()
        )
        assert set(entrance["links"].values()) <= paths


async def test_the_process_is_ready(stranger: httpx2.AsyncClient) -> None:
    """And says how each part is."""
    answer = await stranger.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["ready"] is True
    assert answer.json()["parts"]["log"] == "ok"


async def test_the_process_is_not_ready(server: Server) -> None:
    """503 that says which part is waited for, and when to ask again."""

    async def health() -> Health:
        return Health(ready=False, parts={"log": "ok", "registry": "reading the log"})

    app = create_app(replace(server.runtime, health=health))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url=server.base_url) as inside:
        answer = await inside.get("/readyz")
        assert (await inside.get("/livez")).status_code == 200
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["code"] == "not_ready"
    assert "registry: reading the log" in answer.json()["detail"]
    assert answer.json()["parts"] == {"log": "ok", "registry": "reading the log"}


async def test_metrics_count_requests_by_outcome(client: httpx2.AsyncClient) -> None:
    """What is asked over REST is counted under its operation and its error's code."""
    await client.get("/v1/tools/00000000-0000-4000-8000-000000000000")
    answer = await client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert (
        'chronicle_requests_total{operation="tool.get",outcome="not_found",transport="rest"}' in answer.text
    )


async def test_every_problem_type_leads_to_its_meaning(stranger: httpx2.AsyncClient) -> None:
    """The `type` of a problem can be opened by whoever received it."""
    listed = (await stranger.get("/problems")).json()["problems"]
    assert len(listed) == len(TABLE)
    for problem in listed:
        page = (await stranger.get(problem["type"])).json()
        assert page == problem
        assert len(page["meaning"]) > 20
    assert (await stranger.get("/problems/nothing")).status_code == 404
