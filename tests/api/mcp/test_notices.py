"""`list_changed` from the event stream, in both eras: told to whom it concerns, drawn together, never lost."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.subscriptions import ToolsListChanged
from mcp.server.connection import Connection
from mcp_types import (
    PromptListChangedNotification,
    ResourceListChangedNotification,
    ToolListChangedNotification,
)

from api.mcp.notices import ListChanges, Sessions
from domain.principal import EVERY_NAMESPACE
from tests.api.mcp.conftest import (
    ERAS,
    INITIALIZE,
    NOTICE_INTERVAL_S,
    WAIT_S,
    Served,
    narrow,
    tool_definition,
)

KINDS: dict[type, str] = {
    ToolListChangedNotification: "tools",
    ResourceListChangedNotification: "resources",
    PromptListChangedNotification: "prompts",
}


class Heard:
    """The notices that a client got, in order."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self._more = anyio.Event()

    def add(self, kind: str) -> None:
        self.notices.append(kind)
        self._more.set()
        self._more = anyio.Event()

    async def message(self, message: Any) -> None:
        """The message handler of a client of the handshake era."""
        kind = KINDS.get(type(message))
        if kind is not None:
            self.add(kind)

    async def until(self, kind: str, after: int = 0) -> int:
        """Wait for a notice of the kind after the first `after` ones; how many there are then."""
        with anyio.fail_after(WAIT_S):
            while kind not in self.notices[after:]:
                await self._more.wait()
        return len(self.notices)


@asynccontextmanager
async def listening(
    served: Served, era: str, namespace: str | None = None, key: str = "admin"
) -> AsyncIterator[tuple[Client, Heard]]:
    """A client that hears every kind of notice from here on."""
    heard = Heard()
    if era == "legacy":
        async with served.client(era, namespace, key, message_handler=heard.message) as client:
            yield client, heard
        return
    async with (
        served.client(era, namespace, key) as client,
        client.listen(
            tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True
        ) as stream,
        anyio.create_task_group() as tasks,
    ):

        async def listen() -> None:
            async for event in stream:
                heard.add(type(event).__name__.removesuffix("ListChanged").lower())

        tasks.start_soon(listen)
        yield client, heard
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("era", ERAS)
async def test_every_change_of_a_tool_is_told(served: Served, era: str) -> None:
    """Registered, revised, disabled, enabled, retired, restored: after each notice the list shows it."""
    async with listening(served, era) as (client, heard):
        tool = await served.tool("one", description="first")
        count = await heard.until("tools")
        assert [each.description for each in (await client.list_tools(cache_mode="bypass")).tools] == [
            "first"
        ]
        steps: list[tuple[str, dict[str, Any], list[str]]] = [
            ("tool.revise", {"definition": tool_definition("one", description="second")}, ["second"]),
            ("tool.disable", {}, []),
            ("tool.enable", {}, ["second"]),
            ("tool.retire", {}, []),
            ("tool.restore", {}, ["second"]),
        ]
        for operation, value, shown in steps:
            tool = await served.do(operation, value, tool)
            count = await heard.until("tools", count)
            page = await client.list_tools(cache_mode="bypass")
            assert [each.description for each in page.tools] == shown, operation
    assert set(heard.notices) == {"tools"}


@pytest.mark.parametrize("era", ERAS)
async def test_resources_and_prompts_have_their_own_notices(served: Served, era: str) -> None:
    """A client that keeps three lists reads only the right one again."""
    async with listening(served, era) as (_, heard):
        definition: dict[str, Any] = {
            "name": "r",
            "uri": "doc:1",
            "binding": {"type": "static", "text": ""},
        }
        await served.do("resource.register", {"namespace": "default", "definition": definition})
        count = await heard.until("resources")
        await served.do("prompt.register", {"namespace": "default", "definition": {"name": "p"}})
        await heard.until("prompts", count)
    assert heard.notices == ["resources", "prompts"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_proposal_changes_nothing_that_is_served(served: Served, era: str) -> None:
    """Under the policy `required` clients hear of the approval, not of the proposal."""
    await served.namespace("strict", approval="required")
    tool = await served.tool("one", namespace="strict")
    async with listening(served, era) as (_, heard):
        # A change of another list follows the proposal, so that a notice of the proposal would come before it.
        await served.do("prompt.register", {"namespace": "default", "definition": {"name": "p"}})
        await heard.until("prompts")
        assert heard.notices == ["prompts"]
        await served.do("tool.approve", {"revision": 1}, tool)
        await heard.until("tools")


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("by", ["path", "principal"])
async def test_nobody_hears_of_what_he_may_not_see(served: Served, era: str, by: str) -> None:
    """A notice would tell that something happens in a hidden namespace."""
    await served.namespace("mine")
    await served.namespace("theirs")
    served.keys.principals["narrow"] = narrow("narrow", "mine")
    path, key = ("mine", "admin") if by == "path" else (None, "narrow")
    async with listening(served, era, path, key) as (_, heard):
        await served.tool("hidden", namespace="theirs")
        await served.do("prompt.register", {"namespace": "mine", "definition": {"name": "p"}})
        await heard.until("prompts")
    assert heard.notices == ["prompts"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_burst_is_drawn_together(served: Served, era: str) -> None:
    """However many registrations there are, notices come once in an interval, and one after the last of them."""
    async with listening(served, era) as (client, heard):
        started = perf_counter()
        for number in range(200):
            await served.tool(f"t{number:03}")
        during = len(heard.notices)
        await served.tool("a-last-one")
        await heard.until("tools", during)
        names = [tool.name for tool in (await client.list_tools(cache_mode="bypass")).tools]
        while "a-last-one" not in names:
            await heard.until("tools", len(heard.notices))
            names = [tool.name for tool in (await client.list_tools(cache_mode="bypass")).tools]
        intervals = (perf_counter() - started) / NOTICE_INTERVAL_S
    assert 1 <= len(heard.notices) <= intervals + 2


async def test_a_change_before_the_stream_is_there_is_told_on_it(served: Served) -> None:
    """A client lists first and opens its stream later; what changed in between must not be lost."""
    async with served.http() as http:
        opened = await http.post(served.url(), json=INITIALIZE)
        headers = {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
        await http.post(
            served.url(), json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers
        )
        await served.tool("early")
        async with http.stream("GET", served.url(), headers=headers) as stream:
            assert stream.status_code == 200
            assert "notifications/tools/list_changed" in await line_with(stream.aiter_lines, "data:")


async def test_only_what_was_asked_for_is_delivered(served: Served) -> None:
    """2026-07-28: the acknowledgement names what is delivered, and nothing else comes."""
    async with (
        served.client("2026-07-28") as client,
        client.listen(tools_list_changed=True, resource_subscriptions=["doc:1"]) as stream,
    ):
        assert stream.honored.tools_list_changed is True
        assert stream.honored.prompts_list_changed is None
        assert stream.honored.resource_subscriptions is None
        await served.do("prompt.register", {"namespace": "default", "definition": {"name": "p"}})
        await served.tool("one")
        with anyio.fail_after(WAIT_S):
            assert isinstance(await anext(aiter(stream)), ToolsListChanged)


async def test_a_session_that_does_not_read_holds_up_nobody(served: Served) -> None:
    """One stuck connection keeps its own notices waiting, and those of no other session."""
    told = anyio.Event()

    class Stuck:
        async def notify(self, method: str, params: Any, opts: Any = None) -> None:
            await anyio.sleep_forever()

    class Fine:
        async def notify(self, method: str, params: Any, opts: Any = None) -> None:
            told.set()

    changes = ListChanges(served.runtime.registry, 0.0)
    sessions = Sessions(changes, served.runtime.metrics.mcp_sessions)
    async with anyio.create_task_group() as tasks:
        await tasks.start(changes.run)
        for name, outbound in (("stuck", Stuck()), ("fine", Fine())):
            connection = Connection.for_loop(outbound, session_id=name)  # type: ignore[arg-type]  # only notifies
            sessions.opened(connection, EVERY_NAMESPACE, tasks)
            sessions.stream_opened(name)
        await served.tool("one")
        with anyio.fail_after(WAIT_S):
            await told.wait()
        tasks.cancel_scope.cancel()


async def test_sessions_are_counted_while_they_are_open(served: Served) -> None:
    """The gauge follows the handshake era, and falls again."""
    gauge = served.runtime.metrics.mcp_sessions
    async with served.client("legacy"), served.client("legacy"), served.client("2026-07-28"):
        assert gauge._value.get() == 2
    with anyio.fail_after(WAIT_S):
        while gauge._value.get():
            await anyio.lowlevel.checkpoint()


async def line_with(lines: Callable[[], AsyncIterator[str]], start: str) -> str:
    """The first line that begins so."""
    with anyio.fail_after(WAIT_S):
        async for line in lines():
            if line.startswith(start):
                return line
    raise AssertionError(f"the stream ended without {start}")
