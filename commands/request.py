"""What travels through the Message Manager: the request of any transport, its context, and a command's result."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from uuid import UUID

from domain.entry import Kind, Status
from domain.principal import NamespaceSet, Principal
from domain.recorded import Envelope, IdempotencyClaim, Position

Transport: TypeAlias = Literal["rest", "graphql", "websocket", "mcp", "system"]

DEADLINE_S_DEFAULT = 30.0
IDEMPOTENCY_KEY_LENGTH_MAX = 256
CORRELATION_ID_LENGTH_MAX = 128


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a transport hands it over.

    `input` is the decoded JSON of the operation's input model. `target` is the definition or namespace that it is
    about, `expected_version` the version that the caller last saw of it (ETag, If-Match).
    """

    operation: str
    input: Any
    principal: Principal
    transport: Transport
    target: UUID | None = None
    expected_version: int | None = None
    idempotency_key: str | None = None
    correlation_id: str = ""
    traceparent: str = ""
    deadline_s: float = DEADLINE_S_DEFAULT


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may know of its request besides the input."""

    principal: Principal
    target: UUID | None = None
    expected_version: int | None = None
    idempotency: IdempotencyClaim | None = None
    command_id: str = ""
    correlation_id: str = ""
    traceparent: str = ""
    deadline_s: float = DEADLINE_S_DEFAULT

    @property
    def visible(self) -> NamespaceSet:
        """The namespaces that the caller may see."""
        return self.principal.namespaces

    def envelope(self, namespace: str, reason: str) -> Envelope:
        """What is recorded with the events of this request."""
        return Envelope(
            namespace=namespace,
            actor=self.principal.id,
            reason=reason,
            command_id=self.command_id,
            correlation_id=self.correlation_id,
            traceparent=self.traceparent,
        )


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command did; the same again when it is repeated with its idempotency key.

    `event` is the stored name of the event that it appended, None if the state was as wished already. `version` is
    the ETag, `position` what a read may wait for (`min_position`). The revision fields are None for a namespace.
    """

    id: UUID
    kind: Kind
    namespace: str
    key: str
    version: int
    position: Position
    event: str | None
    status: Status
    revision: int | None = None
    served_revision: int | None = None
    definition_hash: str | None = None

    @property
    def created(self) -> bool:
        """Whether the command brought the thing into being."""
        return self.event is not None and self.version == 1


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool call answered: MCP content blocks, and the structured form if there is one."""

    content: list[dict[str, Any]]
    structured_content: dict[str, Any] | None = None
    is_error: bool = False


def tool_error(message: str) -> ToolResult:
    """A tool error: an answer for the agent to read, not a failure of the product."""
    return ToolResult([{"type": "text", "text": message}], is_error=True)
