"""What is served beside the operations: the entrance, health, metrics, the OpenAPI document, what problems mean."""

import inspect
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from api.auth import authenticate, require
from api.errors import PROBLEM_PATH, TABLE, NoSuchRoute, NotReady, problem, problem_response
from api.extension import Extension, Policy
from api.guard import correlation_id
from api.openapi import openapi_document
from api.rest.endpoints import Handler, PathEndpoint, json_response
from infra.runtime import Runtime

LINKS = {
    "openapi": "/openapi.json",
    "graphql": "/graphql",
    "websocket": "/v1/ws",
    "mcp": "/mcp",
    "metrics": "/metrics",
    "ready": "/readyz",
}
"""Where somebody who opens the address goes on from."""


def service_pages(runtime: Runtime) -> Extension:
    """The routes of this module."""

    async def ready(http: HttpRequest) -> Response:
        health = await runtime.health()
        parts = {"parts": dict(health.parts)}
        if health.ready:
            return json_response({"ready": True, "degraded": health.degraded, **parts})
        waiting = ", ".join(f"{name}: {state}" for name, state in health.parts.items() if state != "ok")
        error = NotReady(f"Not ready yet ({waiting or 'starting'}).")
        trace_id = correlation_id(http.scope)
        response = problem_response(error, trace_id)
        response.body = orjson.dumps({**problem(error, trace_id), **parts})
        response.headers["content-length"] = str(len(response.body))
        return response

    async def metrics(http: HttpRequest) -> Response:
        require(authenticate(runtime, http), "metrics:read", "/metrics")
        body, media_type = runtime.metrics.render()
        return Response(body, headers={"content-type": media_type})

    @cache
    def document() -> bytes:
        return orjson.dumps(openapi_document(runtime.messages.operations.rows))

    async def openapi(_http: HttpRequest) -> Response:
        return Response(document(), media_type="application/json")

    pages: Mapping[str, tuple[Policy, Handler]] = {
        "/": ("public", _entrance),
        "/v1": ("public", _entrance),
        "/livez": ("public", _live),
        "/readyz": ("public", ready),
        "/metrics": ("metrics:read", metrics),
        "/openapi.json": ("public", openapi),
        PROBLEM_PATH.rstrip("/"): ("public", _problems),
        PROBLEM_PATH + "{code}": ("public", _problem),
    }
    return Extension(
        routes=[Route(path, PathEndpoint({"GET": page})) for path, page in pages.items()],
        policy="public",
    )


async def _entrance(_http: HttpRequest) -> Response:
    return json_response({"name": "MCP Chronicle", "version": version("mcp-chronicle"), "links": LINKS})


async def _live(_http: HttpRequest) -> Response:
    # Answered by the loop alone: a process whose loop turns is not helped by a restart.
    return json_response({"live": True})


async def _problems(_http: HttpRequest) -> Response:
    return json_response({"problems": list(problem_types().values())})


async def _problem(http: HttpRequest) -> Response:
    code = http.path_params["code"]
    known = problem_types()
    if code not in known:
        raise NoSuchRoute(f"There is no problem '{code[:100]}'. {PROBLEM_PATH.rstrip('/')} lists all.")
    return json_response(known[code])


@cache
def problem_types() -> dict[str, dict[str, Any]]:
    """What each problem type means, by code: the page that a problem's `type` leads to."""
    return {
        error.code: {
            "type": PROBLEM_PATH + error.code,
            "code": error.code,
            "status": row.status,
            "title": row.title,
            "meaning": inspect.getdoc(error),
            "graphql_code": row.graphql,
            "jsonrpc_code": row.jsonrpc,
        }
        for error, row in TABLE.items()
    }
