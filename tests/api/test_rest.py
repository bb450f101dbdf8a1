"""The operations over REST, as a client uses them."""

from typing import Any

import httpx2
import jsonschema_rs
import pytest

from api.rest.schemas import SCHEMAS
from tests.api.conftest import DEFINITIONS, Server, Unchanged, static_tool

PATHS = {"tool": "/v1/tools", "resource": "/v1/resources", "prompt": "/v1/prompts"}


def assert_shape(value: Any, name: str) -> None:
    """The value is what the OpenAPI document says."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}}
    errors = [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(value)]
    assert errors == []


async def send(
    client: httpx2.AsyncClient, method: str, path: str, body: Any = None, version: int | None = None
) -> httpx2.Response:
    """A command that is carried out; checks what every command answers."""
    headers = {"If-Match": f'"v{version}"'} if version else {}
    answer = await client.request(method, path, json=body, headers=headers)
    assert answer.status_code in (200, 201), answer.text
    result = answer.json()
    assert_shape(result, "CommandResult")
    assert answer.headers["ETag"] == f'"v{result["version"]}"'
    assert (answer.status_code == 201) == (result["version"] == 1 and result["event"] is not None)
    seen = await client.get(answer.headers["Location"], params={"min_position": result["position"]})
    assert seen.status_code == 200, seen.text
    assert seen.headers["ETag"] == answer.headers["ETag"]
    assert_shape(seen.json(), "Entry")
    for name in ("id", "kind", "namespace", "key", "status", "version", "revision", "served_revision"):
        if result[name] is not None:
            assert seen.json()[name] == result[name], name
    return answer


def changed(kind: str, text: str) -> dict[str, Any]:
    """The kind's definition with another description."""
    return {**DEFINITIONS[kind], "description": text}


@pytest.mark.parametrize("kind", DEFINITIONS)
async def test_the_life_of_a_definition(
    client: httpx2.AsyncClient, namespace: str, unchanged: Unchanged, kind: str
) -> None:
    """Every command of the life cycle, in order; history tells them all."""
    body = {"namespace": namespace, "definition": DEFINITIONS[kind], "provenance": {"source": "test"}}
    answer = await send(client, "POST", PATHS[kind], body)
    item = answer.headers["Location"]
    assert item == f"{PATHS[kind]}/{answer.json()['id']}"
    async with unchanged():
        same = await send(client, "PUT", PATHS[kind], body)
    assert same.json()["event"] is None
    applied = await send(client, "PUT", PATHS[kind], {**body, "definition": changed(kind, "two")})
    assert applied.status_code == 200
    await send(client, "POST", f"{item}/revise", {"definition": changed(kind, "three")}, 2)
    await send(client, "POST", f"{item}/roll-back", {"to_revision": 1}, 3)
    for version, verb, status in (
        (4, "disable", "disabled"),
        (5, "enable", "active"),
        (6, "retire", "retired"),
    ):
        done = await send(client, "POST", f"{item}/{verb}", {"reason": verb}, version)
        assert done.json()["status"] == status
    done = await send(client, "POST", f"{item}/restore", None, 7)
    assert done.json()["revision"] == done.json()["served_revision"] == 4
    entry = (await client.get(item)).json()
    assert entry["definition"].get("description") == DEFINITIONS[kind].get("description")
    assert entry["provenance"] == {"source": "test"}
    assert entry["updated_by"] == "admin"
    page = (await client.get(f"{item}/history")).json()
    assert_shape(page, "EventPage")
    verbs = ["registered", "revised", "revised", "rolled_back", "disabled", "enabled", "retired", "restored"]
    assert [event["type"] for event in page["events"]] == [
        f"io.mcp-chronicle.{kind}.{verb}.v1" for verb in verbs
    ]
    assert page["events"][4]["reason"] == "disable"


async def test_approval(client: httpx2.AsyncClient, namespace: str) -> None:
    """Under `required`, what was approved is served until somebody approves the next one."""
    policy = {"policy": {"approval": "required"}}
    done = await send(client, "PUT", f"/v1/namespaces/{namespace}/policy", policy, 1)
    assert done.headers["Location"] == f"/v1/namespaces/{namespace}"
    body = {"namespace": namespace, "definition": static_tool(description="one")}
    answer = await send(client, "POST", "/v1/tools", body)
    assert (answer.json()["status"], answer.json()["served_revision"]) == ("proposed", None)
    item = answer.headers["Location"]
    await send(client, "POST", f"{item}/approve", {"revision": 1}, 1)
    await send(client, "POST", f"{item}/revise", {"definition": static_tool(description="two")}, 2)
    entry = (await client.get(item)).json()
    assert entry["definition"]["description"] == "one"
    assert [proposal["definition"]["description"] for proposal in entry["proposals"]] == ["two"]
    rejected = await send(client, "POST", f"{item}/reject", {"revision": 2}, 3)
    assert rejected.json()["served_revision"] == 1


async def test_a_repetition_with_its_key_gets_the_same_answer(
    client: httpx2.AsyncClient, namespace: str, unchanged: Unchanged
) -> None:
    """Status, headers and body, also after the thing has changed; another request under the key is refused."""
    body = {"namespace": namespace, "definition": static_tool()}
    key = {"Idempotency-Key": f"k-{namespace}"}
    first = await client.post("/v1/tools", json=body, headers=key)
    assert first.status_code == 201
    await send(client, "POST", f"{first.headers['Location']}/disable", {}, 1)
    async with unchanged():
        again = await client.post("/v1/tools", json=body, headers=key)
        other = await client.post("/v1/tools", json={**body, "reason": "another"}, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["ETag"] == first.headers["ETag"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_a_reader_that_has_the_version_is_told_so(client: httpx2.AsyncClient, namespace: str) -> None:
    """304 without a body for the tag, weak or among others, and `*`; the item for any other."""
    answer = await send(client, "POST", "/v1/tools", {"namespace": namespace, "definition": static_tool()})
    item = answer.headers["Location"]
    for tags in ('"v1"', 'W/"v1"', '"a", "v1"', "*"):
        seen = await client.get(item, headers={"If-None-Match": tags})
        assert (seen.status_code, seen.content, seen.headers["ETag"]) == (304, b"", '"v1"'), tags
    assert (await client.get(item, headers={"If-None-Match": '"v2", "v11"'})).status_code == 200
    assert (await client.get(item, headers={"If-None-Match": "v1"})).status_code == 400
    head = await client.head(item)
    assert (head.status_code, head.headers["ETag"], head.content) == (200, '"v1"', b"")


@pytest.mark.parametrize(("kind", "key"), [("tool", "name"), ("resource", "uri"), ("prompt", "name")])
async def test_an_item_by_its_key(client: httpx2.AsyncClient, namespace: str, kind: str, key: str) -> None:
    """The single item of that key, as by its id; 404 for none."""
    body = {"namespace": namespace, "definition": DEFINITIONS[kind]}
    answer = await send(client, "POST", PATHS[kind], body)
    query = {"namespace": namespace, key: DEFINITIONS[kind][key]}
    found = await client.get(PATHS[kind], params=query)
    assert found.json() == (await client.get(answer.headers["Location"])).json()
    assert found.headers["ETag"] == '"v1"'
    assert (await client.get(PATHS[kind], params={**query, key: "docs://other"})).status_code == 404


async def test_pages_lead_to_each_other(client: httpx2.AsyncClient, namespace: str) -> None:
    """Following `Link` gives every item once, in order, with the conditions kept."""
    names = [f"tool-{number}" for number in range(5)]
    for name in names:
        await send(client, "POST", "/v1/tools", {"namespace": namespace, "definition": static_tool(name)})
    found: list[str] = []
    url: str | None = f"/v1/tools?namespace={namespace}&limit=2&status=active"
    pages = 0
    while url:
        page = await client.get(url)
        assert_shape(page.json(), "EntryPage")
        found += [item["key"] for item in page.json()["items"]]
        assert ("Link" in page.headers) == (page.json()["cursor"] is not None)
        url = page.links["next"]["url"] if "Link" in page.headers else None
        pages += 1
    assert (found, pages) == (names, 3)


async def test_history_and_events_by_pages(client: httpx2.AsyncClient, namespace: str) -> None:
    """Both link to the rest, after a version and after a position."""
    answer = await send(client, "POST", "/v1/tools", {"namespace": namespace, "definition": static_tool()})
    item = answer.headers["Location"]
    await send(client, "POST", f"{item}/disable", {}, 1)
    await send(client, "POST", f"{item}/enable", {}, 2)
    for url in (f"{item}/history?limit=2", f"/v1/events?subject={answer.json()['id']}&limit=2"):
        first = await client.get(url)
        second = await client.get(first.links["next"]["url"])
        events = first.json()["events"] + second.json()["events"]
        assert [event["aggregateversion"] for event in events] == [1, 2, 3]
    newest = await client.get(
        "/v1/events",
        params={"namespace": namespace, "order": "newest_first", "types": "tool.enabled,tool.disabled"},
    )
    assert [event["type"].split(".")[-2] for event in newest.json()["events"]] == ["enabled", "disabled"]
    everything = await client.get(f"/v1/namespaces/{namespace}/history")
    assert len(everything.json()["events"]) == 1


async def test_search(client: httpx2.AsyncClient, namespace: str) -> None:
    """Words of the description find it, in the kinds, namespace and status asked for."""
    body = {"namespace": namespace, "definition": static_tool("zephyr", "Gentle wind over heather")}
    done = await send(client, "POST", "/v1/tools", body)
    query = {"q": "heather wind", "namespace": namespace, "min_position": done.json()["position"]}
    found = await client.get("/v1/search", params=query)
    assert_shape(found.json(), "SearchAnswer")
    assert [hit["entry"]["key"] for hit in found.json()["hits"]] == ["zephyr"]
    for more in ({"kinds": "resource,prompt"}, {"status": "retired"}, {"namespace": "default"}):
        assert (await client.get("/v1/search", params={**query, **more})).json()["hits"] == []
    assert len((await client.get("/v1/search", params={**query, "status": "any"})).json()["hits"]) == 1


async def test_use(client: httpx2.AsyncClient, namespace: str, server: Server) -> None:
    """A call, a content, a content by URI and a rendered prompt."""
    items: dict[str, str] = {}
    for kind, definition in DEFINITIONS.items():
        answer = await send(client, "POST", PATHS[kind], {"namespace": namespace, "definition": definition})
        items[kind] = answer.headers["Location"]
    position = await server.runtime.store.head()
    await server.runtime.registry.wait_for(position, 5)
    called = (await client.post(f"{items['tool']}/call", json={"arguments": {"city": "Bern"}})).json()
    assert_shape(called, "ToolResult")
    assert called["content"] == [{"type": "text", "text": "sunny"}]
    content = (await client.get(f"{items['resource']}/content")).json()
    assert_shape(content, "ResourceContents")
    assert content["contents"][0]["text"] == "Trains before planes."
    query = {"uri": DEFINITIONS["resource"]["uri"], "namespace": namespace}
    assert (await client.get("/v1/resources/content", params=query)).json() == content
    rendered = (await client.post(f"{items['prompt']}/render", json={"arguments": {"text": "hello"}})).json()
    assert_shape(rendered, "RenderedPrompt")
    assert rendered["messages"] == [{"role": "user", "text": "Summarise: hello"}]


async def test_a_read_that_must_wait_too_long_says_so(client: httpx2.AsyncClient, server: Server) -> None:
    """504 for a position that does not come; the wait is bounded."""
    head = await server.runtime.store.head()
    answer = await client.get(
        "/v1/tools", params={"min_position": f"{head.sequence + 1000}-{head.epoch}"}, timeout=10
    )
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
