"""Examples for the OpenAPI document, by operation. The tests send each body to a real server."""

from typing import Any

from domain.identity import aggregate_id

_TOOL = {
    "name": "weather.lookup",
    "description": "The weather of a city, today.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
    "binding": {
        "type": "http",
        "method": "GET",
        "url": "https://weather.example.org/v1/today",
        "headers": {"authorization": "Bearer secret://weather"},
    },
}
_RESOURCE = {
    "uri": "docs://handbook/travel",
    "name": "Travel policy",
    "mime_type": "text/markdown",
    "binding": {"type": "static", "text": "# Travel\nBook trains before planes."},
}
_PROMPT = {
    "name": "summarise",
    "arguments": [{"name": "text", "required": True}],
    "messages": [
        {"role": "system", "text": "You write short and plain."},
        {"role": "user", "text": "Summarise: {{ text }}"},
    ],
}
_DEFINITIONS: dict[str, dict[str, Any]] = {"tool": _TOOL, "resource": _RESOURCE, "prompt": _PROMPT}
_BODIES_OF_CHANGES: dict[str, dict[str, Any]] = {
    "approve": {"revision": 2, "reason": "Read by two people."},
    "reject": {"revision": 2, "reason": "The description gives orders to the agent."},
    "roll_back": {"to_revision": 1, "reason": "The new endpoint is slow."},
    "disable": {"reason": "Maintenance until noon."},
    "enable": {"reason": "Maintenance is over."},
    "retire": {"reason": "Replaced by another one."},
    "restore": {"reason": "It is still needed."},
}


def _bodies() -> dict[str, dict[str, Any]]:
    bodies: dict[str, dict[str, Any]] = {
        "namespace.create": {"definition": {"name": "travel", "description": "Tools of the travel desk."}},
        "namespace.set_policy": {"policy": {"approval": "required"}, "reason": "Agents act on these."},
        "tool.call": {"arguments": {"city": "Lisbon"}},
        "prompt.render": {"arguments": {"text": "A long text."}},
    }
    for kind, definition in _DEFINITIONS.items():
        for verb in ("register", "apply"):
            bodies[f"{kind}.{verb}"] = {
                "namespace": "default",
                "definition": definition,
                "provenance": {"source": "handbook"},
                "reason": "The first one.",
            }
        bodies[f"{kind}.revise"] = {
            "definition": {**definition, "title": "A better title"},
            "reason": "People asked for a title.",
        }
        for verb, body in _BODIES_OF_CHANGES.items():
            bodies[f"{kind}.{verb}"] = body
    return bodies


BODIES = _bodies()
"""A request body for each operation that has one."""

COMMAND_RESULT: dict[str, Any] = {
    "id": str(aggregate_id("tool", "default", "weather.lookup")),
    "kind": "tool",
    "namespace": "default",
    "key": "weather.lookup",
    "version": 1,
    "position": "42-1",
    "event": "tool.registered",
    "status": "active",
    "revision": 1,
    "served_revision": 1,
    "definition_hash": "v1:sha256:0d7c0e0d3b2e4b61a6f2d5a0c35e9f6a4c1f0b7d8e9a2b3c4d5e6f708192a3b4",
}
"""An answer to a command."""
