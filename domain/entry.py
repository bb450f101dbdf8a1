"""The visible state of one definition or namespace, as every read model holds it. `projections/fold.py` makes it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from domain.recorded import Position

Kind: TypeAlias = Literal["tool", "resource", "prompt", "namespace"]
DefinitionKind: TypeAlias = Literal["tool", "resource", "prompt"]

Status: TypeAlias = Literal["active", "proposed", "disabled", "retired"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A revision that waits for approval."""

    revision: int
    definition: dict[str, Any]
    definition_hash: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What the catalogue says of one definition after its event at `position`.

    `definition`, `definition_hash` and `served_revision` are of the revision that clients see; None while the first
    one still waits. `key` is a tool's or prompt's name, a resource's URI or template, a namespace's name. A namespace
    has its policy and description as `definition`.
    """

    id: UUID
    kind: Kind
    namespace: str
    key: str
    version: int
    position: Position
    revision: int
    served_revision: int | None
    definition: dict[str, Any] | None
    definition_hash: str | None
    enabled: bool
    retired: bool
    created_at: datetime
    updated_at: datetime
    updated_by: str
    provenance: dict[str, str] = field(default_factory=dict)
    proposals: tuple[Proposal, ...] = ()

    @property
    def status(self) -> Status:
        """One word for people and filters; only what is `active` is served."""
        if self.retired:
            return "retired"
        if not self.enabled:
            return "disabled"
        return "active" if self.definition is not None else "proposed"

    @property
    def described(self) -> dict[str, Any]:
        """The served definition, or while there is none the first proposal: what a person would call it."""
        if self.definition is not None:
            return self.definition
        return self.proposals[-1].definition if self.proposals else {}
