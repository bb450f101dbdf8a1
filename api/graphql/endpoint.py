"""`POST /graphql`: one operation in a JSON body, nothing else: no batches, no GET, no uploads, no page for browsers.

The key is checked before the body is read. What can be answered in GraphQL's terms is answered 200 with `errors`;
what is wrong before that (key, media type, JSON) is the same problem document as everywhere.
Source: GraphQL over HTTP, draft of 2025, application/json responses.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import structlog
from graphql import GraphQLError, GraphQLSyntaxError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError

from api.auth import authenticate
from api.errors import InternalError, graphql_extensions, public_error
from api.extension import Extension
from api.graphql.caller import Caller, camel
from api.graphql.schema import ChronicleSchema, build_schema
from api.guard import correlation_id, traceparent
from api.rest.reading import read_object
from domain.errors import Fault, InvalidInput
from infra.runtime import Runtime

PATH = "/graphql"
UNREADABLE_DOCUMENT = "GRAPHQL_PARSE_FAILED"
"""The document is no GraphQL, or has too many tokens to be read on."""
INVALID_DOCUMENT = "GRAPHQL_VALIDATION_FAILED"

_log = structlog.get_logger(__name__)


def graphql_extension(runtime: Runtime) -> Extension:
    """What the application adds: each field needs the scope of the operation that it stands for."""
    return Extension([graphql_router(runtime)], "operation")


def graphql_router(runtime: Runtime) -> Route:
    """The route, over a schema made from the runtime's operation table."""
    schema = build_schema(runtime.messages.operations.rows.values())
    return Route(PATH, _endpoint(runtime, schema), methods=["POST"], name="graphql")


def _endpoint(runtime: Runtime, schema: ChronicleSchema) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(http: Request) -> Response:
        principal = authenticate(runtime, http)  # before the body is read
        query, variables, operation_name = _parts(await read_object(http))
        caller = Caller(
            messages=runtime.messages,
            principal=principal,
            deadline_s=runtime.settings.request_deadline_s,
            correlation_id=correlation_id(http.scope),
            traceparent=traceparent(http.headers),
        )
        try:
            result = await schema.execute(query, variables, caller, operation_name=operation_name)
        except MissingQueryError:
            raise _invalid("query", "Send the GraphQL document as `query`.") from None
        except CannotGetOperationTypeError as error:
            raise _invalid("operationName", error.as_http_error_reason()) from None
        body: dict[str, Any] = {}
        if result.errors:
            body["errors"] = [error_view(error, caller.correlation_id) for error in result.errors]
        body["data"] = result.data
        return Response(orjson.dumps(body), media_type="application/json")

    return endpoint


def error_view(error: GraphQLError, trace_id: str) -> dict[str, Any]:
    """The error as the caller sees it: what is wrong with the document, an error of ours, or nothing but a trace id."""
    unreadable = isinstance(error, GraphQLSyntaxError)
    original = error.original_error
    while isinstance(original, GraphQLError):
        original = original.original_error
    view: dict[str, Any] = dict(error.formatted)
    if original is None:
        view["extensions"] = {
            "code": UNREADABLE_DOCUMENT if unreadable else INVALID_DOCUMENT,
            "traceId": trace_id,
        }
        return view
    known = public_error(original)
    if isinstance(known, InternalError):
        _log.error("graphql_field_failed", path=error.path, trace_id=trace_id, exc_info=original)
    extensions = graphql_extensions(known, trace_id)
    view["message"] = known.message
    view["extensions"] = {camel(name): value for name, value in extensions.items()}
    return view


def _parts(body: dict[str, Any]) -> tuple[str, dict[str, Any] | None, str | None]:
    query, variables, name = body.get("query"), body.get("variables"), body.get("operationName")
    if not isinstance(query, str) or not query:
        raise _invalid("query", "Send the GraphQL document as `query`.")
    if not isinstance(variables, dict | None):
        raise _invalid("variables", "The variables are an object.")
    if not isinstance(name, str | None):
        raise _invalid("operationName", "The name of the operation is a text.")
    return query, variables, name


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput("The GraphQL request is not valid.", [Fault(f"/{field}", message)])
