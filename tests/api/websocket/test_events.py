"""Live events: in order, each once, from a position, and never lost in silence."""

import dataclasses
from socket import SO_RCVBUF, SOL_SOCKET, create_connection
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import pytest

from api.websocket.limits import CLOSE_TRY_AGAIN, DEFAULT_LIMITS
from commands.audit import Audit
from domain.errors import HistoryChanged
from tests.api.conftest import Server, static_tool
from tests.api.websocket.conftest import Connect, Do, Message, Socket, serving_sockets


async def subscribe(socket: Socket, id_: str = "s", from_: str = "live", **filter_: Any) -> Message:
    """A subscription, up to where it has caught up; what came before is checked by the caller."""
    answer = await socket.ask({"type": "subscribe", "id": id_, "from": from_, "filter": filter_})
    assert answer == {"type": "subscribed", "id": id_}
    return answer


async def until_caught_up(socket: Socket) -> tuple[list[Message], str]:
    """The events up to `caught_up`, and its position."""
    events: list[Message] = []
    while True:
        message = await socket.receive()
        if message["type"] == "caught_up":
            return events, message["position"]
        assert message["type"] == "event", message
        events.append(message["event"])


def few_buffers(url: str) -> dict[str, Any]:
    """Options of a connection whose kernel and client take little before the other end has to wait."""
    parts = urlsplit(url)
    sock = create_connection((parts.hostname, parts.port))
    sock.setsockopt(SOL_SOCKET, SO_RCVBUF, 16 * 1024)
    sock.setblocking(False)
    return {"sock": sock, "max_queue": 1, "compression": None}


async def register_many(do: Do, space: str, count: int, **definition: Any) -> None:
    """So many tools."""
    for number in range(count):
        tool = {**static_tool(f"tool_{number:04}"), **definition}
        await do("tool.register", {"namespace": space, "definition": tool})


async def test_live_events_arrive_in_order_each_once(opened: Connect, do: Do, space: str) -> None:
    """After `caught_up` every event of the filter arrives as it is appended, as a CloudEvent."""
    async with opened() as socket:
        await subscribe(socket, namespace=space)
        assert (await until_caught_up(socket))[0] == []
        await register_many(do, space, 50)
        names = [(await socket.receive())["event"]["data"]["key"] for _ in range(50)]
        assert names == [f"tool_{number:04}" for number in range(50)]
        made = await do("tool.register", {"namespace": space, "definition": static_tool("last")})
        message = await socket.receive()
        assert message["id"] == "s"
        assert message["event"]["specversion"] == "1.0"
        assert message["event"]["sequence"] == str(made.position)
        assert message["event"]["subject"] == str(made.id)


async def test_a_subscription_resumes_after_a_position(opened: Connect, do: Do, space: str) -> None:
    """From the beginning, and from any event's sequence, exactly what follows is delivered."""
    await register_many(do, space, 10)
    async with opened() as socket:
        await subscribe(socket, "all", "0-0", namespace=space, types=["tool.registered"])
        events, position = await until_caught_up(socket)
        assert [event["data"]["key"] for event in events] == [f"tool_{number:04}" for number in range(10)]
        await subscribe(socket, "rest", events[6]["sequence"], namespace=space)
        rest, _ = await until_caught_up(socket)
        assert rest == events[7:]
    made = await do("tool.register", {"namespace": space, "definition": static_tool("missed")})
    async with opened() as socket:
        await subscribe(socket, "again", position, namespace=space)
        missed, _ = await until_caught_up(socket)
        assert [event["sequence"] for event in missed] == [str(made.position)]


async def test_filters_hold_all_at_once(opened: Connect, do: Do, space: str) -> None:
    """Type, subject and actor narrow a subscription; another namespace's events never come."""
    made = await do("tool.register", {"namespace": space, "definition": static_tool()})
    async with opened() as socket:
        for filter_, expected in (
            ({"namespace": space, "types": ["tool.disabled"]}, []),
            ({"subject": str(made.id)}, [str(made.position)]),
            ({"subject": str(made.id), "actor": "nobody"}, []),
            ({"subject": str(made.id), "actor": "system"}, [str(made.position)]),
        ):
            await subscribe(socket, "f", "0-0", **filter_)
            events, _ = await until_caught_up(socket)
            assert [event["sequence"] for event in events] == expected
            assert await socket.ask({"type": "unsubscribe", "id": "f"}) == {"type": "unsubscribed", "id": "f"}


async def test_nothing_follows_an_unsubscription(opened: Connect, do: Do, space: str) -> None:
    """What is appended afterwards is not sent: the next answer is that of the ping behind it."""
    async with opened() as socket:
        await subscribe(socket, "one", namespace=space)
        await until_caught_up(socket)
        await subscribe(socket, "two", namespace=space)
        await until_caught_up(socket)
        assert (await socket.ask({"type": "unsubscribe", "id": "one"}))["type"] == "unsubscribed"
        await register_many(do, space, 1)
        message = await socket.receive()
        assert (message["type"], message["id"]) == ("event", "two")
        assert await socket.ask({"type": "ping", "id": "p"}) == {"type": "pong", "id": "p"}


@pytest.mark.parametrize(
    ("subscription", "pointer"),
    [
        ({"id": "x", "from": "yesterday"}, "/from"),
        ({"id": "x", "filter": {"namespace": "NO"}}, "/filter/namespace"),
        ({"id": "x", "filter": {"subject": "no id"}}, "/filter/subject"),
        ({"id": "x", "filter": {"colour": "red"}}, "/filter/colour"),
        ({"id": ""}, "/id"),
        ({}, "/id"),
    ],
)
async def test_a_wrong_subscription_is_an_error_with_a_pointer(
    opened: Connect, subscription: Message, pointer: str
) -> None:
    """The connection goes on, and the id is free again."""
    async with opened() as socket:
        answer = await socket.ask({"type": "subscribe", **subscription})
        assert answer["type"] == "error", answer
        assert answer["code"] == "invalid_input"
        assert [fault["pointer"] for fault in answer["errors"]] == [pointer]
        await subscribe(socket, "x")


async def test_an_id_names_one_subscription_and_their_number_is_bounded(opened: Connect) -> None:
    """A second one of the same id and one too many are refused; the others go on."""
    async with opened() as socket:
        for number in range(DEFAULT_LIMITS.subscriptions_max):
            await subscribe(socket, f"s{number}")
            await until_caught_up(socket)
        answer = await socket.ask({"type": "subscribe", "id": "s0"})
        assert (answer["type"], answer["id"], answer["code"]) == ("error", "s0", "conflict")
        answer = await socket.ask({"type": "subscribe", "id": "more"})
        assert (answer["type"], answer["id"], answer["code"]) == ("error", "more", "limit_exceeded")
        assert (await socket.ask({"type": "ping"}))["type"] == "pong"


async def test_a_position_of_another_history_is_a_gap(opened: Connect, server: Server) -> None:
    """A position beyond the head was lost: the client is told, and may begin anew under the same id."""
    head = await server.runtime.store.head()
    async with opened() as socket:
        await subscribe(socket, "s", f"{head.sequence + 1000}-{head.epoch}")
        message = await socket.receive()
        assert (message["type"], message["id"]) == ("gap", "s")
        await subscribe(socket, "s", "live")


async def test_history_that_changes_in_the_middle_is_a_gap(
    opened: Connect, do: Do, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a subscription that was delivering hears of it, behind its events."""
    original = Audit._follow

    async def changing(self: Audit, *arguments: Any) -> Any:
        async for item in original(self, *arguments):
            yield item
            raise HistoryChanged("acknowledged events were lost")

    await register_many(do, space, 2)
    monkeypatch.setattr(Audit, "_follow", changing)
    async with opened() as socket:
        await subscribe(socket, "s", "0-0", namespace=space)
        assert (await socket.receive())["type"] == "event"
        assert (await socket.receive())["type"] == "gap"


async def test_heartbeats_tell_how_far_the_log_is(opened: Connect, server: Server) -> None:
    """They come without being asked for."""
    limits = dataclasses.replace(DEFAULT_LIMITS, heartbeat_s=0.02)
    async with serving_sockets(server, limits) as url, opened(url) as socket:
        head = await server.runtime.store.head()
        await server.runtime.registry.wait_for(head, 10)
        with anyio.fail_after(5):
            text = await socket.connection.recv()
        assert f'{{"type":"heartbeat","position":"{server.runtime.registry.position}"}}' == text


async def test_a_slow_reader_is_cut_off_with_the_position_to_resume_after(
    opened: Connect, server: Server, do: Do, space: str
) -> None:
    """It gets every event up to the position in the reason and none after it; resuming there completes the log."""
    await register_many(do, space, 120, description="x" * 30_000)
    limits = dataclasses.replace(DEFAULT_LIMITS, send_timeout_s=0.3, close_timeout_s=10)
    async with serving_sockets(server, limits) as url, opened(url, **few_buffers(url)) as socket:
        await subscribe(socket, "s", "0-0", namespace=space, types=["tool.registered"])
        # Nothing is read until the server has given up, which ends the subscription's task.
        with anyio.fail_after(10):
            while any(task.name == "subscription s" for task in anyio.get_running_tasks()):
                await anyio.lowlevel.checkpoint()
        received = await socket.rest()
        code, reason = await socket.closed()
    events = [message["event"] for message in received if message["type"] == "event"]
    assert 0 < len(events) < 120
    assert code == CLOSE_TRY_AGAIN
    assert reason == f"slow reader; resume after {events[-1]['sequence']}"
    async with opened() as socket:
        await subscribe(socket, "s", events[-1]["sequence"], namespace=space)
        rest, _ = await until_caught_up(socket)
    keys = [event["data"]["key"] for event in events + rest]
    assert keys == [f"tool_{number:04}" for number in range(120)]
