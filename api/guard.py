"""The outermost layer of every transport, WebSocket included: correlation id, Host, Origin, body size, last resort.

A web page whose name is resolved to this machine (DNS rebinding) sends its own name as Host; one that merely guesses
the address sends its own Origin. Both are refused before any route is looked for.
"""

import re
from collections.abc import Iterable, Sequence
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import BodyTooLarge, InternalError, WrongHost, WrongOrigin, problem_response
from commands.request import CORRELATION_ID_LENGTH_MAX

BODY_BYTES_MAX = 1024 * 1024
"""Size of a request body, on every route whose transport does not bound it itself."""

DRAINED_BYTES_MAX = 8 * BODY_BYTES_MAX
"""Read and thrown away of a body that is too large, so that a client which writes before it reads sees the answer."""

CORRELATION_HEADER = "X-Correlation-Id"
_CORRELATION_ID = re.compile(rf"[\x21-\x7e]{{1,{CORRELATION_ID_LENGTH_MAX}}}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")

_log = structlog.get_logger(__name__)


def correlation_id(scope: Scope) -> str:
    """The id that this request's answer, events and log lines carry; the caller's own if it sent a usable one."""
    state = scope.setdefault("state", {})
    if "correlation_id" not in state:
        sent = Headers(scope=scope).get(CORRELATION_HEADER, "")
        state["correlation_id"] = sent if _CORRELATION_ID.fullmatch(sent) else str(uuid4())
    return str(state["correlation_id"])


def traceparent(headers: Headers) -> str:
    """The trace context of the request; W3C Trace Context says to ignore one that is not well formed."""
    sent = headers.get("traceparent", "")
    return sent if _TRACEPARENT.fullmatch(sent) and not sent.startswith("ff") else ""


class Guard:
    """ASGI middleware; see the module."""

    def __init__(
        self, app: ASGIApp, hosts: Iterable[str], origins: Iterable[str], unbounded_paths: Sequence[str] = ()
    ) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._unbounded = tuple(unbounded_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        trace_id = correlation_id(scope)
        reply = _Reply(send, trace_id)
        try:
            headers = Headers(scope=scope)
            self._check_host(headers)
            self._check_origin(headers)
            if scope["type"] == "http" and not scope["path"].startswith(self._unbounded or ("\n",)):
                receive = await _bounded(headers, receive)
            await self._app(scope, receive, reply.send)
        except (WrongHost, WrongOrigin, BodyTooLarge) as error:
            if reply.started:
                raise
            headers_ = {"Connection": "close"} if isinstance(error, BodyTooLarge) else None
            await problem_response(error, trace_id, headers_)(scope, receive, reply.send)
        except Exception:
            # The outer edge of a request: what failed is logged, and the caller gets its trace id.
            _log.exception("request_failed", path=scope["path"], trace_id=trace_id)
            if reply.started:
                raise  # the server cuts the connection: half an answer must not look whole
            await problem_response(InternalError(), trace_id)(scope, receive, reply.send)

    def _check_host(self, headers: Headers) -> None:
        sent = headers.getlist("host")
        host = sent[0].lower() if len(sent) == 1 else ""
        if host not in self._hosts and _without_port(host) not in self._hosts:
            raise WrongHost(
                f"The Host header names '{host[:100]}', which is not served here. "
                "Use the address in CHRONICLE_URL, or add the name to CHRONICLE_ALLOWED_HOSTS."
            )

    def _check_origin(self, headers: Headers) -> None:
        for origin in headers.getlist("origin"):
            scheme, _, rest = origin.lower().partition("://")
            # A page of the host itself is no stranger, and that the host is ours was checked.
            own = scheme in ("http", "https") and rest == headers["host"].lower()
            if not own and origin.lower() not in self._origins:
                raise WrongOrigin(
                    f"Pages of '{origin[:100]}' may not use this server. Add it to CHRONICLE_ALLOWED_ORIGINS."
                )


class _Reply:
    """The way out: knows whether an answer has begun, and puts the correlation id on it."""

    def __init__(self, send: Send, trace_id: str) -> None:
        self._send = send
        self._trace_id = trace_id
        self.started = False

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("http.response.start", "websocket.accept", "websocket.http.response.start"):
            self.started = True
            MutableHeaders(scope=message)[CORRELATION_HEADER] = self._trace_id
        elif kind == "websocket.close":
            self.started = True
        await self._send(message)


async def _bounded(headers: Headers, receive: Receive) -> Receive:
    """`receive`, ending in BodyTooLarge when the body outgrows the bound; at once if it announces that."""
    announced = headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > BODY_BYTES_MAX):
        await _drain(receive, 0)
        raise _too_large()
    if not announced and "transfer-encoding" not in headers:
        return receive
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > BODY_BYTES_MAX:
            if message.get("more_body"):
                await _drain(receive, received)
            raise _too_large()
        return message

    return bounded


async def _drain(receive: Receive, received: int) -> None:
    while received <= DRAINED_BYTES_MAX:
        message = await receive()
        received += len(message.get("body", b""))
        if not message.get("more_body"):
            return


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"A request body has at most {BODY_BYTES_MAX} bytes.")


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host
