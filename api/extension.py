"""What a transport adds to the application: its routes, who may use them, and what runs as long as it is served."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from starlette.routing import BaseRoute

from domain.principal import Scope
from infra.runtime import Runtime

Policy: TypeAlias = Scope | Literal["public", "operation"]
"""Who may use a route: holders of a scope, everybody, or (`operation`) whoever presents a key, with the scope of each
operation of the table that a request on it names."""


@dataclass(frozen=True, slots=True)
class Extension:
    """The routes of one transport.

    `policy` holds for all of them but those whose endpoint has a `policies` mapping from method to policy.
    `lifespan` is entered when the server starts and left when it stops. A transport that bounds its request
    bodies itself sets `bounds_bodies` to the path below which it does so.
    """

    routes: Sequence[BaseRoute]
    policy: Policy
    lifespan: Callable[[], AbstractAsyncContextManager[object]] = nullcontext
    bounds_bodies: str | None = None


ExtensionFactory: TypeAlias = Callable[[Runtime], Extension]


@dataclass(frozen=True, slots=True)
class Declared:
    """A route with the policies that were declared for it, by method (`*` for any)."""

    route: BaseRoute
    policies: Mapping[str, Policy] = field(default_factory=dict)


def declared(extension: Extension) -> list[Declared]:
    """Every route of the extension with its policies."""
    return [
        Declared(
            route,
            getattr(getattr(route, "endpoint", None), "policies", None) or {"*": extension.policy},
        )
        for route in extension.routes
    ]
