"""The types of what commands and calls answer."""

from typing import Self, cast

import strawberry
from strawberry.scalars import JSON

from api.graphql.types import Kind, Status
from commands.mcp_service import Rendered
from commands.request import CommandResult, ToolResult


@strawberry.type(name="CommandResult", description="What a command did; the same again for the same key")
class CommandAnswer:
    """See `commands.request.CommandResult`."""

    id: strawberry.ID
    kind: Kind
    namespace: str
    key: str
    version: int
    position: str = strawberry.field(description="What a read may wait for: minPosition")
    event: str | None = strawberry.field(description="Null if everything was as wished already")
    status: Status
    revision: int | None
    served_revision: int | None
    definition_hash: str | None
    created: bool

    @classmethod
    def of(cls, result: CommandResult) -> Self:
        """The result as this type."""
        return cls(
            id=strawberry.ID(str(result.id)),
            kind=Kind(result.kind),
            namespace=result.namespace,
            key=result.key,
            version=result.version,
            position=str(result.position),
            event=result.event,
            status=Status(result.status),
            revision=result.revision,
            served_revision=result.served_revision,
            definition_hash=result.definition_hash,
            created=result.created,
        )


@strawberry.type(name="ToolResult", description="What a tool call answered; a tool error is an answer too")
class ToolAnswer:
    """See `commands.request.ToolResult`."""

    content: JSON
    structured_content: JSON | None
    is_error: bool

    @classmethod
    def of(cls, result: ToolResult) -> Self:
        """The result as this type."""
        return cls(
            content=cast(JSON, result.content),
            structured_content=cast(JSON | None, result.structured_content),
            is_error=result.is_error,
        )


@strawberry.type(description="One message of a rendered prompt")
class PromptMessage:
    """See `domain.prompt.PromptMessage`."""

    role: str
    text: str


@strawberry.type(description="A rendered prompt")
class RenderedPrompt:
    """See `commands.mcp_service.Rendered`."""

    description: str | None
    messages: list[PromptMessage]

    @classmethod
    def of(cls, rendered: Rendered) -> Self:
        """The result as this type."""
        messages = [PromptMessage(role=message.role, text=message.text) for message in rendered.messages]
        return cls(description=rendered.description, messages=messages)
