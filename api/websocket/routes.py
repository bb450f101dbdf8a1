"""The handshake at `/v1/ws`: subprotocol, number of connections, authentication.

A refusal is told by a close code after the handshake, because a browser does not show the status of a refused one.
Host and Origin are checked before, by the application's middleware.
"""

import anyio
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.auth import authenticate, refuse_key_in_url
from api.extension import Extension
from api.websocket.connection import Closing, Connection, TooBig, close, receive_text
from api.websocket.limits import (
    CLOSE_NO_SUBPROTOCOL,
    CLOSE_TOO_BIG,
    CLOSE_TRY_AGAIN,
    CLOSE_UNAUTHENTICATED,
    DEFAULT_LIMITS,
    SUBPROTOCOL,
    Limits,
)
from api.websocket.messages import Authenticate, parse
from domain.errors import InvalidInput, Unauthenticated
from domain.principal import Principal
from infra.runtime import Runtime

PATH = "/v1/ws"


class _Refused(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.closing = Closing(code, reason)


def websocket_extension(runtime: Runtime) -> Extension:
    """What the application adds: each operation on the socket needs its own scope."""
    return Extension(websocket_routes(runtime), "operation")


def websocket_routes(runtime: Runtime, limits: Limits = DEFAULT_LIMITS) -> list[WebSocketRoute]:
    """The routes of the WebSocket interface, which share one count of connections."""
    open_ = 0

    async def endpoint(websocket: WebSocket) -> None:
        nonlocal open_
        open_ += 1
        runtime.metrics.websocket_connections.inc()
        try:
            await _serve(websocket, runtime, limits, full=open_ > limits.connections_max)
        finally:
            open_ -= 1
            runtime.metrics.websocket_connections.dec()

    return [WebSocketRoute(PATH, endpoint, name="websocket")]


async def _serve(websocket: WebSocket, runtime: Runtime, limits: Limits, *, full: bool) -> None:
    spoken = SUBPROTOCOL in websocket.scope["subprotocols"]
    await websocket.accept(SUBPROTOCOL if spoken else None)
    try:
        _check(limits, spoken=spoken, full=full)
        principal, greet = await _authenticate(websocket, runtime, limits)
    except _Refused as refused:
        await close(websocket, refused.closing, limits.close_timeout_s)
    except WebSocketDisconnect:
        pass
    else:
        await Connection(websocket, runtime, principal, limits).serve(greet=greet)


def _check(limits: Limits, *, spoken: bool, full: bool) -> None:
    if not spoken:
        raise _Refused(CLOSE_NO_SUBPROTOCOL, f"ask for the subprotocol {SUBPROTOCOL}")
    if full:
        raise _Refused(CLOSE_TRY_AGAIN, f"there are {limits.connections_max} connections, the most here")


async def _authenticate(websocket: WebSocket, runtime: Runtime, limits: Limits) -> tuple[Principal, bool]:
    """The principal, and whether its key came as a message and is to be confirmed by one."""
    try:
        if "authorization" in websocket.headers:
            return authenticate(runtime, websocket), False
        refuse_key_in_url(websocket)
    except Unauthenticated as error:
        raise _Refused(CLOSE_UNAUTHENTICATED, error.message) from None
    with anyio.move_on_after(limits.authentication_s):
        try:
            message = parse(await receive_text(websocket, limits) or "")
        except TooBig:
            raise _Refused(CLOSE_TOO_BIG, f"a message has at most {limits.message_bytes_max} bytes") from None
        except InvalidInput:
            message = None
        if not isinstance(message, Authenticate):
            raise _Refused(CLOSE_UNAUTHENTICATED, 'the first message is {"type": "auth", "key": "..."}')
        try:
            return runtime.authenticator.authenticate(message.key), True
        except Unauthenticated as error:
            raise _Refused(CLOSE_UNAUTHENTICATED, error.message) from None
    raise _Refused(CLOSE_UNAUTHENTICATED, f"no key came within {limits.authentication_s:g} s")
