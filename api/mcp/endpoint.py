"""`/mcp` and `/mcp/{namespace}`: Streamable HTTP in both protocol eras, on the low-level server of the SDK.

One server object serves every caller, so nothing about it varies by connection; what a caller sees depends on the
principal and the path alone. Answers are JSON; only notices are streamed. Host and Origin are checked by the
application's guard, which is outside of every transport.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, get_args

import anyio
from anyio.abc import TaskGroup
from mcp.server import NotificationOptions, ServerRequestContext
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware
from mcp.server.lowlevel.server import Server
from mcp.server.models import InitializationOptions
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import ServerCapabilities
from mcp_types.methods import CacheableMethod
from starlette.routing import Route

from api.extension import Extension
from api.mcp.caller import caller_of
from api.mcp.gate import SEND_TIMEOUT_S, Gate
from api.mcp.handlers import Handlers, hide_internal_errors
from api.mcp.notices import INTERVAL_S, ListChanges, Sessions, Subscriptions
from infra.runtime import Runtime

SERVER_NAME = "mcp-chronicle"
PATH = "/mcp"

SESSIONS_MAX = 2000
"""Open sessions of the handshake era; one more is refused with 503 until others end or expire."""

SESSION_IDLE_S = 1800.0
"""How long a session without a request in flight and without an open stream is kept."""

REQUEST_BYTES_MAX = 4 * 1024 * 1024
"""Size of one message; larger than elsewhere, because tools take documents as arguments."""

# What a caller sees depends on its key, so nobody may share an answer; and a change is told at once, so none is kept.
_CACHEABLE: tuple[CacheableMethod, ...] = get_args(CacheableMethod)


def mcp_endpoint(
    runtime: Runtime, *, notice_interval_s: float = INTERVAL_S, send_timeout_s: float = SEND_TIMEOUT_S
) -> Extension:
    """The routes of MCP over HTTP, and what runs as long as they are served."""
    changes = ListChanges(runtime.registry, notice_interval_s)
    sessions = Sessions(changes, runtime.metrics.mcp_sessions)
    subscriptions = Subscriptions(changes)
    server = _server(runtime, subscriptions)
    manager = StreamableHTTPSessionManager(
        server,
        json_response=True,
        session_idle_timeout=SESSION_IDLE_S,
        max_sessions=SESSIONS_MAX,
        max_request_body_size=REQUEST_BYTES_MAX,
    )
    gate = Gate(manager.asgi_app, runtime, sessions, send_timeout_s)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            server.middleware.append(_remembering(sessions, tasks))
            await tasks.start(changes.run)
            async with manager.run():
                yield
            tasks.cancel_scope.cancel()

    return Extension(
        routes=[Route(PATH, gate), Route(PATH + "/{namespace}", gate)],
        policy="operation",
        lifespan=lifespan,
        bounds_bodies=PATH,
    )


class _ListChangingServer(Server[dict[str, Any]]):
    """A server whose lists change in every era: the SDK would say so in the stateless one alone."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        every = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        return super().create_initialization_options(
            notification_options or every, experimental_capabilities, extensions
        )

    def get_capabilities(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
        *,
        protocol_version: str | None = None,
    ) -> ServerCapabilities:
        capabilities = super().get_capabilities(
            notification_options, experimental_capabilities, extensions, protocol_version=protocol_version
        )
        if capabilities.resources is not None:
            # Not derived from `subscriptions/listen` being served: that delivers changes of lists only.
            capabilities.resources.subscribe = False
        return capabilities


def _server(runtime: Runtime, subscriptions: Subscriptions) -> Server[dict[str, Any]]:
    handlers = Handlers(runtime.messages, runtime.registry, runtime.settings.request_deadline_s)
    server = _ListChangingServer(
        SERVER_NAME,
        version=version(SERVER_NAME),
        title="MCP Chronicle",
        cache_hints=dict.fromkeys(_CACHEABLE, CacheHint(ttl_ms=0, scope="private")),
        get_tool_input_schema=handlers.input_schema,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_resource_templates,
        on_read_resource=handlers.read_resource,
        on_list_prompts=handlers.list_prompts,
        on_get_prompt=handlers.get_prompt,
        on_subscriptions_listen=subscriptions.listen,
    )
    server.middleware.append(hide_internal_errors)
    return server


def _remembering(sessions: Sessions, tasks: TaskGroup) -> ServerMiddleware[Any]:
    async def remember(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        result = await call_next(ctx)
        if ctx.method == "initialize":
            # The SDK hands the connection to nobody; notices outside of a request can be sent on it alone.
            connection = ctx.session._connection  # noqa: SLF001 - see above
            sessions.opened(connection, caller_of(ctx.request).visible, tasks)
        return result

    return remember
