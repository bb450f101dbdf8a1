"""The OpenAPI document: committed, complete, and true."""

import re
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import orjson
import pytest
from starlette.routing import Route

from api.errors import TABLE
from api.openapi import openapi_document, rendered
from api.rest.examples import BODIES
from commands.message_manager import validate
from tests.api.conftest import Server

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
METHODS = ("get", "put", "post", "delete", "patch")


@pytest.fixture
def document(server: Server) -> dict[str, Any]:
    """The document of the running program."""
    return openapi_document(server.runtime.messages.operations.rows)


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every operation, by method and path."""
    return {
        f"{method.upper()} {path}": item[method]
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }


def references(value: Any) -> set[str]:
    """Every $ref in a value."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(part) for part in value.values()))
    return set().union(*(references(part) for part in value)) if isinstance(value, list) else set()


def test_the_committed_document_is_this_programs(document: dict[str, Any]) -> None:
    """After a wanted change: python -m api.openapi > docs/openapi.json"""
    assert COMMITTED.read_text(encoding="utf-8") == rendered(document)


async def test_it_is_served(stranger: httpx2.AsyncClient, document: dict[str, Any]) -> None:
    """To everybody: it says nothing but what the source says."""
    assert (await stranger.get("/openapi.json")).json() == document


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """Inside the document, to the last one."""
    for reference in references(document):
        at: Any = document
        for part in reference.removeprefix("#/").split("/"):
            at = at[part.replace("~1", "/").replace("~0", "~")]


def test_every_schema_is_one(document: dict[str, Any]) -> None:
    """JSON Schema 2020-12, which OpenAPI 3.1 uses."""
    for name, schema in document["components"]["schemas"].items():
        whole = {**schema, "components": document["components"]}
        assert jsonschema_rs.validator_for(whole) is not None, name


def test_every_route_is_in_it(server: Server, document: dict[str, Any]) -> None:
    """And nothing else; the document does not describe itself, and other transports have documents of their own."""
    served = {
        f"{method} {one.route.path}"
        for one in server.app.state.declared
        if isinstance(one.route, Route)
        and re.match(r"/($|v1$|v1/|livez|readyz|metrics|problems)", one.route.path)
        for method in one.policies
    }
    assert set(operations(document)) == served


def test_every_operation_says_what_a_client_must_know(document: dict[str, Any]) -> None:
    """A unique operationId, a tag, scopes, and problems among the answers wherever a key is needed."""
    found = operations(document)
    names = [operation["operationId"] for operation in found.values()]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in document["tags"]}
    for name, operation in found.items():
        assert operation["summary"], name
        assert set(operation["tags"]) <= tags, name
        public = operation.get("security") == []
        assert public == (operation["x-required-scopes"] == []), name
        assert public or "401" in operation["responses"], name
        placeholders = set(re.findall(r"\{(\w+)\}", name))
        in_path = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
        assert in_path == placeholders, name
        if name.startswith(("POST", "PUT")):
            assert {"400", "409", "413", "415", "422"} & set(operation["responses"]), name
            assert "example" in operation["requestBody"]["content"]["application/json"], name


def test_every_status_of_the_table_is_described(document: dict[str, Any]) -> None:
    """Each has a response that lists its codes."""
    for error, row in TABLE.items():
        response = document["components"]["responses"][f"Problem{row.status}"]
        assert f"`{error.code}`" in response["description"]


def test_the_examples_fit_their_operations(server: Server, document: dict[str, Any]) -> None:
    """Both the model that judges requests and the schema that clients are generated from."""
    table = server.runtime.messages.operations
    for name, body in BODIES.items():
        validate(table[name].input, body)
    for operation in operations(document).values():
        media = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if media:
            whole = {"allOf": [media["schema"]], "components": document["components"]}
            errors = [
                error.message for error in jsonschema_rs.validator_for(whole).iter_errors(media["example"])
            ]
            assert errors == [], operation["operationId"]


def test_it_is_small_enough_to_be_read() -> None:
    """Somebody opens it in an editor."""
    assert len(orjson.dumps(orjson.loads(COMMITTED.read_bytes()))) < 400_000
