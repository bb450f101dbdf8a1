"""The way to the SDK's transport: who calls, which namespace, and what a closed or stuck connection means.

Every request is authenticated, sessions included: a session belongs to the principal and the path that opened it, and
to everybody else it does not exist. In the stateless era a closed connection cancels the work (2026-07-28, transports);
in the handshake era only `notifications/cancelled` does, because a client there may come back for its answer.
"""

from dataclasses import dataclass

import anyio
import orjson
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth import authenticate
from api.errors import jsonrpc_error, row_of
from api.guard import correlation_id, traceparent
from api.mcp.caller import Caller, current_caller
from api.mcp.notices import Sessions
from domain.errors import ChronicleError, NamespaceNotFound
from infra.runtime import Runtime

SEND_TIMEOUT_S = 30.0
"""How long a client may leave a part of an answer unread; then its request or stream is ended."""


class Gate:
    """ASGI application around the transport of the SDK."""

    def __init__(
        self, transport: ASGIApp, runtime: Runtime, sessions: Sessions, send_timeout_s: float = SEND_TIMEOUT_S
    ) -> None:
        self._transport = transport
        self._runtime = runtime
        self._sessions = sessions
        self._send_timeout_s = send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        try:
            caller = self._admit(connection)
        except ChronicleError as error:
            await refusal(error, correlation_id(scope))(scope, receive, send)
            return
        caller.put_into(scope)
        scope["user"] = AuthenticatedUser(_owner(caller))
        before = current_caller.set(caller)
        try:
            await self._serve(connection, receive, send)
        finally:
            current_caller.reset(before)

    def _admit(self, connection: HTTPConnection) -> Caller:
        principal = authenticate(self._runtime, connection)
        namespace: str | None = connection.path_params.get("namespace")
        if (
            namespace is not None
            and self._runtime.registry.namespace(principal.namespaces, namespace) is None
        ):
            raise NamespaceNotFound(namespace[:63])
        return Caller(principal, namespace, correlation_id(connection.scope), traceparent(connection.headers))

    async def _serve(self, connection: HTTPConnection, receive: Receive, send: Send) -> None:
        # Read by the manager in the same way, to tell the eras apart.
        version = connection.headers.get(MCP_PROTOCOL_VERSION_HEADER)
        modern = version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS
        session_id = connection.headers.get(MCP_SESSION_ID_HEADER, "")
        streams = connection.scope["method"] == "GET" and not modern
        deliver, arrived = anyio.create_memory_object_stream[Message](0)
        async with deliver, arrived, anyio.create_task_group() as tasks:
            line = _Line(receive, send, tasks.cancel_scope, self._send_timeout_s, arrived)
            tasks.start_soon(line.watch, deliver, modern)
            opened = False

            async def send_and_tell(message: Message) -> None:
                nonlocal opened
                await line.send(message)
                if streams and message["type"] == "http.response.start" and message["status"] == 200:
                    opened = True
                    self._sessions.stream_opened(session_id)

            try:
                await self._transport(connection.scope, line.receive, send_and_tell)
            finally:
                if opened:
                    self._sessions.stream_closed(session_id)
            tasks.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class _Line:
    """One request's way in and out, watched."""

    incoming: Receive
    outgoing: Send
    work: anyio.CancelScope
    send_timeout_s: float
    arrived: MemoryObjectReceiveStream[Message]

    async def watch(self, deliver: MemoryObjectSendStream[Message], cancels: bool) -> None:
        """Hand on what comes in. When the client goes, cancel the work if it `cancels`, else tell the transport."""
        while (message := await self.incoming())["type"] != "http.disconnect":
            await deliver.send(message)
        deliver.close()
        if cancels:
            self.work.cancel()

    async def receive(self) -> Message:
        """The ASGI receive of the transport."""
        try:
            return await self.arrived.receive()
        except anyio.EndOfStream:
            return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """The ASGI send of the transport; a client that does not read in time ends its own request."""
        with anyio.move_on_after(self.send_timeout_s) as limit:
            await self.outgoing(message)
        if limit.cancelled_caught:
            self.work.cancel()
            await anyio.lowlevel.checkpoint()


def refusal(error: ChronicleError, trace_id: str) -> Response:
    """An error before any method was read, as clients of the protocol understand it: JSON-RPC without an id."""
    code, message, data = jsonrpc_error(error, trace_id)
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message, "data": data}}
    row = row_of(error)
    return Response(
        orjson.dumps(body), row.status, headers=dict(row.headers or {}), media_type="application/json"
    )


def _owner(caller: Caller) -> AccessToken:
    # The SDK lets a session be used by an equal (client, issuer, subject) only: so the path's namespace is part of it.
    return AccessToken(
        token="",  # the key itself is not handed on
        client_id=caller.principal.id,
        scopes=sorted(caller.principal.scopes),
        subject="/" if caller.namespace is None else caller.namespace,
    )
