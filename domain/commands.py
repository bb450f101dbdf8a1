"""Commands: what a caller wants, and at the same time the body of a request.

What they are about (the id) and the version that they are based on come with the request, not in the command.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from domain.definition import DefinitionContent
from domain.identity import NamespaceSlug
from domain.namespace import NamespaceDefinition, NewNamespacePolicy
from domain.prompt import PromptDefinition
from domain.resource import ResourceDefinition
from domain.tool import ToolDefinition

REASON_LENGTH_MAX = 1000
PROVENANCE_FIELDS_MAX = 16
PROVENANCE_NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"

ProvenanceName = Annotated[str, StringConstraints(pattern=PROVENANCE_NAME_PATTERN)]
_PROVENANCE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _named_well(provenance: dict[str, str]) -> dict[str, str]:
    for name in provenance:
        if not _PROVENANCE_NAME.fullmatch(name):
            raise ValueError(f"{name[:64]!r} is not a field's name: 1 to 64 of [A-Za-z0-9_.-]")
    return provenance


ProvenanceText = Annotated[str, StringConstraints(max_length=1024)]
Provenance = Annotated[
    dict[str, ProvenanceText], Field(max_length=PROVENANCE_FIELDS_MAX), AfterValidator(_named_well)
]
"""Where a definition was found: `id`, `server`, `source`, `license`, `category` … Shown, never interpreted."""


class Command(BaseModel):
    """The part common to all: why it is done. It is kept with the events."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    reason: str = Field(default="", max_length=REASON_LENGTH_MAX, description="Why; kept in the log.")


class Register(Command):
    """Add a definition that is new in its namespace."""

    namespace: NamespaceSlug
    provenance: Provenance = Field(default_factory=dict)
    definition: DefinitionContent


class RegisterTool(Register):
    """Add a tool."""

    definition: ToolDefinition


class RegisterResource(Register):
    """Add a resource."""

    definition: ResourceDefinition


class RegisterPrompt(Register):
    """Add a prompt."""

    definition: PromptDefinition


class Apply(Register):
    """Make the definition be so: register it, revise it, or do nothing if it is so already."""


class ApplyTool(Apply):
    """Make a tool be so."""

    definition: ToolDefinition


class ApplyResource(Apply):
    """Make a resource be so."""

    definition: ResourceDefinition


class ApplyPrompt(Apply):
    """Make a prompt be so."""

    definition: PromptDefinition


class Revise(Command):
    """Give a definition a new revision; its name or URI must stay. Without provenance the present one stays."""

    definition: DefinitionContent
    provenance: Provenance | None = None


class ReviseTool(Revise):
    """Give a tool a new revision."""

    definition: ToolDefinition


class ReviseResource(Revise):
    """Give a resource a new revision."""

    definition: ResourceDefinition


class RevisePrompt(Revise):
    """Give a prompt a new revision."""

    definition: PromptDefinition


class ApproveRevision(Command):
    """Serve a proposed revision. With a hash, only if that is its content's."""

    revision: int = Field(ge=1)
    definition_hash: str | None = None


class RejectRevision(Command):
    """Turn a proposed revision down. With a hash, only if that is its content's."""

    revision: int = Field(ge=1)
    definition_hash: str | None = None


class RollBack(Command):
    """Make a new revision that equals an earlier one."""

    to_revision: int = Field(ge=1)


class Disable(Command):
    """Hide a definition from clients."""


class Enable(Command):
    """Show a definition to clients again."""


class Retire(Command):
    """Take a definition out of use; its name stays taken."""


class Restore(Command):
    """Bring a retired definition back."""


class CreateNamespace(Command):
    """Add a namespace."""

    definition: NamespaceDefinition


class SetNamespacePolicy(Command):
    """Replace a namespace's policy as a whole."""

    policy: NewNamespacePolicy
