"""Who asks: the key of a request or a WebSocket handshake, turned into a principal. Shared by every transport."""

from collections.abc import Iterator

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from domain.errors import Forbidden, Unauthenticated
from domain.principal import Principal, Scope
from infra.runtime import Runtime

KEY_PARAMETERS = frozenset({"access_token", "api_key", "apikey", "authorization", "bearer", "token"})
"""Query parameters that people try to send a key in. URLs end up in logs and histories, so none is accepted."""


def authenticate(runtime: Runtime, connection: HTTPConnection) -> Principal:
    """The principal of `Authorization: Bearer <key>`. Raises Unauthenticated."""
    refuse_key_in_url(connection)
    return runtime.authenticator.authenticate(presented_key(connection.headers))


def presented_key(headers: Headers) -> str | None:
    """The key in the Authorization header, None without the header. Raises Unauthenticated for another scheme."""
    values = headers.getlist("authorization")
    if not values:
        return None
    scheme, _, key = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not key.strip():
        raise Unauthenticated("The Authorization header must be, once, 'Bearer <key>'.")
    return key.strip()


def refuse_key_in_url(connection: HTTPConnection) -> None:
    """Raise Unauthenticated if the URL carries what looks like a key, even beside a valid header."""
    if not connection.scope["query_string"]:
        return
    for name in _suspects(connection):
        raise Unauthenticated(
            f"The query parameter '{name}' carries a key. URLs are logged, so send 'Authorization: Bearer <key>' "
            "instead, and replace this key."
        )


def require(principal: Principal, scope: Scope, what: str) -> None:
    """Raise Forbidden unless the principal holds the scope; for what is no operation of the table."""
    if scope not in principal.scopes:
        raise Forbidden(f"{what} needs the scope '{scope}', which this key does not hold.")


def _suspects(connection: HTTPConnection) -> Iterator[str]:
    for name in connection.query_params:
        if name.lower() in KEY_PARAMETERS:
            yield name
