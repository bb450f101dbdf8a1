"""From what the MCP Service answers to what MCP writes on the wire. Pure, and the same for every connection."""

from collections.abc import Iterable
from typing import Any

from commands.mcp_service import Rendered, Served
from commands.request import ToolResult
from domain.entry import Entry
from domain.errors import ChronicleError, InvalidInput
from domain.prompt import PromptMessage

DEFINITION_META_KEY = "io.mcp-chronicle/definition"
"""The `_meta` key of whatever is listed: which definition it is, in which revision, and where it was found."""

ROLE_META_KEY = "io.mcp-chronicle/role"
"""The `_meta` key of a message's content whose role MCP has no word for: a system message goes out as `user`."""


COMPLETE = {"resultType": "complete"}
"""Part of every result since 2026-07-28; the SDK takes it out for older clients."""


def tool(served: Served) -> dict[str, Any]:
    """A tool under its served name; the schemas are passed on as they were registered."""
    definition = served.entry.definition or {}
    return _present(
        name=served.name,
        title=definition.get("title"),
        description=definition.get("description"),
        inputSchema=definition["input_schema"],
        outputSchema=definition.get("output_schema"),
        annotations=definition.get("annotations"),
        _meta=_meta(served.entry),
    )


def resource(served: Served) -> dict[str, Any]:
    """A resource with a URI."""
    return {"uri": served.entry.key, **_resource(served.entry)}


def resource_template(served: Served) -> dict[str, Any]:
    """A resource with a URI template."""
    return {"uriTemplate": served.entry.key, **_resource(served.entry)}


def prompt(served: Served) -> dict[str, Any]:
    """A prompt under its served name, with its arguments."""
    definition = served.entry.definition or {}
    return _present(
        name=served.name,
        title=definition.get("title"),
        description=definition.get("description"),
        arguments=definition.get("arguments"),
        _meta=_meta(served.entry),
    )


def tool_result(result: ToolResult) -> dict[str, Any]:
    """What a tool answered."""
    return COMPLETE | _present(
        content=result.content, structuredContent=result.structured_content, isError=result.is_error
    )


def failed_call(error: ChronicleError) -> dict[str, Any]:
    """A failure that the agent should read and may mend: a tool execution error, not a protocol error.

    Input errors are among them since the revision 2025-11-25 (server/tools, error handling).
    """
    faults = error.faults if isinstance(error, InvalidInput) else ()
    reasons = [f"{fault.pointer}: {fault.message}" for fault in faults if fault.message not in error.message]
    text = "\n".join([error.message, *reasons])
    return COMPLETE | {"content": [{"type": "text", "text": text}], "isError": True}


def rendered_prompt(rendered: Rendered) -> dict[str, Any]:
    """A prompt's messages."""
    return COMPLETE | _present(description=rendered.description, messages=list(_messages(rendered.messages)))


def _messages(messages: Iterable[PromptMessage]) -> Iterable[dict[str, Any]]:
    for message in messages:
        content: dict[str, Any] = {"type": "text", "text": message.text}
        role: str = message.role
        if role == "system":
            role, content["_meta"] = "user", {ROLE_META_KEY: "system"}
        yield {"role": role, "content": content}


def _resource(entry: Entry) -> dict[str, Any]:
    definition = entry.definition or {}
    return _present(
        name=definition["name"],
        title=definition.get("title"),
        description=definition.get("description"),
        mimeType=definition.get("mime_type"),
        annotations=definition.get("annotations"),
        _meta=_meta(entry),
    )


def _meta(entry: Entry) -> dict[str, Any]:
    return {
        DEFINITION_META_KEY: {
            "id": str(entry.id),
            "namespace": entry.namespace,
            "revision": entry.served_revision,
            "hash": entry.definition_hash,
            "provenance": dict(entry.provenance),
        }
    }


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
