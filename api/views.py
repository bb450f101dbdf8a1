"""Results as plain JSON values: one representation of each, on REST, GraphQL and WebSocket alike.

Fields are only ever added. Times are RFC 3339 in UTC; a position is opaque text.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from commands.audit import EventPage
from commands.catalogue_reader import EntryList, SearchResult
from commands.mcp_service import Rendered, Served, ServedPage
from commands.request import CommandResult, ToolResult
from domain.entry import Entry
from domain.reads import SearchHit


def command_view(result: CommandResult) -> dict[str, Any]:
    """What a command did. `event` is None when everything was as wished already."""
    return {
        "id": str(result.id),
        "kind": result.kind,
        "namespace": result.namespace,
        "key": result.key,
        "version": result.version,
        "position": str(result.position),
        "event": result.event,
        "status": result.status,
        "revision": result.revision,
        "served_revision": result.served_revision,
        "definition_hash": result.definition_hash,
    }


def entry_view(entry: Entry) -> dict[str, Any]:
    """One definition or namespace as the catalogue holds it; `definition` is what clients see, None before approval."""
    return {
        "id": str(entry.id),
        "kind": entry.kind,
        "namespace": entry.namespace,
        "key": entry.key,
        "status": entry.status,
        "version": entry.version,
        "revision": entry.revision,
        "served_revision": entry.served_revision,
        "definition": entry.definition,
        "definition_hash": entry.definition_hash,
        "proposals": [
            {
                "revision": proposal.revision,
                "definition": proposal.definition,
                "definition_hash": proposal.definition_hash,
            }
            for proposal in entry.proposals
        ],
        "provenance": entry.provenance,
        "created_at": time_view(entry.created_at),
        "updated_at": time_view(entry.updated_at),
        "updated_by": entry.updated_by,
        "position": str(entry.position),
    }


def time_view(time: datetime) -> str:
    """RFC 3339, with Z for UTC."""
    return time.isoformat().replace("+00:00", "Z")


def page_view(page: EntryList) -> dict[str, Any]:
    """A page of entries; `position` is where the read model stood."""
    return {
        "items": [entry_view(entry) for entry in page.entries],
        "cursor": page.cursor,
        "position": str(page.position),
    }


def hit_view(hit: SearchHit) -> dict[str, Any]:
    """One hit of a search."""
    return {"score": hit.score, "entry": entry_view(hit.entry)}


def search_view(result: SearchResult) -> dict[str, Any]:
    """The best hits first."""
    return {"hits": [hit_view(hit) for hit in result.hits], "position": str(result.position)}


def event_page_view(page: EventPage) -> dict[str, Any]:
    """A page of CloudEvents."""
    return {"events": list(page.events), "cursor": page.cursor}


def tool_result_view(result: ToolResult) -> dict[str, Any]:
    """What a tool call answered; a tool error is an answer too."""
    return {
        "content": result.content,
        "structured_content": result.structured_content,
        "is_error": result.is_error,
    }


def rendered_view(rendered: Rendered) -> dict[str, Any]:
    """A rendered prompt."""
    return {
        "description": rendered.description,
        "messages": [{"role": message.role, "text": message.text} for message in rendered.messages],
    }


def served_view(served: Served) -> dict[str, Any]:
    """What is served, under the name that the caller knows it by."""
    return {"name": served.name, "entry": entry_view(served.entry)}


def result_view(result: object) -> Any:  # noqa: PLR0911 - one line for each kind of result
    """The view of whatever a handler answers, except a stream."""
    match result:
        case CommandResult():
            return command_view(result)
        case Entry():
            return entry_view(result)
        case EntryList():
            return page_view(result)
        case SearchResult():
            return search_view(result)
        case EventPage():
            return event_page_view(result)
        case ToolResult():
            return tool_result_view(result)
        case Rendered():
            return rendered_view(result)
        case ServedPage():
            return {"items": [served_view(item) for item in result.items], "cursor": result.cursor}
        case list():
            return {"contents": contents_view(result)}
        case _:
            raise TypeError(f"no view for {type(result).__name__}")


def contents_view(contents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The contents of a resource, as MCP has them."""
    return [dict(content) for content in contents]
