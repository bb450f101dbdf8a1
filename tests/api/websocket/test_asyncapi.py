"""The AsyncAPI document: committed, and made of the messages that the program really has."""

from pathlib import Path
from typing import Any

import orjson

from api.websocket.asyncapi import asyncapi_document, rendered
from api.websocket.messages import CLIENT_MESSAGES

COMMITTED = Path(__file__).parents[3] / "docs" / "asyncapi.json"


def test_the_committed_document_is_this_programs() -> None:
    """A changed message changes docs/asyncapi.json in the same commit: `python -m api.websocket.asyncapi`."""
    assert COMMITTED.read_text(encoding="utf-8") == rendered()


def test_every_client_message_is_described() -> None:
    """With its type as a constant, so that a client can tell them apart."""
    messages: dict[str, Any] = asyncapi_document()["channels"]["chronicle"]["messages"]
    for name in CLIENT_MESSAGES:
        assert messages[f"client.{name}"]["payload"]["properties"]["type"]["const"] == name
    assert messages["server.event"]["summary"]


def test_references_within_the_document_lead_somewhere() -> None:
    """The operations name messages of the channel."""
    document = orjson.loads(rendered())
    for operation in document["operations"].values():
        for reference in operation["messages"]:
            value = document
            for part in reference["$ref"].removeprefix("#/").split("/"):
                value = value[part]
            assert value["payload"]
