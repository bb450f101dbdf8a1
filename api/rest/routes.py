"""The routes of REST, as an extension of the application."""

from collections import defaultdict

from starlette.routing import Route

from api.extension import Extension, Policy
from api.rest.endpoints import Handler, PathEndpoint, handler_of
from api.rest.rows import rest_rows
from api.rest.stream import stream_handler
from infra.runtime import Runtime


def rest_routes(runtime: Runtime) -> Extension:
    """One route for each path, in an order in which none hides another."""
    paths: dict[str, dict[str, tuple[Policy, Handler]]] = defaultdict(dict)
    for row in rest_rows(runtime.messages.operations.rows):
        make = stream_handler if row.shape == "stream" else handler_of
        paths[row.path][row.method] = (row.operation.scope, make(runtime, row))
    return Extension(
        routes=[Route(path, PathEndpoint(handlers)) for path, handlers in paths.items()],
        policy="operation",
    )
