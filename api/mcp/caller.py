"""Who sent an MCP request and which namespace its path names: found at the gate, read by the handlers."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from domain.principal import NamespaceSet, Principal

_SCOPE_KEY = "chronicle.mcp_caller"

# The SDK looks a tool's schema up by name alone, before any handler: only the context says for whom.
current_caller: ContextVar["Caller"] = ContextVar("current_caller")


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller at `/mcp` (namespace None) or `/mcp/{namespace}`."""

    principal: Principal
    namespace: str | None
    correlation_id: str = ""
    traceparent: str = ""

    @property
    def visible(self) -> NamespaceSet:
        """The namespaces that this request may see."""
        return self.principal.namespaces.only(self.namespace)

    def put_into(self, scope: Scope) -> None:
        """Leave the caller where `caller_of` finds it."""
        scope[_SCOPE_KEY] = self


def caller_of(request: Any) -> Caller:
    """The caller of the HTTP request that the SDK hands to a handler."""
    caller = request.scope[_SCOPE_KEY]
    assert isinstance(caller, Caller)  # noqa: S101 - the gate puts nothing else there
    return caller
