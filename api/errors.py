"""The one table from an error to HTTP status, GraphQL code and JSON-RPC code, and the problems built from it.

Problems are RFC 9457. Their `type` is a relative URI that `api/service_pages.py` answers. A message goes out only
if its class has a row; whatever has none is a defect of ours, is logged under its trace id and says nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from domain import errors

PROBLEM_JSON = "application/problem+json"
PROBLEM_PATH = "/problems/"
RETRY_AFTER_S = 1
"""What a client is told to wait: bounds that are reached and servers that restart are over in about this time."""


class TransportError(errors.ChronicleError):
    """The request is wrong before any operation is reached."""

    code = "bad_request"


class MalformedJson(TransportError):
    """The body is no JSON text, or nests deeper than anything that we accept."""

    code = "malformed_json"


class BadHeader(TransportError):
    """A header says something that cannot be understood, or that does not apply here."""

    code = "bad_header"


class PreconditionFailed(TransportError):
    """If-Match names a tag that no version of ours has, so it matches nothing."""

    code = "precondition_failed"


class NoSuchRoute(TransportError):
    """The path names nothing that is served."""

    code = "no_such_route"


class MethodNotAllowed(TransportError):
    """The path is served, but not with this method; the Allow header names the others."""

    code = "method_not_allowed"


class NotAcceptable(TransportError):
    """None of the media types that the client accepts is one that this answer has."""

    code = "not_acceptable"


class BodyTooLarge(TransportError):
    """The body is larger than a request may be."""

    code = "body_too_large"


class UnsupportedMediaType(TransportError):
    """The body's media type or encoding is not one that is read here."""

    code = "unsupported_media_type"


class WrongHost(TransportError):
    """The Host header names somebody else: what a web page does that has its own name resolved to this machine."""

    code = "wrong_host"


class WrongOrigin(TransportError):
    """The request comes from a web page of an origin that is not allowed."""

    code = "wrong_origin"


class NotReady(errors.Unavailable):
    """The process starts, catches up or drains."""

    code = "not_ready"


class InternalError(errors.ChronicleError):
    """Something failed that should not have. The log holds the details under the trace id."""

    code = "internal_error"

    def __init__(self) -> None:
        super().__init__("Something failed inside. It is logged under the trace id; a retry may help.")


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """How one error looks outside. The class's docstring is the meaning that its page tells."""

    status: int
    title: str
    graphql: str
    jsonrpc: int
    headers: Mapping[str, str] | None = None


# JSON-RPC 2.0: -32700 parse, -32600 request, -32602 params, -32603 internal. MCP answers an unknown name or URI with
# -32602 (2026-07-28), and keeps -32020 and below for itself; -32000 is the implementation's own, told apart by `code`.
_PARSE, _REQUEST, _PARAMS, _INTERNAL, _OWN = -32700, -32600, -32602, -32603, -32000
_LATER = {"Retry-After": str(RETRY_AFTER_S)}
_BEARER = {"WWW-Authenticate": 'Bearer realm="chronicle"'}

TABLE: Mapping[type[errors.ChronicleError], ErrorRow] = {
    errors.InvalidInput: ErrorRow(422, "The request is not valid", "BAD_USER_INPUT", _PARAMS),
    errors.Unauthenticated: ErrorRow(401, "A valid key is needed", "UNAUTHENTICATED", _OWN, _BEARER),
    errors.Forbidden: ErrorRow(403, "The key may not do this", "FORBIDDEN", _OWN),
    errors.NotFound: ErrorRow(404, "There is no such thing", "NOT_FOUND", _PARAMS),
    errors.NamespaceNotFound: ErrorRow(404, "There is no such namespace", "NAMESPACE_NOT_FOUND", _PARAMS),
    errors.Conflict: ErrorRow(409, "The present state does not allow it", "CONFLICT", _OWN),
    errors.AlreadyExists: ErrorRow(409, "The name is taken", "ALREADY_EXISTS", _OWN),
    errors.IllegalTransition: ErrorRow(409, "The life cycle has no such step", "ILLEGAL_TRANSITION", _OWN),
    errors.VersionConflict: ErrorRow(412, "The version is not the present one", "VERSION_CONFLICT", _OWN),
    errors.VersionRequired: ErrorRow(428, "Name the version to change", "VERSION_REQUIRED", _OWN),
    errors.IdempotencyMismatch: ErrorRow(
        422, "The idempotency key was used for another request", "IDEMPOTENCY_MISMATCH", _OWN
    ),
    errors.LimitExceeded: ErrorRow(429, "A limit is reached", "LIMIT_EXCEEDED", _OWN, _LATER),
    errors.DeadlineExceeded: ErrorRow(504, "It took too long", "DEADLINE_EXCEEDED", _OWN),
    errors.Unavailable: ErrorRow(503, "A server that is needed does not answer", "UNAVAILABLE", _OWN, _LATER),
    errors.OutcomeUnknown: ErrorRow(503, "It may have happened", "OUTCOME_UNKNOWN", _OWN, _LATER),
    errors.HistoryChanged: ErrorRow(410, "The log is not the one read before", "HISTORY_CHANGED", _OWN),
    errors.RemoteFailure: ErrorRow(502, "A remote endpoint failed", "REMOTE_FAILURE", _OWN),
    TransportError: ErrorRow(400, "The request cannot be understood", "BAD_REQUEST", _REQUEST),
    MalformedJson: ErrorRow(400, "The body is not JSON", "MALFORMED_JSON", _PARSE),
    BadHeader: ErrorRow(400, "A header is wrong", "BAD_HEADER", _REQUEST),
    PreconditionFailed: ErrorRow(412, "The precondition does not hold", "PRECONDITION_FAILED", _REQUEST),
    NoSuchRoute: ErrorRow(404, "There is nothing here", "NO_SUCH_ROUTE", _REQUEST),
    MethodNotAllowed: ErrorRow(405, "The method is not served here", "METHOD_NOT_ALLOWED", _REQUEST),
    NotAcceptable: ErrorRow(406, "No acceptable media type", "NOT_ACCEPTABLE", _REQUEST),
    BodyTooLarge: ErrorRow(413, "The body is too large", "BODY_TOO_LARGE", _REQUEST),
    UnsupportedMediaType: ErrorRow(
        415, "The media type is not read here", "UNSUPPORTED_MEDIA_TYPE", _REQUEST
    ),
    WrongHost: ErrorRow(421, "The host is not served here", "WRONG_HOST", _REQUEST),
    WrongOrigin: ErrorRow(403, "The origin is not allowed", "WRONG_ORIGIN", _REQUEST),
    NotReady: ErrorRow(503, "Not ready", "NOT_READY", _OWN, _LATER),
    InternalError: ErrorRow(500, "Something failed inside", "INTERNAL_ERROR", _INTERNAL),
}


def public_error(error: Exception) -> errors.ChronicleError:
    """`error` itself if its message may go out, else the InternalError that stands for it (log the original)."""
    if isinstance(error, errors.ChronicleError) and any(cls in TABLE for cls in type(error).__mro__):
        return error
    return InternalError()


def row_of(error: errors.ChronicleError) -> ErrorRow:
    """The row of a public error: its class's, or of the nearest class above that has one."""
    return TABLE[_in_table(error)]


def code_of(error: errors.ChronicleError) -> str:
    """The stable word for programs: that of the class with the row, because its page explains it."""
    return _in_table(error).code


def problem(error: Exception, trace_id: str) -> dict[str, Any]:
    """The problem details object (RFC 9457 section 3.1) of any exception."""
    known = public_error(error)
    row, code = row_of(known), code_of(known)
    body: dict[str, Any] = {
        "type": PROBLEM_PATH + code,
        "title": row.title,
        "status": row.status,
        "detail": known.message,
        "code": code,
        **_members(known),
    }
    if trace_id:
        body["trace_id"] = trace_id
    return body


def problem_response(error: Exception, trace_id: str, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as an HTTP response, with the headers of its row and the given ones."""
    body = problem(error, trace_id)
    own = row_of(public_error(error)).headers or {}
    return Response(
        orjson.dumps(body), body["status"], headers={**own, **(headers or {})}, media_type=PROBLEM_JSON
    )


def graphql_extensions(error: Exception, trace_id: str) -> dict[str, Any]:
    """`extensions` of a GraphQL error; its message is `public_error(error).message`."""
    known = public_error(error)
    return {"code": row_of(known).graphql, **_members(known), "trace_id": trace_id}


def jsonrpc_error(error: Exception, trace_id: str) -> tuple[int, str, dict[str, Any]]:
    """Code, message and data of a JSON-RPC error object."""
    known = public_error(error)
    return (
        row_of(known).jsonrpc,
        known.message,
        {"code": code_of(known), **_members(known), "trace_id": trace_id},
    )


def _in_table(error: errors.ChronicleError) -> type[errors.ChronicleError]:
    return next(cls for cls in type(error).__mro__ if issubclass(cls, errors.ChronicleError) and cls in TABLE)


def _members(error: errors.ChronicleError) -> dict[str, Any]:
    match error:
        case errors.InvalidInput(faults=faults) if faults:
            return {"errors": [{"pointer": fault.pointer, "message": fault.message} for fault in faults]}
        case errors.VersionConflict(actual=actual):
            return {"current_version": actual}
        case _:
            return {}
