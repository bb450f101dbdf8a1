"""The table of errors: complete, and the only thing that says how an error looks outside."""

from collections.abc import Iterator

import orjson
import pytest

from api import errors
from api.service_pages import problem_types
from domain import errors as domain_errors
from domain.errors import (
    ChronicleError,
    Fault,
    Forbidden,
    InvalidInput,
    LimitExceeded,
    NotFound,
    OutcomeUnknown,
    Unauthenticated,
    Unavailable,
    VersionConflict,
)


def every_error(root: type[ChronicleError] = ChronicleError) -> Iterator[type[ChronicleError]]:
    """Every subclass, at any depth."""
    for found in root.__subclasses__():
        yield found
        yield from every_error(found)


def test_every_error_has_a_row() -> None:
    """A new domain error without a row would reach callers as a 500, as an adapter's defects should."""
    ours = {found for found in every_error() if found.__module__ in (domain_errors.__name__, errors.__name__)}
    assert len(ours) > 20
    assert {found.__name__ for found in ours if found not in errors.TABLE} == set()


def test_codes_are_unique() -> None:
    """A code leads to one page."""
    assert len(problem_types()) == len(errors.TABLE)


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (InvalidInput("no", [Fault("/a/0", "wrong")]), 422, {}),
        (Unauthenticated("no"), 401, {"www-authenticate": 'Bearer realm="chronicle"'}),
        (Forbidden("no"), 403, {}),
        (NotFound("no"), 404, {}),
        (VersionConflict("The tool", 1, 3), 412, {}),
        (LimitExceeded("no"), 429, {"retry-after": "1"}),
        (Unavailable("no"), 503, {"retry-after": "1"}),
        (OutcomeUnknown("no"), 503, {"retry-after": "1"}),
        (errors.MalformedJson("no"), 400, {}),
        (ValueError("secret details"), 500, {}),
    ],
)
def test_a_problem_has_its_status_headers_and_members(
    error: Exception, status: int, headers: dict[str, str]
) -> None:
    """Status, RFC 9457 members, trace id and what the error carries; never the text of an unknown exception."""
    response = errors.problem_response(error, "trace-1")
    body = orjson.loads(response.body)
    assert response.status_code == body["status"] == status
    assert response.media_type == "application/problem+json"
    assert {name: response.headers[name] for name in headers} == headers
    assert body["type"] == f"/problems/{body['code']}"
    assert body["trace_id"] == "trace-1"
    assert body["detail"]
    assert body["title"]
    assert b"secret details" not in response.body
    match error:
        case InvalidInput():
            assert body["errors"] == [{"pointer": "/a/0", "message": "wrong"}]
        case VersionConflict():
            assert body["current_version"] == 3
        case _:
            assert "errors" not in body


class Damaged(ChronicleError):
    """An internal error without a row."""

    code = "damaged"


class ServerBusy(Unavailable):
    """An adapter's own kind of a known error."""

    code = "server_busy"


def test_an_error_without_a_row_says_nothing_outside() -> None:
    """Its message may hold what is nobody's business."""
    problem = errors.problem(Damaged("record 5 of /secret/path"), "t")
    assert (problem["status"], problem["code"]) == (500, "internal_error")
    assert "secret" not in str(problem)


def test_an_adapters_error_looks_like_its_parent() -> None:
    """Its code has a page that explains it."""
    problem = errors.problem(ServerBusy("busy"), "t")
    assert (problem["status"], problem["code"], problem["detail"]) == (503, "unavailable", "busy")


def test_graphql_and_json_rpc_say_the_same() -> None:
    """The same faults and trace id, under each protocol's own code."""
    error = InvalidInput("no", [Fault("/a", "wrong")])
    fault = {"pointer": "/a", "message": "wrong"}
    assert errors.graphql_extensions(error, "t") == {
        "code": "BAD_USER_INPUT",
        "errors": [fault],
        "trace_id": "t",
    }
    assert errors.jsonrpc_error(error, "t") == (
        -32602,
        "no",
        {"code": "invalid_input", "errors": [fault], "trace_id": "t"},
    )
    assert errors.jsonrpc_error(KeyError("inside"), "t")[0] == -32603
