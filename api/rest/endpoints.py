"""From a row to what answers it: one handler for each way of asking, and one endpoint for each path.

A handler authenticates, turns headers, path, query or body into a `Request`, and the result into a response. Bodies
are decoded once and judged once, by the operation's model inside the Message Manager.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from uuid import UUID

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import views
from api.auth import authenticate
from api.errors import BadHeader, MethodNotAllowed, problem_response
from api.extension import Policy
from api.guard import correlation_id, traceparent
from api.rest.headers import etag, idempotency_key, if_match, next_link, not_modified, refuse_conditions
from api.rest.reading import only_fields, read_object, read_query, renamed
from api.rest.rows import Row
from commands.request import CommandResult, Request
from domain.entry import Kind
from domain.errors import InvalidInput, NamespaceNotFound, NotFound
from domain.identity import NAMESPACE_PATTERN, aggregate_id
from domain.principal import Principal
from infra.runtime import Runtime

Handler: TypeAlias = Callable[[HttpRequest], Awaitable[Response]]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class PathEndpoint:
    """All methods of one path. `policies` says who may use each; any other method is 405 with an Allow header."""

    def __init__(self, handlers: Mapping[str, tuple[Policy, Handler]]) -> None:
        self.policies: Mapping[str, Policy] = {method: policy for method, (policy, _) in handlers.items()}
        self._handlers = {method: handler for method, (_, handler) in handlers.items()}
        if "GET" in handlers:
            self._handlers["HEAD"] = self._handlers["GET"]
        self._allow = ", ".join(sorted(self._handlers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handlers.get(scope["method"])
        if handler is None:
            error = MethodNotAllowed(f"This path is served with {self._allow}.")
            response = problem_response(error, correlation_id(scope), {"Allow": self._allow})
        else:
            response = await handler(HttpRequest(scope, receive))
        await response(scope, receive, send)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(value), status, headers=headers, media_type="application/json")


def handler_of(runtime: Runtime, row: Row) -> Handler:
    """What answers one row that is no stream."""
    if row.shape == "command":
        return _command_handler(runtime, row)
    read = _read_handler(runtime, row)
    if row.alternative is None:
        return read
    chosen_by, alternative = row.chosen_by, _read_handler(runtime, row.alternative)

    async def choose(http: HttpRequest) -> Response:
        return await (alternative if chosen_by in http.query_params else read)(http)

    return choose


def operation_request(
    runtime: Runtime, row: Row, http: HttpRequest, principal: Principal, value: Any, **more: Any
) -> Request:
    """The request that the Message Manager takes."""
    return Request(
        operation=row.operation.name,
        input=value,
        principal=principal,
        transport="rest",
        correlation_id=correlation_id(http.scope),
        traceparent=traceparent(http.headers),
        deadline_s=runtime.settings.request_deadline_s,
        **more,
    )


def _command_handler(runtime: Runtime, row: Row) -> Handler:
    about_existing = row.operation.addressing == "existing"

    async def command(http: HttpRequest) -> Response:
        principal = authenticate(runtime, http)  # before the body is read
        if about_existing:
            expected = if_match(http.headers)
        else:
            expected = None
            refuse_conditions(
                http.headers, "POST refuses what exists, PUT revises it; a change goes to the item."
            )
        request = operation_request(
            runtime,
            row,
            http,
            principal,
            await read_object(http),
            target=_target(row, http),
            expected_version=expected,
            idempotency_key=idempotency_key(http.headers),
        )
        _refuse_query(http)
        result: CommandResult = await _about_namespace(row, http, runtime.messages.handle(request))
        return json_response(
            views.command_view(result),
            201 if result.created else 200,
            {"ETag": etag(result.version), "Location": location(result.kind, result.id, result.key)},
        )

    return command


def _read_handler(runtime: Runtime, row: Row) -> Handler:
    async def read(http: HttpRequest) -> Response:
        principal = authenticate(runtime, http)  # before the body is read
        if row.body_fields is None:
            value = read_query(http, row.parameters, row.alternative.parameters if row.alternative else ())
        else:
            _refuse_query(http)
            if "idempotency-key" in http.headers:
                raise BadHeader("A call is executed each time, so an Idempotency-Key would promise too much.")
            value = only_fields(await read_object(http), row.body_fields)
        request = operation_request(runtime, row, http, principal, value, target=_target(row, http))
        try:
            result = await _about_namespace(row, http, runtime.messages.handle(request))
        except InvalidInput as error:
            raise renamed(error, row.parameters) from error
        return _answer(row, http, result)

    return read


def _answer(row: Row, http: HttpRequest, result: Any) -> Response:
    value = views.result_view(result)
    headers: dict[str, str] = {}
    match row.shape:
        case "item":
            headers = {"ETag": etag(result.version), "Cache-Control": "private, no-cache"}
            if not_modified(http.headers, headers["ETag"]):
                return Response(status_code=304, headers=headers)
        case "page" if result.cursor is not None:
            headers["Link"] = next_link(http, {"cursor": result.cursor})
        case "events" if result.cursor is not None:
            after = "after" if row.address == "none" else "after_version"
            headers["Link"] = next_link(http, {after: result.cursor})
        case _:
            pass
    return json_response(value, headers=headers)


def location(kind: Kind, id_: UUID, key: str) -> str:
    """The path of a definition or namespace."""
    return f"/v1/namespaces/{key}" if kind == "namespace" else f"/v1/{kind}s/{id_}"


def _target(row: Row, http: HttpRequest) -> UUID | None:
    match row.address:
        case "none":
            return None
        case "id":
            text = http.path_params["id"]
            if not _UUID.fullmatch(text):
                raise NotFound(
                    f"There is no {row.kind} '{text[:100]}': ids are UUIDs. To ask by name, use the query of the list."
                )
            return UUID(text)
        case "name":
            name = http.path_params["name"]
            if not re.match(NAMESPACE_PATTERN, name):
                raise NamespaceNotFound(name[:100])
            return aggregate_id("namespace", name, name)


async def _about_namespace(row: Row, http: HttpRequest, result: Awaitable[Any]) -> Any:
    # Inside, a namespace has an id; whoever asked by name is answered about the name.
    try:
        return await result
    except NotFound as error:
        if row.address != "name":
            raise
        raise NamespaceNotFound(http.path_params["name"]) from error


def _refuse_query(http: HttpRequest) -> None:
    if http.scope["query_string"]:
        read_query(http, ())
