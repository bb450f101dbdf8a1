"""What the composition root opened, as the transports and the command line receive it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from commands.message_manager import MessageManager
from commands.ports import EventStore, Registry
from domain.principal import Principal
from infra.metrics import Metrics
from infra.settings import Settings


class Authenticator(Protocol):
    """Turns what a caller presents into a principal."""

    def authenticate(self, key: str | None) -> Principal:
        """Raises Unauthenticated."""
        ...


@dataclass(frozen=True, slots=True)
class Health:
    """Whether requests can be served, and the state of each part in a word or a sentence.

    Ready and not every part ok is degraded: commands and MCP go on, and what the parts say does not.
    """

    ready: bool
    parts: Mapping[str, str]

    @property
    def degraded(self) -> bool:
        """Whether it is ready, and something does not work as it should."""
        return self.ready and any(state != "ok" for state in self.parts.values())


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that a transport may use; all of it is open while the runtime's context is."""

    settings: Settings
    messages: MessageManager
    registry: Registry
    store: EventStore
    authenticator: Authenticator
    metrics: Metrics
    health: Callable[[], Awaitable[Health]]
