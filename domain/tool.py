"""Tools: what an agent can call. The definition, its bindings, and the aggregate with its stored event names."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from domain.binding import HttpBinding, UnboundBinding
from domain.definition import Definition, DefinitionContent, DefinitionModel
from domain.identity import McpName
from domain.schema import compile_schema

DESCRIPTION_LENGTH_MAX = 32 * 1024


class ToolAnnotations(DefinitionModel):
    """Hints about a tool's behaviour, with the names of the MCP specification. A client must not trust them."""

    title: str | None = None
    readOnlyHint: bool | None = None
    destructiveHint: bool | None = None
    idempotentHint: bool | None = None
    openWorldHint: bool | None = None


class StaticToolBinding(DefinitionModel):
    """A call answers this content, whatever the arguments. `content` holds MCP content blocks."""

    type: Literal["static"]
    content: list[dict[str, Any]]
    structured_content: dict[str, Any] | None = None
    is_error: bool = False

    @field_validator("content")
    @classmethod
    def _blocks_are_mcp_content(cls, blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        required = {
            "text": ("text",),
            "image": ("data", "mimeType"),
            "audio": ("data", "mimeType"),
            "resource": ("resource",),
            "resource_link": ("uri", "name"),
        }
        for index, block in enumerate(blocks):
            names = required.get(str(block.get("type")))
            if names is None:
                raise ValueError(
                    f"block {index} has the type {block.get('type')!r}; use one of {sorted(required)}"
                )
            missing = [name for name in names if name not in block]
            if missing:
                raise ValueError(f"block {index} of type {block['type']!r} lacks {missing}")
        return blocks


ToolBinding = Annotated[HttpBinding | StaticToolBinding | UnboundBinding, Field(discriminator="type")]


class ToolDefinition(DefinitionContent):
    """A tool as clients see it and as it is executed; schemas are JSON Schema 2020-12 unless `$schema` says else."""

    name: McpName
    title: str | None = None
    description: str | None = Field(default=None, max_length=DESCRIPTION_LENGTH_MAX)
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None = None
    annotations: ToolAnnotations | None = None
    binding: ToolBinding

    @property
    def key(self) -> str:
        """A tool is known by its name."""
        return self.name

    @field_validator("input_schema", "output_schema")
    @classmethod
    def _is_an_object_schema(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        if schema is not None:
            compile_schema(schema)
            if schema.get("type") != "object":
                raise ValueError('MCP requires the schema\'s root to say "type": "object"')
        return schema

    @model_validator(mode="after")
    def _path_arguments_are_required(self) -> "ToolDefinition":
        if isinstance(self.binding, HttpBinding):
            required = self.input_schema.get("required", [])
            for name in self.binding.path_parameters:
                if name not in required:
                    host = urlsplit(self.binding.url).netloc
                    raise ValueError(
                        f"the URL at {host} uses {{{name}}}, so input_schema must have it among its required properties"
                    )
        return self


class Tool(Definition):
    """A tool of one namespace. The stored names are permanent."""

    TOPIC = "tool"

    class Event(Definition.Event):
        """Base of a tool's events."""

    class Created(Event, Definition.Created):
        """See Definition.Created."""

        TOPIC = "tool.registered"

    class Revised(Event, Definition.Revised):
        """See Definition.Revised."""

        TOPIC = "tool.revised"

    class RolledBack(Event, Definition.RolledBack):
        """See Definition.RolledBack."""

        TOPIC = "tool.rolled_back"

    class RevisionApproved(Event, Definition.RevisionApproved):
        """See Definition.RevisionApproved."""

        TOPIC = "tool.revision_approved"

    class RevisionRejected(Event, Definition.RevisionRejected):
        """See Definition.RevisionRejected."""

        TOPIC = "tool.revision_rejected"

    class Disabled(Event, Definition.Disabled):
        """See Definition.Disabled."""

        TOPIC = "tool.disabled"

    class Enabled(Event, Definition.Enabled):
        """See Definition.Enabled."""

        TOPIC = "tool.enabled"

    class Retired(Event, Definition.Retired):
        """See Definition.Retired."""

        TOPIC = "tool.retired"

    class Restored(Event, Definition.Restored):
        """See Definition.Restored."""

        TOPIC = "tool.restored"
