"""`list_changed`: from the Tool Registry's changes to every session and subscription that may see them.

Changes are drawn together: the first is told at once, later ones at most once in an interval, and always once after the
last. A notice says only that a list is to be read again, so each receiver needs no more memory than one mark for each
list, and a slow one delays nobody else.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

import anyio
from anyio.abc import TaskGroup, TaskStatus
from mcp.server import ServerRequestContext
from mcp.server.connection import Connection
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ServerEvent,
    SubscriptionBus,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, SubscriptionsListenRequestParams, SubscriptionsListenResult
from prometheus_client import Gauge

from api.mcp.caller import caller_of
from commands.ports import Registry
from domain.entry import Kind
from domain.principal import NamespaceSet

INTERVAL_S = 1.0
"""The least time between two notices of one list."""

SUBSCRIPTIONS_MAX = 2000
"""Open `subscriptions/listen` streams of the process; one more is refused."""

NOTICES_WAITING_MAX = 64
"""Notices that wait for one such stream; a client so far behind is cut off, and reads the lists again."""

_EVENTS: Mapping[Kind, ServerEvent] = {
    "tool": ToolsListChanged(),
    "resource": ResourcesListChanged(),
    "prompt": PromptsListChanged(),
}
_SEND: Mapping[ServerEvent, Callable[[Connection], Awaitable[None]]] = {
    ToolsListChanged(): Connection.send_tool_list_changed,
    ResourcesListChanged(): Connection.send_resource_list_changed,
    PromptsListChanged(): Connection.send_prompt_list_changed,
}


class ListChanges:
    """Publishes the registry's changes, drawn together, on one bus for each set of visible namespaces."""

    def __init__(self, registry: Registry, interval_s: float = INTERVAL_S) -> None:
        self._registry = registry
        self._interval_s = interval_s
        # A bus lives as long as somebody listens on it.
        self._buses: WeakValueDictionary[NamespaceSet, InMemorySubscriptionBus] = WeakValueDictionary()
        self._changed: dict[ServerEvent, set[str]] = {}
        self._arrived = anyio.Event()

    def bus(self, visible: NamespaceSet) -> SubscriptionBus:
        """Where the changes in these namespaces are published; keep it for as long as you listen."""
        return self._buses.setdefault(visible, InMemorySubscriptionBus())

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Follow the registry until cancelled; started once nothing can be missed any more."""
        async with self._registry.changes() as changes, anyio.create_task_group() as tasks:
            tasks.start_soon(self._publish)
            task_status.started()
            async for change in changes:
                event = _EVENTS.get(change.kind)
                if event is not None:
                    self._changed.setdefault(event, set()).add(change.namespace)
                    self._arrived.set()

    async def _publish(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived = anyio.Event()
            changed, self._changed = self._changed, {}
            for visible, bus in list(self._buses.items()):
                for event, namespaces in changed.items():
                    if any(namespace in visible for namespace in namespaces):
                        await bus.publish(event)
            await anyio.sleep(self._interval_s)


class Subscriptions:
    """The open `subscriptions/listen` streams of the stateless era: acknowledgement first, then what was asked for."""

    def __init__(self, changes: ListChanges, subscriptions_max: int = SUBSCRIPTIONS_MAX) -> None:
        self._changes = changes
        self._subscriptions_max = subscriptions_max
        self._open = 0

    async def listen(
        self, ctx: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Serve one stream until the client goes."""
        if self._open >= self._subscriptions_max:
            raise MCPError(
                INTERNAL_ERROR, f"{self._subscriptions_max} subscriptions are open already; try again later."
            )
        # One handler for each stream, because the bus depends on what the caller may see.
        handler = ListenHandler(
            self._changes.bus(caller_of(ctx.request).visible), max_buffered_events=NOTICES_WAITING_MAX
        )
        self._open += 1
        try:
            return await handler(ctx, _lists_only(params))
        finally:
            self._open -= 1


def _lists_only(params: SubscriptionsListenRequestParams) -> SubscriptionsListenRequestParams:
    # The acknowledgement names what will be delivered, and updates of single resources are not.
    wanted = params.notifications.model_copy(update={"resource_subscriptions": None})
    return params.model_copy(update={"notifications": wanted})


class Sessions:
    """The open sessions of the handshake era, and what each is still to be told on its standalone stream."""

    def __init__(self, changes: ListChanges, gauge: Gauge) -> None:
        self._changes = changes
        self._gauge = gauge
        self._sessions: dict[str, _Session] = {}

    def opened(self, connection: Connection, visible: NamespaceSet, tasks: TaskGroup) -> None:
        """Remember a session that was initialized, until its connection ends."""
        session_id = connection.session_id
        if session_id is None or session_id in self._sessions:
            return
        session = _Session(connection, self._changes.bus(visible), tasks)
        self._sessions[session_id] = session
        self._gauge.set(len(self._sessions))
        connection.exit_stack.callback(self._closed, session_id, session)

    def stream_opened(self, session_id: str) -> None:
        """The session's standalone stream is there: tell it what changed since there was none."""
        if session_id in self._sessions:
            self._sessions[session_id].stream(opened=True)

    def stream_closed(self, session_id: str) -> None:
        """The session's standalone stream is gone: keep what changes until there is one again."""
        if session_id in self._sessions:
            self._sessions[session_id].stream(opened=False)

    def _closed(self, session_id: str, session: "_Session") -> None:
        session.close()
        del self._sessions[session_id]
        self._gauge.set(len(self._sessions))


class _Session:
    def __init__(self, connection: Connection, bus: SubscriptionBus, tasks: TaskGroup) -> None:
        self._connection = connection
        self._tasks = tasks
        self._due: dict[ServerEvent, None] = {}
        self._streams = 0
        self._telling = False
        self._bus = bus
        self._unsubscribe = bus.subscribe(self._note)

    def stream(self, *, opened: bool) -> None:
        self._streams += 1 if opened else -1
        self._tell()

    def close(self) -> None:
        self._unsubscribe()
        self._due.clear()

    def _note(self, event: ServerEvent) -> None:
        self._due[event] = None
        self._tell()

    def _tell(self) -> None:
        if self._due and self._streams > 0 and not self._telling:
            self._telling = True
            self._tasks.start_soon(self._tell_all)

    async def _tell_all(self) -> None:
        # A client that does not read holds up this task and no other; marks gather meanwhile, three at most.
        try:
            while self._due and self._streams > 0:
                event = next(iter(self._due))
                del self._due[event]
                await _SEND[event](self._connection)
        finally:
            self._telling = False
