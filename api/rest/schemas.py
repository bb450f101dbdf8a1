"""What answers look like, as JSON Schema for the OpenAPI document. Nothing is validated against them at run time.

The tests hold real answers against them.
"""

from typing import Any, get_args

from api.errors import TABLE
from commands.audit import EventPage
from domain.entry import Kind, Status

Schema = dict[str, Any]


def reference(name: str) -> Schema:
    """A reference to one of `SCHEMAS`, or to an input model."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(description: str, properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "description": description, "properties": properties, "required": required}


def _list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_NUMBER: Schema = {"type": "integer", "minimum": 1}
_NUMBER_OR_NULL: Schema = {"type": ["integer", "null"], "minimum": 1}
_ID: Schema = {"type": "string", "format": "uuid"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_ANY_OBJECT: Schema = {"type": "object"}
_OBJECT_OR_NULL: Schema = {"type": ["object", "null"]}
_POSITION: Schema = {
    "type": "string",
    "description": "An opaque place in the log. A read with it as `min_position` sees this change.",
    "examples": ["42-1"],
}
_CURSOR: Schema = {"type": ["string", "null"], "description": "Leads to the next page; null on the last one."}
_KIND: Schema = {"enum": list(get_args(Kind))}
_STATUS: Schema = {"enum": list(get_args(Status))}
_HASH: Schema = {"type": ["string", "null"], "examples": ["v1:sha256:9f86d081884c7d65…"]}

_REVISIONS: dict[str, Schema] = {
    "status": _STATUS,
    "version": {**_NUMBER, "description": "Counts the changes; the ETag is made of it."},
    "revision": {**_NUMBER_OR_NULL, "description": "The newest revision of the definition."},
    "served_revision": {**_NUMBER_OR_NULL, "description": "The revision that clients see, null for none."},
    "definition_hash": _HASH,
}

_IDENTITY: dict[str, Schema] = {
    "id": _ID,
    "kind": _KIND,
    "namespace": _TEXT,
    "key": {"type": "string", "description": "Name, URI or URI template."},
}

SCHEMAS: dict[str, Schema] = {
    "CommandResult": _object(
        "What a command did; the same again when it is repeated with its idempotency key.",
        {
            **_IDENTITY,
            "position": _POSITION,
            "event": {
                **_TEXT_OR_NULL,
                "description": "The event that was appended, null if all was so already.",
            },
            **_REVISIONS,
        },
    ),
    "Entry": _object(
        "One definition or namespace as the catalogue holds it.",
        {
            **_IDENTITY,
            **_REVISIONS,
            "definition": {**_OBJECT_OR_NULL, "description": "What clients see; null before approval."},
            "proposals": _list_of(
                _object(
                    "A revision that waits for approval.",
                    {"revision": _NUMBER, "definition": _ANY_OBJECT, "definition_hash": _TEXT},
                )
            ),
            "provenance": {"type": "object", "additionalProperties": _TEXT},
            "created_at": _TIME,
            "updated_at": _TIME,
            "updated_by": _TEXT,
            "position": _POSITION,
        },
    ),
    "EntryPage": _object(
        "A page in the order of namespace and key.",
        {"items": _list_of(reference("Entry")), "cursor": _CURSOR, "position": _POSITION},
    ),
    "SearchAnswer": _object(
        "The best hits first. Scores compare within one answer only.",
        {
            "hits": _list_of(_object("One hit.", {"score": {"type": "number"}, "entry": reference("Entry")})),
            "position": _POSITION,
        },
    ),
    "CloudEvent": _object(
        "An event of the log in CloudEvents 1.0 form. `sequence` is its position.",
        {
            "specversion": {"const": "1.0"},
            "id": _ID,
            "source": _TEXT,
            "type": {"type": "string", "examples": ["io.mcp-chronicle.tool.registered.v1"]},
            "subject": _ID,
            "time": _TIME,
            "datacontenttype": {"const": "application/json"},
            "sequence": _POSITION,
            "partitionkey": _ID,
            "namespace": _TEXT,
            "aggregateversion": _NUMBER,
            "actor": _TEXT,
            "reason": _TEXT,
            "commandid": _TEXT,
            "correlationid": _TEXT,
            "causationid": _TEXT,
            "traceparent": _TEXT,
            "data": _ANY_OBJECT,
        },
        optional=("reason", "commandid", "correlationid", "causationid", "traceparent", "actor"),
    ),
    "EventPage": _object(
        EventPage.__doc__ or "", {"events": _list_of(reference("CloudEvent")), "cursor": _CURSOR}
    ),
    "StreamMessage": {
        "description": "One line of the event stream.",
        "oneOf": [
            _object("An event.", {"type": {"const": "event"}, "event": reference("CloudEvent")}),
            _object("All up to here was sent.", {"type": {"const": "caught_up"}, "position": _POSITION}),
            _object("Sent when nothing else was for a while.", {"type": {"const": "heartbeat"}}),
            _object(
                "The stream is over: the log is not the one read before (gap), or something failed (error).",
                {"type": {"enum": ["gap", "error"]}, "problem": reference("Problem")},
            ),
        ],
    },
    "ToolResult": _object(
        "What a tool call answered. An error of the tool is an answer for the agent, not a problem.",
        {
            "content": _list_of(_ANY_OBJECT),
            "structured_content": _OBJECT_OR_NULL,
            "is_error": {"type": "boolean"},
        },
    ),
    "ResourceContents": _object(
        "The contents of a resource, as MCP has them.",
        {
            "contents": _list_of(
                _object(
                    "Text, or base64 in `blob`.",
                    {"uri": _TEXT, "mimeType": _TEXT, "text": _TEXT, "blob": _TEXT},
                    optional=("mimeType", "text", "blob"),
                )
            )
        },
    ),
    "RenderedPrompt": _object(
        "A prompt with its arguments put in, system messages first.",
        {
            "description": _TEXT_OR_NULL,
            "messages": _list_of(
                _object("One message.", {"role": {"enum": ["system", "user", "assistant"]}, "text": _TEXT})
            ),
        },
    ),
    "Problem": _object(
        "Problem details (RFC 9457).",
        {
            "type": {"type": "string", "format": "uri-reference"},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "code": {"enum": sorted(error.code for error in TABLE)},
            "trace_id": _TEXT,
            "errors": _list_of(
                _object(
                    "One wrong value.",
                    {
                        "pointer": {"type": "string", "description": "JSON Pointer (RFC 6901)."},
                        "message": _TEXT,
                    },
                )
            ),
            "current_version": _NUMBER,
        },
        optional=("errors", "current_version", "trace_id"),
    ),
    "Health": _object(
        "Whether requests are served, and the state of each part in a few words.",
        {
            "ready": {"type": "boolean"},
            "degraded": {"type": "boolean"},
            "parts": {"type": "object", "additionalProperties": _TEXT},
        },
    ),
}
