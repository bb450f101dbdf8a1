"""The handshake, requests and everything that ends a connection."""

import asyncio
import dataclasses
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from api.websocket.limits import (
    CLOSE_NO_SUBPROTOCOL,
    CLOSE_RESTART,
    CLOSE_TOO_BIG,
    CLOSE_TRY_AGAIN,
    CLOSE_UNAUTHENTICATED,
    DEFAULT_LIMITS,
    SUBPROTOCOL,
)
from commands.message_manager import MessageManager
from commands.request import Request
from tests.api.conftest import Server, Unchanged, static_tool
from tests.api.websocket.conftest import Connect, Message, serving_sockets


async def test_the_subprotocol_is_required_and_echoed(opened: Connect) -> None:
    """Without it, or with another, the connection is closed with 4406."""
    async with opened() as socket:
        assert socket.connection.subprotocol == SUBPROTOCOL
    for other in ((), ("mcp",)):
        async with opened(subprotocols=other) as socket:
            code, reason = await socket.closed()
            assert code == CLOSE_NO_SUBPROTOCOL
            assert SUBPROTOCOL in str(reason)


async def test_a_key_comes_in_the_header_or_as_the_first_message(opened: Connect, server: Server) -> None:
    """Both ways lead to a connection that answers; a second key is an error."""
    async with opened() as socket:
        assert (await socket.ask({"type": "ping", "id": "1"}))["type"] == "pong"
    async with opened(headers={}) as socket:
        auth = {"type": "auth", "key": server.key}
        assert await socket.ask(auth) == {"type": "authenticated"}
        assert (await socket.ask(auth))["code"] == "conflict"
        assert (await socket.ask({"type": "ping"})) == {"type": "pong", "id": None}


@pytest.mark.parametrize(
    ("headers", "first"),
    [
        ({"Authorization": "Bearer wrong"}, None),
        ({"Authorization": "Basic eDp5"}, None),
        ({}, {"type": "auth", "key": "wrong"}),
        ({}, {"type": "auth"}),
        ({}, {"type": "request", "id": "1", "operation": "tool.list"}),
        ({}, {"type": "subscribe", "id": "1"}),
        ({}, "{"),
        ({}, b"\x00"),
    ],
)
async def test_without_a_valid_key_nothing_is_answered(
    opened: Connect, headers: dict[str, str], first: Any
) -> None:
    """The close code is 4401, and no message comes before it."""
    async with opened(headers=headers) as socket:
        if first is not None:
            await socket.send(first)
        assert await socket.rest() == []
        assert (await socket.closed())[0] == CLOSE_UNAUTHENTICATED


async def test_a_key_in_the_url_is_refused(opened: Connect, url: str) -> None:
    """URLs are logged, so a key there ends the connection at once, with a valid header beside it and without one."""
    ways: tuple[dict[str, str] | None, ...] = (None, {})
    for headers in ways:
        async with opened(f"{url}?token=x", headers=headers) as socket:
            code, reason = await socket.closed()
            assert code == CLOSE_UNAUTHENTICATED
            assert "'token'" in str(reason)


async def test_a_client_that_sends_no_key_is_not_waited_for(opened: Connect, server: Server) -> None:
    """After the time for it the connection is closed with 4401."""
    limits = dataclasses.replace(DEFAULT_LIMITS, authentication_s=0.05)
    async with serving_sockets(server, limits) as url, opened(url, headers={}) as socket:
        assert await socket.closed() == (CLOSE_UNAUTHENTICATED, "no key came within 0.05 s")


@pytest.mark.parametrize(
    ("header", "value", "status"), [("Origin", "https://evil.example", 403), ("Host", "evil.example", 421)]
)
async def test_strangers_pages_and_rebound_names_are_refused(
    opened: Connect, server: Server, header: str, value: str, status: int
) -> None:
    """The guard around every transport covers the handshake."""
    with pytest.raises(InvalidStatus) as refused:
        async with opened(headers={**server.authorization, header: value}):
            pass
    assert refused.value.response.status_code == status


async def test_one_connection_too_many_is_told_so(opened: Connect, server: Server) -> None:
    """The bound is on all connections; when one ends there is room again, and the gauge follows."""
    gauge = server.runtime.metrics.websocket_connections
    limits = dataclasses.replace(DEFAULT_LIMITS, connections_max=1)
    async with serving_sockets(server, limits) as url:
        before = gauge._value.get()
        async with opened(url) as socket:
            assert (await socket.ask({"type": "ping"}))["type"] == "pong"
            assert gauge._value.get() == before + 1
            async with opened(url) as other:
                assert (await other.closed())[0] == CLOSE_TRY_AGAIN
            assert (await socket.ask({"type": "ping"}))["type"] == "pong"
    assert gauge._value.get() == before


@pytest.mark.parametrize(
    ("message", "pointers"),
    [
        ("{", None),
        ("[]", None),
        ("", None),
        (b"{}", None),
        ("[" * 60_000, None),
        ({"type": "sing", "id": "a"}, ["/type"]),
        ({"type": ["ping"]}, ["/type"]),
        ({"type": "ping", "loud": True}, ["/loud"]),
        ({"type": "request", "id": "a"}, ["/operation"]),
        ({"type": "request", "id": "a", "operation": "tool.sing"}, ["/operation"]),
        ({"type": "request", "id": "a", "operation": "event.follow"}, ["/operation"]),
        ({"type": "request", "id": "a", "operation": "tool.get", "target": "x"}, ["/target"]),
        ({"type": "request", "id": "a", "operation": "tool.list", "input": {"limit": 0}}, ["/input/limit"]),
    ],
)
async def test_a_wrong_message_is_an_error_and_not_the_end(
    opened: Connect, message: Any, pointers: list[str] | None
) -> None:
    """It carries the id of the message, a trace id and pointers; the next message is answered as ever."""
    async with opened() as socket:
        answer = await socket.ask(message)
        assert answer["type"] == "error", answer
        assert answer["code"] == "invalid_input"
        assert answer["trace_id"]
        assert answer.get("id") == (message.get("id") if isinstance(message, dict) else None)
        found = [fault["pointer"] for fault in answer["errors"]] if "errors" in answer else None
        assert found == pointers
        assert (await socket.ask({"type": "ping"}))["type"] == "pong"


async def test_a_message_beyond_the_bound_ends_the_connection(opened: Connect) -> None:
    """The largest message is read, one byte more is 1009."""
    largest = '{"type":"ping","id":null}'.ljust(DEFAULT_LIMITS.message_bytes_max)
    async with opened() as socket:
        assert (await socket.ask(largest))["type"] == "pong"
        await socket.send(largest + " ")
        assert (await socket.closed())[0] == CLOSE_TOO_BIG


async def test_commands_queries_and_calls_are_requests(opened: Connect, server: Server, space: str) -> None:
    """The same operations as everywhere, with target, expected version and idempotency key."""
    register = {"input": {"namespace": space, "definition": static_tool()}, "idempotency_key": f"{space}-k"}
    async with opened() as socket:
        made = await socket.request("tool.register", **register)
        assert made["type"] == "result", made
        assert await socket.request("tool.register", **register) == made
        tool = made["result"]
        found = await socket.request("tool.get", target=tool["id"], input={"min_position": tool["position"]})
        assert found["result"]["definition"] == static_tool()
        refused = await socket.request("tool.disable", target=tool["id"])
        assert (refused["type"], refused["id"], refused["code"]) == (
            "error",
            "tool.disable",
            "version_required",
        )
        refused = await socket.request("tool.disable", target=tool["id"], expected_version=7)
        assert refused["code"] == "version_conflict"
        await server.runtime.registry.wait_for((await server.runtime.store.head()), 10)
        called = await socket.request(
            "tool.call", input={"namespace": space, "name": "weather", "arguments": {"city": "Oslo"}}
        )
        assert called["result"]["content"] == [{"type": "text", "text": "sunny"}]
        disabled = await socket.request("tool.disable", target=tool["id"], expected_version=1)
        assert disabled["result"]["status"] == "disabled"


async def test_a_refused_request_changes_nothing(opened: Connect, unchanged: Unchanged, space: str) -> None:
    """A definition that does not fit is pointed at below /input."""
    async with opened() as socket, unchanged():
        answer = await socket.request(
            "tool.register", input={"namespace": space, "definition": {**static_tool(), "name": "no name"}}
        )
        assert [fault["pointer"] for fault in answer["errors"]] == ["/input/definition/name"]


async def test_requests_in_flight_are_bounded(opened: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is refused at once, and when the others are answered there is room again."""
    release = asyncio.Event()
    original = MessageManager.handle

    async def held(self: MessageManager, request: Request) -> Any:
        await release.wait()
        return await original(self, request)

    monkeypatch.setattr(MessageManager, "handle", held)
    count = DEFAULT_LIMITS.requests_in_flight_max
    async with opened() as socket:
        for number in range(count):
            await socket.send({"type": "request", "id": str(number), "operation": "tool.list"})
        answer = await socket.ask({"type": "request", "id": "more", "operation": "tool.list"})
        assert (answer["id"], answer["code"]) == ("more", "limit_exceeded")
        release.set()
        answers = [await socket.receive() for _ in range(count)]
        assert {answer["id"] for answer in answers} == {str(number) for number in range(count)}
        assert (await socket.request("tool.list"))["type"] == "result"


async def test_a_defect_shows_nothing_but_its_trace_id(
    opened: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is none of ours is masked, and the connection goes on."""

    async def fail(self: MessageManager, request: Request) -> None:
        raise ZeroDivisionError("the secret is 42")

    monkeypatch.setattr(MessageManager, "handle", fail)
    async with opened() as socket:
        for message in (
            {"type": "request", "id": "r", "operation": "tool.list"},
            {"type": "subscribe", "id": "r"},
        ):
            answer: Message = await socket.ask(message)
            assert (answer["type"], answer["id"], answer["code"]) == ("error", "r", "internal_error")
            assert "secret" not in str(answer)


async def test_the_end_of_the_server_ends_the_connection(opened: Connect, server: Server) -> None:
    """The client hears 1012, service restart, and not silence."""
    async with serving_sockets(server, DEFAULT_LIMITS) as url:
        context = opened(url)
        socket = await context.__aenter__()
        assert (await socket.ask({"type": "subscribe", "id": "s"}))["type"] == "subscribed"
    assert (await socket.closed())[0] == CLOSE_RESTART
    await context.__aexit__(None, None, None)
