"""The MCP methods: each hands one request to the Message Manager and translates its answer.

What an agent can mend (wrong arguments, a back end that fails) is a tool error; what the client did wrong (an unknown
name, a bad cursor) is a JSON-RPC error. Nothing of an unexpected failure reaches the wire.
"""

import logging
from collections.abc import Callable
from typing import Any

from mcp.server import ServerRequestContext
from mcp.server.context import CallNext, HandlerResult
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    GetPromptRequestParams,
    PaginatedRequestParams,
    ReadResourceRequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from api.errors import jsonrpc_error
from api.mcp import wire
from api.mcp.caller import caller_of, current_caller
from commands.mcp_service import Served, ServedPage
from commands.message_manager import MessageManager
from commands.ports import Registry
from commands.request import Request, ToolResult
from domain.errors import (
    ChronicleError,
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    RemoteFailure,
    shortened,
)

NAME_LENGTH_SHOWN = 256
"""How much of a name that a caller sent an error repeats."""

LEGACY_RESOURCE_NOT_FOUND = -32002
"""What the handshake revisions say for a missing resource (2025-11-25, server/resources, error handling)."""

logger = logging.getLogger(__name__)


class Handlers:
    """One for all connections; holds nothing of any of them."""

    def __init__(self, messages: MessageManager, registry: Registry, deadline_s: float) -> None:
        self._messages = messages
        self._registry = registry
        self._deadline_s = deadline_s

    async def list_tools(
        self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> Any:
        """tools/list"""
        return await self._page(ctx, params, "tool.list_served", "tools", wire.tool)

    async def list_resources(
        self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> Any:
        """resources/list"""
        return await self._page(ctx, params, "resource.list_served", "resources", wire.resource)

    async def list_resource_templates(
        self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> Any:
        """resources/templates/list"""
        return await self._page(
            ctx, params, "resource.list_templates", "resourceTemplates", wire.resource_template
        )

    async def list_prompts(
        self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> Any:
        """prompts/list"""
        return await self._page(ctx, params, "prompt.list_served", "prompts", wire.prompt)

    async def call_tool(
        self, ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams
    ) -> CallToolResult:
        """tools/call"""
        call = {"name": params.name, "arguments": params.arguments or {}}
        try:
            answer: ToolResult = await self._handle(ctx, "tool.call", call)
            result = wire.tool_result(answer)
        except (InvalidInput, DeadlineExceeded, RemoteFailure) as error:
            result = wire.failed_call(error)
        except ChronicleError as error:
            raise _protocol_error(error, caller_of(ctx.request).correlation_id) from error
        try:
            return CallToolResult.model_validate(result, by_name=False)
        except ValidationError:
            name = params.name[:NAME_LENGTH_SHOWN]
            problem = RemoteFailure(
                f"The tool '{name}' answered content that MCP does not allow, so it is not passed on."
            )
            return CallToolResult.model_validate(wire.failed_call(problem), by_name=False)

    async def read_resource(
        self, ctx: ServerRequestContext[Any, Any], params: ReadResourceRequestParams
    ) -> Any:
        """resources/read"""
        uri = str(params.uri)
        try:
            return wire.COMPLETE | {"contents": await self._handle(ctx, "resource.read", {"uri": uri})}
        except NotFound as error:
            modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
            code = INVALID_PARAMS if modern else LEGACY_RESOURCE_NOT_FOUND
            raise MCPError(code, error.message, {"uri": shortened(uri)}) from error
        except ChronicleError as error:
            raise _protocol_error(error, caller_of(ctx.request).correlation_id) from error

    async def get_prompt(self, ctx: ServerRequestContext[Any, Any], params: GetPromptRequestParams) -> Any:
        """prompts/get"""
        wish = {"name": params.name, "arguments": params.arguments or {}}
        try:
            return wire.rendered_prompt(await self._handle(ctx, "prompt.render", wish))
        except ChronicleError as error:
            raise _protocol_error(error, caller_of(ctx.request).correlation_id) from error

    def input_schema(self, name: str) -> dict[str, Any] | None:
        """A tool's input schema, for the headers that repeat arguments; None where the name is not plain."""
        found = self._registry.named(current_caller.get().visible, "tool", name)
        definition = found[0].definition if len(found) == 1 else None
        return definition["input_schema"] if definition is not None else None

    async def _page(
        self,
        ctx: ServerRequestContext[Any, Any],
        params: PaginatedRequestParams | None,
        operation: str,
        field: str,
        item: Callable[[Served], dict[str, Any]],
    ) -> dict[str, Any]:
        try:
            page: ServedPage = await self._handle(
                ctx, operation, {"cursor": params.cursor if params else None}
            )
        except ChronicleError as error:
            raise _protocol_error(error, caller_of(ctx.request).correlation_id) from error
        result = wire.COMPLETE | {field: [item(served) for served in page.items]}
        if page.cursor is not None:
            result["nextCursor"] = page.cursor
        return result

    async def _handle(
        self, ctx: ServerRequestContext[Any, Any], operation: str, value: dict[str, Any]
    ) -> Any:
        caller = caller_of(ctx.request)
        return await self._messages.handle(
            Request(
                operation=operation,
                input={"namespace": caller.namespace, **value},
                principal=caller.principal,
                transport="mcp",
                correlation_id=caller.correlation_id,
                traceparent=caller.traceparent,
                deadline_s=self._deadline_s,
            )
        )


async def hide_internal_errors(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: an unexpected exception is logged and goes out without its text, which may hold secrets.

    The SDK does so for the modern era only; in a session it would send `str(error)`.
    """
    try:
        return await call_next(ctx)
    except (MCPError, ValidationError):
        raise
    except Exception as error:
        logger.exception("mcp method failed: %s", ctx.method)
        raise MCPError(INTERNAL_ERROR, "Internal error") from error


def _protocol_error(error: ChronicleError, correlation_id: str) -> MCPError:
    code, message, data = jsonrpc_error(error, correlation_id)
    # A name that several namespaces have is a wrong parameter here, and no conflict of states.
    return MCPError(INVALID_PARAMS if isinstance(error, Conflict) else code, message, data)
