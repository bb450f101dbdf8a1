"""The stream of events over HTTP: complete, resumable, and ended by whoever leaves."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import jsonschema_rs
import orjson
import pytest

from api.rest import stream
from api.rest.endpoints import operation_request
from api.rest.schemas import SCHEMAS
from commands.request import Request
from tests.api.conftest import Server, static_tool

URL = "/v1/events/stream"


async def messages(answer: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """The lines of the stream, each checked against its documented shape."""
    schema = {"$ref": "#/components/schemas/StreamMessage", "components": {"schemas": SCHEMAS}}
    validator = jsonschema_rs.validator_for(schema)
    async for line in answer.aiter_lines():
        message = orjson.loads(line)
        assert validator.is_valid(message), message
        yield message


async def register(client: httpx2.AsyncClient, namespace: str, name: str) -> str:
    """A new tool; returns the position of its event."""
    body = {"namespace": namespace, "definition": static_tool(name)}
    answer = await client.post("/v1/tools", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["position"])


async def test_a_stream_that_does_not_follow_ends_when_all_is_read(
    client: httpx2.AsyncClient, namespace: str
) -> None:
    """Past events in order, then `caught_up`, then the end."""
    positions = [await register(client, namespace, f"t{number}") for number in range(3)]
    query = {"after": "0-0", "follow": "false", "namespace": namespace}
    async with client.stream("GET", URL, params=query) as answer:
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        found = [message async for message in messages(answer)]
    assert [message["type"] for message in found] == ["event"] * 4 + ["caught_up"]
    assert [message["event"]["sequence"] for message in found[1:4]] == positions
    query["after"] = positions[1]
    resumed = (await client.get(URL, params=query)).text.splitlines()
    assert [orjson.loads(line)["type"] for line in resumed] == ["event", "caught_up"]


async def test_a_live_stream_tells_what_happens(client: httpx2.AsyncClient, namespace: str) -> None:
    """From now on, without what was before, as it is appended."""
    await register(client, namespace, "before")
    async with client.stream("GET", URL, params={"namespace": namespace}) as answer:
        lines = messages(answer)
        assert (await anext(lines))["type"] == "caught_up"
        position = await register(client, namespace, "now")
        message = await anext(lines)
    assert (message["type"], message["event"]["sequence"]) == ("event", position)


async def test_server_sent_events_resume_after_the_last_id(
    client: httpx2.AsyncClient, namespace: str
) -> None:
    """The same messages in the other framing; Last-Event-ID wins over the query, as a browser needs it."""
    first = await register(client, namespace, "one")
    second = await register(client, namespace, "two")
    headers = {"Accept": "text/event-stream", "Last-Event-ID": first}
    query = {"after": "live", "follow": "false", "namespace": namespace}
    answer = await client.get(URL, params=query, headers=headers)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    event, caught_up, rest = answer.text.split("\n\n")
    name, id_, data = event.split("\n")
    assert (name, id_) == ("event: event", f"id: {second}")
    assert orjson.loads(data.removeprefix("data: "))["event"]["sequence"] == second
    assert caught_up.startswith("event: caught_up\nid: ")
    assert rest == ""


async def test_a_position_of_another_log_is_refused(client: httpx2.AsyncClient, server: Server) -> None:
    """410 before the stream begins: whoever resumes there has missed something."""
    head = await server.runtime.store.head()
    answer = await client.get(URL, params={"after": f"{head.sequence}-{head.epoch + 1}"})
    assert (answer.status_code, answer.json()["code"]) == (410, "history_changed")


async def test_a_stream_in_another_form_is_refused(client: httpx2.AsyncClient) -> None:
    """406, as a problem."""
    answer = await client.get(URL, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


async def test_a_silent_stream_beats(
    client: httpx2.AsyncClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something comes at least every HEARTBEAT_S, so that no proxy takes it for dead."""
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.05)
    async with client.stream("GET", URL, params={"namespace": namespace}) as answer:
        lines = messages(answer)
        assert (await anext(lines))["type"] == "caught_up"
        assert (await anext(lines))["type"] == "heartbeat"


async def test_more_streams_than_there_are_places(
    client: httpx2.AsyncClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 for one too many; whoever leaves, or never got its stream, gives the place back."""
    monkeypatch.setattr(stream, "STREAMS_MAX", 1)
    query = {"namespace": namespace}
    for _ in range(2):
        assert (await client.get(URL, params={"after": "1-0"})).status_code == 410
        assert (await client.get(URL, params={"follow": "false"})).status_code == 200
    async with client.stream("GET", URL, params=query) as answer:
        assert (await anext(messages(answer)))["type"] == "caught_up"
        refused = await client.get(URL, params=query)
        assert (refused.status_code, refused.json()["code"]) == (429, "limit_exceeded")
    async with asyncio.timeout(5):
        while (await client.get(URL, params={"follow": "false"})).status_code == 429:
            pass


async def test_a_client_that_leaves_ends_the_subscription(
    client: httpx2.AsyncClient, server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader of the log is given back, although no event comes."""
    ended = asyncio.Event()
    follow = server.runtime.messages.operations["event.follow"].handler

    async def watched(items: Any) -> AsyncIterator[Any]:
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()
            ended.set()

    async def handler(context: Any, query: Any) -> Any:
        return watched(await follow(context, query))

    operation = server.runtime.messages.operations["event.follow"]
    monkeypatch.setitem(
        server.runtime.messages.operations._rows, "event.follow", replace(operation, handler=handler)
    )
    async with client.stream("GET", URL, params={"namespace": namespace}) as answer:
        assert (await anext(messages(answer)))["type"] == "caught_up"
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_client_that_reads_nothing_is_given_up(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full connection holds a reader of the log only for SEND_TIMEOUT_S."""
    monkeypatch.setattr(stream, "SEND_TIMEOUT_S", 0.05)
    started: list[str] = []

    async def send(message: Any) -> None:
        started.append(message["type"])
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    scope = {
        "type": "http",
        "method": "GET",
        "path": URL,
        "query_string": b"after=0-0",
        "headers": [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {server.key}".encode())],
    }
    await asyncio.wait_for(server.app(scope, receive, send), 5)
    assert started == ["http.response.start", "http.response.body"]


HUGE = "9" * 20 + "-0"
BEYOND = f"{2**53 - 1}-1"


async def test_no_position_is_too_large_to_be_answered(client: httpx2.AsyncClient) -> None:
    """A number that the log's server cannot hold is wrong input; one that it can is of another log. Neither waits."""
    async with asyncio.timeout(10):
        for url in (URL, "/v1/events", "/v1/events?order=newest_first"):
            wrong = await client.get(url, params={**httpx2.QueryParams(url.partition("?")[2]), "after": HUGE})
            assert wrong.status_code == 422, wrong.text
            assert wrong.json()["errors"][0]["pointer"] == "/after"
            query = {**httpx2.QueryParams(url.partition("?")[2]), "after": BEYOND}
            gone = await client.get(url, params=query)
            assert (gone.status_code, gone.json()["code"]) == (410, "history_changed")


async def test_a_stream_without_a_first_item_gives_its_place_back(
    server: Server, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the client leaves before it, and when the request's deadline is over before it."""
    monkeypatch.setattr(stream, "STREAMS_MAX", 1)
    begun = asyncio.Event()

    async def silent() -> AsyncIterator[Any]:
        begun.set()
        await asyncio.Event().wait()
        yield

    async def handler(context: Any, query: Any) -> Any:
        return silent()

    operations = server.runtime.messages.operations
    with monkeypatch.context() as patched:
        operation = operations["event.follow"]
        patched.setitem(operations._rows, "event.follow", replace(operation, handler=handler))
        asked = asyncio.create_task(client.get(URL))
        await asyncio.wait_for(begun.wait(), 5)
        assert (await client.get(URL)).status_code == 429
        asked.cancel()
        await asyncio.wait({asked})
        patched.setattr(stream, "operation_request", hurried)
        async with asyncio.timeout(5):
            while (answer := await client.get(URL)).status_code == 429:
                pass
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
    assert (await client.get(URL, params={"follow": "false"})).status_code == 200


def hurried(*arguments: Any) -> Request:
    """The request, with next to no time."""
    return replace(operation_request(*arguments), deadline_s=0.05)
