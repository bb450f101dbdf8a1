"""Events as they happen, over plain HTTP: JSON Lines, or server-sent events for whoever accepts only those.

Each line is one object, told apart by `type` as on the WebSocket: `event`, `caught_up`, `heartbeat`, `gap`, `error`.
A stream that is cut off is resumed after the `sequence` of its last event.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
import orjson
import structlog
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api.auth import authenticate
from api.errors import NotAcceptable, problem
from api.guard import correlation_id
from api.rest.endpoints import Handler, operation_request
from api.rest.reading import read_query
from api.rest.rows import Row
from commands.audit import CaughtUp
from commands.event_view import event_view
from domain.errors import (
    ChronicleError,
    DeadlineExceeded,
    Fault,
    HistoryChanged,
    InvalidInput,
    LimitExceeded,
)
from domain.recorded import RecordedEvent
from infra.runtime import Runtime

HEARTBEAT_S = 15.0
"""Longest silence on a stream: proxies close what is silent for a minute."""

SEND_TIMEOUT_S = 30.0
"""How long a client may leave the connection full before it is closed: it holds a reader of the log meanwhile."""

STREAMS_MAX = 256
"""Streams open at once in one process; one more is refused. Each holds a connection and a reader of the log."""

NDJSON = "application/x-ndjson"
SSE = "text/event-stream"

Item: TypeAlias = RecordedEvent | CaughtUp
Framing: TypeAlias = Callable[[dict[str, Any], str | None], bytes]

_log = structlog.get_logger(__name__)


def stream_handler(runtime: Runtime, row: Row) -> Handler:
    """What answers the row of `event.follow`."""
    places = Places()

    async def stream(http: HttpRequest) -> Response:
        principal = authenticate(runtime, http)
        media_type = _media_type(http)
        value = read_query(http, row.parameters)
        follow = _truth(value.pop("follow", "true"))
        last_event_id = http.headers.get("last-event-id")
        if media_type == SSE and last_event_id:
            value["after"] = last_event_id
        request = operation_request(runtime, row, http, principal, value)
        async with AsyncExitStack() as stack:
            stack.enter_context(places.one())
            items: AsyncIterator[Item] = await runtime.messages.handle(request)
            await stack.enter_async_context(aclosing(items))  # type: ignore[type-var]  # it is a generator
            # What is wrong with the log shows at the first item; there is one at the latest when all is read.
            first = await _first(items, http.receive, request.deadline_s)
            if first is None:
                return Response(status_code=204)  # nobody is there to read it
            return EventStream(
                first,
                items,
                media_type,
                stack.pop_all(),
                follow=follow,
                trace_id=correlation_id(http.scope),
            )

    return stream


async def _first(items: AsyncIterator[Item], receive: Receive, deadline_s: float) -> Item | None:
    """The first item, None if the client leaves before it. Raises DeadlineExceeded."""
    first: Item | None = None
    with anyio.move_on_after(deadline_s) as deadline:
        failure: ChronicleError | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(_until_disconnect, receive, group.cancel_scope)
            try:
                first = await anext(items)
            except ChronicleError as error:
                failure = error  # a task group would wrap it
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure
    if deadline.cancelled_caught:
        raise DeadlineExceeded(
            f"The log was not read within the deadline of {deadline_s:g} s. Follow from a later position, "
            "or with fewer conditions."
        )
    return first


class Places:
    """The streams that may be open at once."""

    def __init__(self) -> None:
        self._taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a place for as long as the body runs. Raises LimitExceeded if there is none."""
        if self._taken >= STREAMS_MAX:
            raise LimitExceeded(f"{STREAMS_MAX} streams of events are open, the most here. Close one first.")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class EventStream(Response):
    """A response that goes on until the client leaves, or until it has caught up if it does not `follow`.

    `held` is closed at its end: the items, and the place among the open streams.
    """

    def __init__(
        self,
        first: Item,
        items: AsyncIterator[Item],
        media_type: str,
        held: AsyncExitStack,
        *,
        follow: bool,
        trace_id: str,
    ) -> None:
        super().__init__(
            status_code=200,
            media_type=media_type,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        del self.headers["content-length"]
        self._first = first
        self._items = items
        self._held = held
        self._follow = follow
        self._trace_id = trace_id
        self._frame: Framing = _sse if media_type == SSE else _line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end."""
        async with self._held:
            out = _Out(send, self._trace_id)
            if scope["method"] == "HEAD":
                await out.start(self.status_code, self.raw_headers)
                await out.end()
                return
            async with anyio.create_task_group() as group:
                out.give_up = group.cancel_scope.cancel
                group.start_soon(_until_disconnect, receive, group.cancel_scope)
                await out.start(self.status_code, self.raw_headers)
                group.start_soon(self._beat, out)
                await self._send_all(out)
                await out.end()
                group.cancel_scope.cancel()

    async def _send_all(self, out: "_Out") -> None:
        try:
            await self._send_item(out, self._first)
            if isinstance(self._first, CaughtUp) and not self._follow:
                return
            async for item in self._items:
                await self._send_item(out, item)
                if isinstance(item, CaughtUp) and not self._follow:
                    return
        except ChronicleError as error:
            kind = "gap" if isinstance(error, HistoryChanged) else "error"
            await out.send(self._frame({"type": kind, "problem": problem(error, self._trace_id)}, None))

    async def _send_item(self, out: "_Out", item: Item) -> None:
        position = str(item.position)
        if isinstance(item, CaughtUp):
            message: dict[str, Any] = {"type": "caught_up", "position": position}
        else:
            message = {"type": "event", "event": event_view(item)}
        await out.send(self._frame(message, position))

    async def _beat(self, out: "_Out") -> None:
        while True:
            await anyio.sleep(HEARTBEAT_S)
            if anyio.current_time() - out.sent_at >= HEARTBEAT_S:
                await out.send(self._frame({"type": "heartbeat"}, None))


class _Out:
    """One message at a time. A client that takes none for SEND_TIMEOUT_S is given up: its stream has no end."""

    def __init__(self, send: Send, trace_id: str) -> None:
        self._send = send
        self._trace_id = trace_id
        self._lock = anyio.Lock()
        self.sent_at = anyio.current_time()
        self.give_up: Callable[[], None] | None = None

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._put({"type": "http.response.start", "status": status, "headers": headers})

    async def send(self, body: bytes) -> None:
        await self._put({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self) -> None:
        await self._put({"type": "http.response.body", "body": b"", "more_body": False})

    async def _put(self, message: Message) -> None:
        async with self._lock:
            with anyio.move_on_after(SEND_TIMEOUT_S) as timeout:
                await self._send(message)
            self.sent_at = anyio.current_time()
        if timeout.cancelled_caught and self.give_up is not None:
            _log.warning("stream_reader_too_slow", trace_id=self._trace_id, limit_s=SEND_TIMEOUT_S)
            self.give_up()
            await anyio.lowlevel.checkpoint()


async def _until_disconnect(receive: Receive, cancel_scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    cancel_scope.cancel()


def _line(message: dict[str, Any], _position: str | None) -> bytes:
    return orjson.dumps(message) + b"\n"


def _sse(message: dict[str, Any], position: str | None) -> bytes:
    kind = message["type"]
    if kind == "heartbeat":
        return b": heartbeat\n\n"
    head = f"event: {kind}\n" + (f"id: {position}\n" if position else "")
    return head.encode() + b"data: " + orjson.dumps(message) + b"\n\n"


def _media_type(http: HttpRequest) -> str:
    accepted = [
        part.partition(";")[0].strip().lower() for part in http.headers.get("accept", "*/*").split(",")
    ]
    for media_type in accepted:
        if media_type in (NDJSON, SSE):
            return media_type
        if media_type in ("*/*", "application/*", ""):
            return NDJSON
    raise NotAcceptable(f"A stream of events is {NDJSON} or {SSE}.")


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidInput("The query is not valid.", [Fault("/follow", "Use true or false.")])
    return text == "true"
