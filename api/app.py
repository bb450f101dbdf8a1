"""The application: one FastAPI object over an open runtime, with every transport as an `Extension`.

Nothing is global and nothing happens at import. The routes translate; what they mean is in the operation table.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import Response

from api import errors
from api.extension import Declared, Extension, ExtensionFactory, declared
from api.graphql.endpoint import graphql_extension
from api.guard import Guard, correlation_id
from api.mcp.endpoint import mcp_endpoint
from api.rest.routes import rest_routes
from api.service_pages import service_pages
from api.websocket.routes import websocket_extension
from domain.errors import ChronicleError, Fault, InvalidInput
from infra.runtime import Runtime

_log = structlog.get_logger(__name__)

EXTENSIONS: tuple[ExtensionFactory, ...] = (
    rest_routes,
    service_pages,
    graphql_extension,
    websocket_extension,
    mcp_endpoint,
)
"""Every transport of the program, in the order in which their routes are tried."""


def create_app(runtime: Runtime, factories: Sequence[ExtensionFactory] = EXTENSIONS) -> FastAPI:
    """The ASGI application over `runtime`, which must stay open as long as the application is served.

    `app.state.declared` holds every route with its policy.
    """
    extensions = [factory(runtime) for factory in factories]
    settings = runtime.settings
    app = FastAPI(
        title="MCP Chronicle",
        openapi_url=None,
        docs_url=None,  # its pages load scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(extensions),
        exception_handlers={
            ChronicleError: _answer,
            HTTPException: _answer_http,
            RequestValidationError: _answer_validation,
        },
        middleware=[
            Middleware(
                Guard,
                hosts=settings.allowed_hosts,
                origins=settings.allowed_origins,
                unbounded_paths=[path for one in extensions if (path := one.bounds_bodies)],
            )
        ],
    )
    table: list[Declared] = []
    for extension in extensions:
        app.router.routes.extend(extension.routes)
        table += declared(extension)
    app.state.declared = table
    return app


def _lifespan(
    extensions: Sequence[Extension],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for extension in extensions:
                await stack.enter_async_context(extension.lifespan())
            yield

    return lifespan


async def _answer(connection: HTTPConnection, error: Exception) -> Response:
    trace_id = correlation_id(connection.scope)
    if errors.public_error(error) is not error:
        _log.error("request_failed", path=connection.scope["path"], trace_id=trace_id, exc_info=error)
    return errors.problem_response(error, trace_id)


async def _answer_http(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for this class
    return errors.problem_response(
        _framework_error(connection, error), correlation_id(connection.scope), error.headers
    )


def _framework_error(connection: HTTPConnection, error: HTTPException) -> ChronicleError:
    path = connection.scope["path"][:200]
    match error.status_code:
        case 404:
            return errors.NoSuchRoute(f"Nothing is served at '{path}'.")
        case 405:
            return errors.MethodNotAllowed(f"'{path}' is not served with {connection.scope['method'][:20]}.")
        case 406:
            return errors.NotAcceptable(str(error.detail))
        case 413:
            return errors.BodyTooLarge(str(error.detail))
        case 415:
            return errors.UnsupportedMediaType(str(error.detail))
        case status if status < 500:
            return errors.TransportError(str(error.detail))
        case _:
            return errors.InternalError()


async def _answer_validation(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for this class
    # The first part of a location is FastAPI's word for the place: body, query, path or header.
    faults = [
        Fault("".join(f"/{part}" for part in details["loc"][1:]), details["msg"])
        for details in error.errors()
    ]
    return await _answer(connection, InvalidInput("The request is not valid.", faults))
