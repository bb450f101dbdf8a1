"""Who asks: an identity, what it may do, and which namespaces it may see."""

from dataclasses import dataclass
from typing import Literal, Self, TypeAlias, get_args

Scope: TypeAlias = Literal[
    "tools:read",
    "tools:write",
    "tools:approve",
    "tools:call",
    "resources:read",
    "resources:write",
    "resources:approve",
    "prompts:read",
    "prompts:write",
    "prompts:approve",
    "namespaces:read",
    "namespaces:write",
    "events:read",
    "metrics:read",
]
"""What an operation needs. Every route, field, method and socket operation declares one."""

EVERY_SCOPE: frozenset[Scope] = frozenset(get_args(Scope))


@dataclass(frozen=True, slots=True)
class NamespaceSet:
    """The namespaces that somebody may see: the named ones, or every one that there is or will be."""

    names: frozenset[str] = frozenset()
    every: bool = False

    def __contains__(self, namespace: str) -> bool:
        return self.every or namespace in self.names

    def only(self, namespace: str | None) -> Self:
        """Narrowed to one namespace (None: not narrowed); empty if that one may not be seen."""
        if namespace is None:
            return self
        return type(self)(frozenset({namespace}) if namespace in self else frozenset())


EVERY_NAMESPACE = NamespaceSet(every=True)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. `id` is what the log names as the actor."""

    id: str
    namespaces: NamespaceSet
    scopes: frozenset[Scope]


SYSTEM = Principal("system", EVERY_NAMESPACE, EVERY_SCOPE)
"""The product itself, for what it does on its own account."""
