"""One authenticated connection: reads messages, answers each, and ends with a code and a reason.

It translates between messages and the Message Manager and decides nothing else. Everything that it runs lives in one
task group: when the connection ends, for whatever cause, all of it has ended.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import assert_never

import anyio
import structlog
from anyio.abc import TaskGroup
from starlette.websockets import WebSocket, WebSocketDisconnect

from api import errors
from api.guard import correlation_id
from api.views import result_view
from api.websocket.limits import (
    CLOSE_REASON_BYTES_MAX,
    CLOSE_RESTART,
    CLOSE_TOO_BIG,
    CLOSE_TRY_AGAIN,
    Limits,
)
from api.websocket.messages import (
    AnyClientMessage,
    Authenticate,
    ErrorMessage,
    OperationRequest,
    Ping,
    Subscribe,
    Unsubscribe,
    decode,
    message_id,
    validate_message,
)
from api.websocket.outbox import Outbox, SlowReader
from api.websocket.subscriptions import EventStream, Subscriptions
from commands.request import Request
from domain.errors import ChronicleError, Conflict, Fault, InvalidInput, LimitExceeded
from domain.principal import Principal
from infra.runtime import Runtime

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Closing:
    """Why we close a connection."""

    code: int
    reason: str


class TooBig(Exception):
    """A message is larger than the limit."""


async def receive_text(websocket: WebSocket, limits: Limits) -> str | None:
    """The next message; None for one that is not text. Raises WebSocketDisconnect and TooBig."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005), message.get("reason"))
    text: str | None = message.get("text")
    size = len(message.get("bytes") or b"") if text is None else len(text.encode())
    if size > limits.message_bytes_max:
        raise TooBig
    return text


async def close(websocket: WebSocket, closing: Closing, timeout_s: float) -> None:
    """Close with a code and a reason; a client that does not even take that is dropped after `timeout_s`."""
    reason = closing.reason.encode()[:CLOSE_REASON_BYTES_MAX].decode(errors="ignore")
    with anyio.move_on_after(timeout_s, shield=True):
        try:
            await websocket.close(closing.code, reason)
        except (WebSocketDisconnect, OSError, RuntimeError):
            # The client, or the server at its own shutdown, was first.
            return


def error_message(error: Exception, trace_id: str, id_: str | None, prefix: str = "") -> ErrorMessage:
    """What the client hears of an error; `prefix` is where in its message the wrong input stood."""
    known = errors.public_error(error)
    message: ErrorMessage = {
        "type": "error",
        "code": errors.code_of(known),
        "message": known.message,
        "trace_id": trace_id,
    }
    if id_ is not None:
        message["id"] = id_
    if isinstance(known, InvalidInput) and known.faults:
        message["errors"] = [
            {"pointer": prefix + fault.pointer, "message": fault.message} for fault in known.faults
        ]
    return message


class Connection:
    """A connection after its authentication; `serve` returns when it is over and closed."""

    def __init__(self, websocket: WebSocket, runtime: Runtime, principal: Principal, limits: Limits) -> None:
        self._websocket = websocket
        self._runtime = runtime
        self._principal = principal
        self._limits = limits
        self._outbox = Outbox(websocket.send_text, limits.outgoing_max, limits.send_timeout_s)
        self._trace_id = correlation_id(websocket.scope)
        self._in_flight = 0

    async def serve(self, *, greet: bool) -> None:
        """Read and answer until one side ends it. `greet` confirms a key that came as a message."""
        closing: Closing | None = None
        try:
            closing = await self._serve(greet)
        except anyio.get_cancelled_exc_class():
            closing = Closing(CLOSE_RESTART, "the server stops; connect again and resume")
            raise
        finally:
            if closing is not None:
                await close(self._websocket, closing, self._limits.close_timeout_s)

    async def _serve(self, greet: bool) -> Closing | None:
        closing: Closing | None = None
        async with anyio.create_task_group() as tasks:
            subscriptions = Subscriptions(
                tasks, self._outbox, self._open_stream, self._limits.subscriptions_max
            )

            async def write() -> None:
                nonlocal closing
                try:
                    await self._outbox.run()
                except SlowReader:
                    position = subscriptions.resume_after()
                    after = f"; resume after {position}" if position is not None else ""
                    closing = Closing(CLOSE_TRY_AGAIN, f"slow reader{after}")
                except (WebSocketDisconnect, OSError):
                    # The client is gone, as the reader will hear too.
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(write, name="websocket writer")
            tasks.start_soon(self._beat, name="websocket heartbeat")
            try:
                if greet:
                    await self._outbox.put({"type": "authenticated"})
                while True:
                    await self._take(await receive_text(self._websocket, self._limits), subscriptions, tasks)
            except WebSocketDisconnect:
                pass
            except TooBig:
                size = self._limits.message_bytes_max
                closing = Closing(CLOSE_TOO_BIG, f"a message has at most {size} bytes")
            tasks.cancel_scope.cancel()
        return closing

    async def _take(self, text: str | None, subscriptions: Subscriptions, tasks: TaskGroup) -> None:
        id_: str | None = None
        try:
            if text is None:
                raise InvalidInput("Messages are text, not binary.")
            value = decode(text)
            id_ = message_id(value)
            await self._dispatch(validate_message(value), subscriptions, tasks)
        except ChronicleError as error:
            await self._outbox.put(error_message(error, self._trace_id, id_))

    async def _dispatch(
        self, message: AnyClientMessage, subscriptions: Subscriptions, tasks: TaskGroup
    ) -> None:
        match message:
            case Authenticate():
                raise Conflict("This connection is authenticated already.")
            case Subscribe():
                subscriptions.begin(message, self._guard)
            case Unsubscribe():
                await subscriptions.end(message.id)
            case Ping():
                await self._outbox.put({"type": "pong", "id": message.id})
            case OperationRequest():
                request = self._request(message)
                if self._in_flight >= self._limits.requests_in_flight_max:
                    raise LimitExceeded(
                        f"A connection has at most {self._limits.requests_in_flight_max} requests in flight."
                    )
                self._in_flight += 1
                tasks.start_soon(self._answer, message.id, request, name=f"request {message.id}")
            case _:
                assert_never(message)

    def _request(self, message: OperationRequest) -> Request:
        row = self._runtime.messages.operations.rows.get(message.operation)
        if row is None or row.mode == "stream":
            what = "is a stream: subscribe" if row is not None else "is no operation"
            fault = f"'{message.operation[:100]}' {what}."
            raise InvalidInput(fault, [Fault("/operation", fault)])
        return Request(
            operation=message.operation,
            input=message.input,
            principal=self._principal,
            transport="websocket",
            target=message.target_id,
            expected_version=message.expected_version,
            idempotency_key=message.idempotency_key,
            correlation_id=self._trace_id,
            deadline_s=self._runtime.settings.request_deadline_s,
        )

    async def _answer(self, id_: str, request: Request) -> None:
        async def answer() -> None:
            result = result_view(await self._runtime.messages.handle(request))
            await self._outbox.put({"type": "result", "id": id_, "result": result})

        try:
            await self._guard(id_, answer(), prefix="/input")
        finally:
            self._in_flight -= 1

    async def _open_stream(self, message: Subscribe) -> EventStream:
        request = Request(
            operation="event.follow",
            input=message.operation_input,
            principal=self._principal,
            transport="websocket",
            correlation_id=self._trace_id,
            deadline_s=self._runtime.settings.request_deadline_s,
        )
        stream: EventStream = await self._runtime.messages.handle(request)
        return stream

    async def _guard(self, id_: str, work: Awaitable[None], prefix: str = "/filter") -> None:
        try:
            await work
        except ChronicleError as error:
            await self._outbox.put(error_message(error, self._trace_id, id_, prefix))
        except Exception as error:  # noqa: BLE001 - the task's outer edge; a request's defect ends no connection
            _log.exception("websocket_request_failed", trace_id=self._trace_id)
            await self._outbox.put(error_message(error, self._trace_id, id_))

    async def _beat(self) -> None:
        while True:
            await anyio.sleep(self._limits.heartbeat_s)
            await self._outbox.put({"type": "heartbeat", "position": str(self._runtime.registry.position)})
