"""The AsyncAPI 3.0 document of the WebSocket, made from the messages themselves.

Run as a module it writes the document that is committed as docs/asyncapi.json.
"""

import sys
from collections.abc import Iterable
from importlib.metadata import version
from inspect import getdoc
from typing import Any, get_args

import orjson
from pydantic import TypeAdapter

from api.websocket.messages import CLIENT_MESSAGES, ServerMessage

PATH = "/v1/ws"
SUBPROTOCOL = "chronicle.v1"


def asyncapi_document() -> dict[str, Any]:
    """What a client may send, what it receives, and how it connects."""
    sent = {name: _message(model) for name, model in CLIENT_MESSAGES.items()}
    received = {_type_of(model): _message(model) for model in get_args(ServerMessage)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "MCP Chronicle: live events and requests",
            "version": version("mcp-chronicle"),
            "description": (
                f"Connect with the subprotocol `{SUBPROTOCOL}` and the administrator's key as `Authorization: "
                "Bearer`, or in a first message of type `auth` within five seconds. One JSON object for each text "
                "message. Close codes: 1009 a message is too large, 1013 the reader is too slow (the reason says "
                "where to resume), 4401 no valid key in time, 4406 no subprotocol."
            ),
        },
        "servers": {"here": {"host": "127.0.0.1:8080", "protocol": "ws"}},
        "channels": {
            "chronicle": {
                "address": PATH,
                "messages": {
                    **{f"client.{name}": message for name, message in sent.items()},
                    **{f"server.{name}": message for name, message in received.items()},
                },
            }
        },
        "operations": {
            "receive": _operation("receive", "What the program takes", "client", sent),
            "send": _operation("send", "What the program sends", "server", received),
        },
    }


def rendered() -> str:
    """The document as it is committed."""
    return orjson.dumps(asyncapi_document(), option=orjson.OPT_INDENT_2).decode() + "\n"


def _message(model: type[Any]) -> dict[str, Any]:
    schema = TypeAdapter(model).json_schema(by_alias=True, ref_template="#/$defs/{model}")
    return {"name": model.__name__, "summary": getdoc(model), "payload": schema}


def _type_of(model: type[Any]) -> str:
    return str(TypeAdapter(model).json_schema()["properties"]["type"]["const"])


def _operation(action: str, summary: str, side: str, names: Iterable[str]) -> dict[str, Any]:
    messages = [{"$ref": f"#/channels/chronicle/messages/{side}.{name}"} for name in names]
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/chronicle"},
        "messages": messages,
    }


if __name__ == "__main__":
    sys.stdout.write(rendered())
