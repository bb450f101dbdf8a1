"""The MCP Service: the protocol-neutral operations that REST, GraphQL, WebSocket and MCP endpoints all use.

It reads the Tool Registry only, never a search engine. Over several namespaces, a name that more than one of them has
is listed once for each as `<namespace>__<name>-<hash>`, and calling it plainly is refused: none can shadow another.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import Field

from commands.cursor import decode_cursor, encode_cursor
from commands.operations import Operation
from commands.ports import Registry
from commands.prompt_manager import PromptManager
from commands.request import Context, ToolResult
from commands.resource_manager import ResourceManager
from commands.tool_manager import ToolManager
from domain.definition import DefinitionModel
from domain.entry import Entry, Kind
from domain.errors import Conflict, NotFound
from domain.identity import NamespaceSlug, federated_name
from domain.principal import NamespaceSet, Scope
from domain.prompt import PromptMessage
from domain.reads import MIN_POSITION_WAIT_S
from domain.recorded import Position
from domain.resource import URI_LENGTH_MAX, match_template

MCP_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Served:
    """An entry under the name that the caller knows it by."""

    name: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class ServedPage:
    """A page of what is served; `cursor` leads to the next one."""

    items: Sequence[Served]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered prompt."""

    description: str | None
    messages: Sequence[PromptMessage]


class ServedRead(DefinitionModel):
    """What each of these may ask: to see at least a position, which a command answered."""

    min_position: str | None = Field(
        default=None, description="Wait until this position is applied, at most 5 s"
    )


class ListServed(ServedRead):
    """Which page of what is served, and in which namespace (default: every one that the caller may see)."""

    namespace: NamespaceSlug | None = None
    cursor: str | None = None
    limit: int = Field(default=MCP_PAGE_SIZE, ge=1, le=MCP_PAGE_SIZE)


class CallTool(ServedRead):
    """Call a served tool by name, or by the request's target."""

    namespace: NamespaceSlug | None = None
    name: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)


class ReadResource(ServedRead):
    """Read a served resource by URI, one that a served URI template matches too."""

    namespace: NamespaceSlug | None = None
    uri: str | None = Field(default=None, max_length=URI_LENGTH_MAX)


class RenderPrompt(ServedRead):
    """Render a served prompt by name, or by the request's target."""

    namespace: NamespaceSlug | None = None
    name: str | None = None
    arguments: dict[str, str] = Field(default_factory=dict)


class McpService:
    """Lists, calls, reads and renders what is served."""

    def __init__(
        self, registry: Registry, tools: ToolManager, resources: ResourceManager, prompts: PromptManager
    ) -> None:
        self._registry = registry
        self._tools = tools
        self._resources = resources
        self._prompts = prompts

    async def list_tools(self, context: Context, query: ListServed) -> ServedPage:
        """A page of the tools that are served."""
        return await self._page(context, "tool", query)

    async def list_resources(self, context: Context, query: ListServed) -> ServedPage:
        """A page of the resources with a URI."""
        return await self._page(context, "resource", query)

    async def list_resource_templates(self, context: Context, query: ListServed) -> ServedPage:
        """A page of the resources with a URI template."""
        return await self._page(context, "resource", query, templates=True)

    async def list_prompts(self, context: Context, query: ListServed) -> ServedPage:
        """A page of the prompts that are served."""
        return await self._page(context, "prompt", query)

    async def call_tool(self, context: Context, call: CallTool) -> ToolResult:
        """Call a tool. Raises NotFound, and InvalidInput for arguments that its schema refuses."""
        await self._wait(call)
        entry = self._resolve(context, "tool", call.namespace, call.name)
        return await self._tools.execute(entry, call.arguments, context.deadline_s)

    async def read_resource(self, context: Context, query: ReadResource) -> list[dict[str, Any]]:
        """The contents of a resource. Raises NotFound and RemoteFailure."""
        await self._wait(query)
        if query.uri is None:
            entry = self._resolve(context, "resource", query.namespace, None)
            return await self._resources.read(entry, entry.key, {}, context.deadline_s)
        visible = context.visible.only(query.namespace)
        try:
            entry = self._resolve(context, "resource", query.namespace, query.uri)
        except NotFound:
            for template in self._registry.served(visible, "resource"):
                variables = match_template(template.key, query.uri) if _is_template(template) else None
                if variables is not None:
                    return await self._resources.read(template, query.uri, variables, context.deadline_s)
            raise
        return await self._resources.read(entry, query.uri, {}, context.deadline_s)

    async def render_prompt(self, context: Context, query: RenderPrompt) -> Rendered:
        """A prompt with its arguments put in. Raises NotFound and InvalidInput."""
        await self._wait(query)
        entry = self._resolve(context, "prompt", query.namespace, query.name)
        description = (entry.definition or {}).get("description")
        return Rendered(description, self._prompts.render(entry, query.arguments))

    def operations(self) -> list[Operation]:
        """The rows of the MCP Service."""

        def row(name: str, summary: str, mode: Any, scope: Scope, model: Any, handler: Any) -> Operation:
            addressing: Any = "none" if mode == "query" else "existing"
            return Operation(name, summary, mode, addressing, scope, model, handler)

        return [
            row(
                "tool.list_served",
                "Tools as agents see them",
                "query",
                "tools:read",
                ListServed,
                self.list_tools,
            ),
            row("tool.call", "Call a tool", "call", "tools:call", CallTool, self.call_tool),
            row(
                "resource.list_served",
                "Resources as agents see them",
                "query",
                "resources:read",
                ListServed,
                self.list_resources,
            ),
            row(
                "resource.list_templates",
                "Resource templates as agents see them",
                "query",
                "resources:read",
                ListServed,
                self.list_resource_templates,
            ),
            row(
                "resource.read", "Read a resource", "call", "resources:read", ReadResource, self.read_resource
            ),
            row(
                "prompt.list_served",
                "Prompts as agents see them",
                "query",
                "prompts:read",
                ListServed,
                self.list_prompts,
            ),
            row("prompt.render", "Render a prompt", "call", "prompts:read", RenderPrompt, self.render_prompt),
        ]

    async def _wait(self, query: ServedRead) -> None:
        if query.min_position is not None:
            position = Position.parse(query.min_position, "/min_position")
            await self._registry.wait_for(position, MIN_POSITION_WAIT_S)

    async def _page(
        self, context: Context, kind: Kind, query: ListServed, *, templates: bool = False
    ) -> ServedPage:
        await self._wait(query)
        visible = context.visible.only(query.namespace)
        entries = self._registry.served(visible, kind)
        start = 0
        if query.cursor is not None:
            after = decode_cursor(query.cursor, 2)
            start = bisect_right(entries, after, key=_order)
        chosen: list[Entry] = []
        for index in range(start, len(entries)):
            if kind == "resource" and _is_template(entries[index]) != templates:
                continue
            if len(chosen) == query.limit:
                last = chosen[-1]
                return ServedPage(self._named(visible, chosen), encode_cursor(*_order(last)))
            chosen.append(entries[index])
        return ServedPage(self._named(visible, chosen), None)

    def _named(self, visible: NamespaceSet, entries: Sequence[Entry]) -> list[Served]:
        named: list[Served] = []
        for key, group in groupby(entries, key=lambda entry: entry.key):
            for entry in group:
                alone = entry.kind == "resource" or len(self._registry.named(visible, entry.kind, key)) == 1
                named.append(Served(key if alone else _qualified(entry), entry))
        return named

    def _resolve(self, context: Context, kind: Kind, namespace: str | None, name: str | None) -> Entry:
        visible = context.visible.only(namespace)
        if name is None:
            entry = self._registry.entry(visible, context.target) if context.target else None
            if entry is None or entry.kind != kind or entry.status != "active":
                raise NotFound(f"There is no {kind} {context.target or ''} that is served.")
            return entry
        found = self._registry.named(visible, kind, name)
        if len(found) == 1:
            return found[0]
        if found:
            ways = ", ".join(
                f"'{_qualified(entry)}'" if kind != "resource" else entry.namespace for entry in found
            )
            raise Conflict(
                f"The {kind} '{name}' is in several namespaces. Use one namespace's endpoint, or: {ways}."
            )
        for entry in self._registry.served(visible, kind) if "__" in name else ():
            shared = len(self._registry.named(visible, kind, entry.key)) > 1
            if shared and _qualified(entry) == name:
                return entry
        raise NotFound(f"There is no {kind} '{name[:256]}' that is served.")


def _order(entry: Entry) -> tuple[str, str]:
    return entry.key, entry.namespace


def _qualified(entry: Entry) -> str:
    return federated_name(entry.namespace, entry.key, distinguish=True)


def _is_template(entry: Entry) -> bool:
    return entry.definition is not None and "uri_template" in entry.definition
