"""The OpenAPI 3.1 document, made from the rows of REST and the input models of the operations.

`python -m api.openapi > docs/openapi.json` writes it anew; a test fails when the committed one is another.
"""

import asyncio
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from pydantic.json_schema import models_json_schema

from api.errors import PROBLEM_JSON, TABLE
from api.rest.examples import BODIES, COMMAND_RESULT
from api.rest.rows import Row, rest_rows
from api.rest.schemas import SCHEMAS, Schema, reference
from commands.operations import Operation
from domain.identity import NAMESPACE_PATTERN
from infra.bootstrap import open_runtime
from infra.settings import Settings

_SHAPES = {
    "command": "CommandResult",
    "item": "Entry",
    "page": "EntryPage",
    "search": "SearchAnswer",
    "events": "EventPage",
}
_RESULTS = {"tool": "ToolResult", "resource": "ResourceContents", "prompt": "RenderedPrompt"}
_ID = {"type": "string", "format": "uuid"}
_STREAM_TYPES = ("application/x-ndjson", "text/event-stream")

# What can go wrong on every route: malformed headers, key, scope, Host, a bound, a defect, a server, the deadline.
_EVERYWHERE = {400, 401, 403, 421, 422, 429, 500, 503, 504}


def openapi_document(table: Mapping[str, Operation]) -> dict[str, Any]:
    """The document for the operations of a table."""
    rows = rest_rows(table)
    bodies = {row.operation.input for row in rows if row.body_fields is not None}
    _, definitions = models_json_schema(
        [(model, "validation") for model in sorted(bodies, key=lambda model: model.__name__)],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row)
    paths |= _service_paths()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MCP Chronicle",
            "version": version("mcp-chronicle"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "The event-sourced backend for Model Context Protocol tools, resources and prompts. "
            "Every change is an event with who, why and when.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "tags": [
            {"name": tag} for tag in ("tools", "resources", "prompts", "namespaces", "audit", "service")
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": dict(sorted({**definitions.get("$defs", {}), **SCHEMAS}.items())),
            "responses": {f"Problem{status}": _problem_response(status) for status in _problem_statuses()},
        },
    }


def _operation(row: Row) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": row.operation_id,
        "summary": row.operation.summary,
        "tags": [f"{row.kind}s" if row.kind else "audit"],
        "x-required-scopes": [row.operation.scope],
        "x-operation": row.operation.name,
    }
    if row.alternative is not None:
        operation["description"] = (
            f"With `namespace` and `{row.chosen_by}`, answers the single {row.kind} of that key, with its ETag, as "
            f"`GET {row.path}/{{id}}` does."
        )
    parameters = [*_path_parameters(row), *_query_parameters(row), *_header_parameters(row)]
    if parameters:
        operation["parameters"] = parameters
    if row.body_fields is not None:
        operation["requestBody"] = _request_body(row)
    operation["responses"] = {
        **_successes(row),
        **{
            str(status): {"$ref": f"#/components/responses/Problem{status}"}
            for status in sorted(_statuses(row))
        },
    }
    return operation


def _path_parameters(row: Row) -> list[Schema]:
    if row.address == "none":
        return []
    schema = _ID if row.address == "id" else {"type": "string", "pattern": NAMESPACE_PATTERN}
    return [{"name": row.address, "in": "path", "required": True, "schema": schema}]


def _query_parameters(row: Row) -> list[Schema]:
    found: dict[str, Schema] = {}
    for source in (row, row.alternative):
        if source is None:
            continue
        fields = source.operation.input.model_json_schema(ref_template="#/components/schemas/{model}")
        for parameter in source.parameters:
            schema = dict(fields["properties"].get(parameter.field, {"type": "boolean", "default": True}))
            schema.pop("title", None)
            described: Schema = {"name": parameter.name, "in": "query", "schema": schema}
            if description := schema.pop("description", ""):
                described["description"] = description
            if parameter.required and source is row:
                described["required"] = True
            if parameter.several:
                described |= {"style": "form", "explode": False}
            found.setdefault(parameter.name, described)
    return list(found.values())


def _header_parameters(row: Row) -> list[Schema]:
    text = {"type": "string"}
    headers: list[Schema] = []
    if row.shape == "command":
        if row.operation.addressing == "existing":
            about = "The ETag of the version that the change is based on"
            headers.append(
                {"name": "If-Match", "in": "header", "required": True, "schema": text, "description": about}
                | {"example": '"v1"'}
            )
        about = "Chosen by the caller; a repetition with it gets the same answer for 24 hours"
        headers.append({"name": "Idempotency-Key", "in": "header", "schema": text, "description": about})
    if row.shape == "item":
        headers.append({"name": "If-None-Match", "in": "header", "schema": text})
    if row.shape == "stream":
        headers.append({"name": "Last-Event-ID", "in": "header", "schema": text})
    passed_on = ("X-Correlation-Id", "traceparent")
    return headers + [{"name": name, "in": "header", "schema": text} for name in passed_on]


def _request_body(row: Row) -> Schema:
    model = row.operation.input
    schema: Schema = reference(model.__name__)
    if row.body_fields != frozenset(model.model_fields):
        # What the path names already cannot be in the body.
        schema = {
            "type": "object",
            "properties": {
                name: _field(model.__name__, name) for name in sorted(row.body_fields or frozenset())
            },
            "additionalProperties": False,
        }
    media: Schema = {"schema": schema}
    example = BODIES.get(row.operation.name)
    if example is not None:
        media["example"] = example
    required = any(info.is_required() for info in model.model_fields.values())
    return {"required": required, "content": {"application/json": media}}


def _field(model: str, name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{model}/properties/{name}"}


def _successes(row: Row) -> dict[str, Any]:
    if row.shape == "stream":
        content = {media_type: {"schema": reference("StreamMessage")} for media_type in _STREAM_TYPES}
        return {"200": {"description": "Events until the client leaves", "content": content}}
    name = _RESULTS[row.kind or ""] if row.shape == "result" else _SHAPES[row.shape]
    schema = reference(name)
    if row.alternative is not None:
        schema = {"oneOf": [schema, reference(_SHAPES[row.alternative.shape])]}
    media: Schema = {"schema": schema}
    if row.shape == "command":
        media["example"] = COMMAND_RESULT
    answer: dict[str, Any] = {
        "description": "Done" if row.shape == "command" else "Found",
        "headers": _answer_headers(row),
        "content": {"application/json": media},
    }
    successes = {"200": answer}
    if row.operation.addressing == "new":
        created = {**answer, "description": "Created"}
        # Only an application can find that there is nothing to create.
        successes = {"201": created} if row.success == 201 else {"200": answer, "201": created}
    if row.shape == "item" or row.alternative is not None:
        successes["304"] = {"description": "The caller has this version"}
    return successes


def _answer_headers(row: Row) -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    names = ["X-Correlation-Id"]
    if row.shape in ("command", "item") or row.alternative is not None:
        names.append("ETag")
    if row.shape == "command":
        names.append("Location")
    if row.shape in ("page", "events"):
        names.append("Link")
    return dict.fromkeys(names, text)


def _statuses(row: Row) -> set[int]:
    statuses = set(_EVERYWHERE)
    if row.address != "none" or row.shape in ("result", "command") or row.alternative is not None:
        statuses.add(404)
    if row.body_fields is not None:
        statuses |= {413, 415}
    if row.shape == "command":
        statuses.add(409)
        if row.operation.addressing == "existing":
            statuses |= {412, 428}
    if row.shape == "result":
        statuses |= {409, 502}
    if row.shape in ("events", "stream"):
        statuses.add(410)
    if row.shape == "stream":
        statuses.add(406)
    return statuses


def _problem_statuses() -> list[int]:
    return sorted({row.status for row in TABLE.values()})


def _problem_response(status: int) -> Schema:
    rows = {error.code: row for error, row in TABLE.items() if row.status == status}
    headers = {name: {"schema": {"type": "string"}} for row in rows.values() for name in row.headers or {}}
    response: Schema = {
        "description": "; ".join(f"`{code}`: {row.title}" for code, row in rows.items()),
        "content": {PROBLEM_JSON: {"schema": reference("Problem")}},
    }
    return {**response, "headers": headers} if headers else response


def _service_paths() -> dict[str, Any]:
    def page(name: str, summary: str, content: Schema, *extra: str, scope: str = "") -> dict[str, Any]:
        responses: dict[str, Any] = {"200": {"description": summary, "content": content}}
        for status in extra:
            responses[status] = {"$ref": f"#/components/responses/Problem{status}"}
        operation = {"operationId": name, "summary": summary, "tags": ["service"], "responses": responses}
        access: Schema = {"x-required-scopes": [scope] if scope else []}
        return {"get": operation | access | ({} if scope else {"security": []})}

    def json(schema: Schema) -> Schema:
        return {"application/json": {"schema": schema}}

    anything = json({"type": "object"})
    metrics = {"text/plain": {"schema": {"type": "string"}}}
    code = {"name": "code", "in": "path", "required": True, "schema": {"type": "string"}}
    problem = page("problem_type", "What a problem means", anything, "404")
    problem["get"]["parameters"] = [code]
    return {
        "/": page("entrance", "Name, version and where to go on", anything),
        "/v1": page("entrance_v1", "Name, version and where to go on", anything),
        "/livez": page("live", "The process answers", anything),
        "/readyz": page("ready", "Requests are served", json(reference("Health")), "503"),
        "/metrics": page("metrics", "Metrics for Prometheus", metrics, "401", "403", scope="metrics:read"),
        "/problems": page("problem_types", "Every problem and what it means", anything),
        "/problems/{code}": problem,
    }


def rendered(document: Mapping[str, Any]) -> str:
    """The document as it is committed."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"


async def _document_of_a_new_installation() -> dict[str, Any]:
    with TemporaryDirectory() as directory:
        async with open_runtime(Settings.load(data_dir=Path(directory))) as runtime:
            return openapi_document(runtime.messages.operations.rows)


def main() -> None:
    """Write the document to standard output."""
    sys.stdout.write(rendered(asyncio.run(_document_of_a_new_installation())))


if __name__ == "__main__":
    main()
