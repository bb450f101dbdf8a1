"""The life cycle that tools, resources and prompts share: revisions, approval, serving, retirement.

A definition has revisions 1..n. Clients see the served one. Under the policy `required` a new revision waits as
`proposed` while the last approved one goes on serving; under `auto` it serves at once. Approving a revision ends the
older proposals. What is retired keeps its id and can only be restored. Decisions are in `domain/decide.py`.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from eventsourcing.domain import Aggregate
from pydantic import BaseModel, ConfigDict

from domain.canonical import canonical_json
from domain.errors import Fault, InvalidInput

RevisionState: TypeAlias = Literal["proposed", "approved", "rejected"]
ApprovalPolicy: TypeAlias = Literal["auto", "required"]

PROPOSALS_MAX = 20
"""Open proposals of one definition; one more is refused until some are approved or rejected."""

DEFINITION_BYTES_MAX = 256 * 1024
"""Size of one definition in canonical JSON."""


DEFINITION_DEPTH_MAX = 128
"""Levels of nesting of one definition: every JSON library on its way to the read models takes that many."""


class DefinitionModel(BaseModel):
    """Part of a definition as a client writes it: unknown fields and loose types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DefinitionContent(DefinitionModel):
    """Everything that shapes the behaviour of one definition; the definition hash covers all of it."""

    @property
    def key(self) -> str:
        """What identifies the definition in its namespace: a name, a URI or a URI template."""
        raise NotImplementedError

    def content(self) -> dict[str, Any]:
        """The JSON form that is stored and hashed. Raises InvalidInput if it is too large or nested too deep.

        Fields at their default are left out: so a field that is added later changes no hash, and no default may change.
        """
        content = self._dumped()
        size = len(canonical_json(content))
        if size > DEFINITION_BYTES_MAX:
            message = f"The definition has {size} bytes; at most {DEFINITION_BYTES_MAX} are stored."
            raise InvalidInput(message, [Fault("/definition", message)])
        return content

    def _dumped(self) -> dict[str, Any]:
        message = f"The definition is nested deeper than {DEFINITION_DEPTH_MAX} levels."
        try:
            content = self.model_dump(mode="json", exclude_defaults=True)
        except ValueError as error:
            # pydantic has a bound of its own, which is higher.
            raise InvalidInput(message, [Fault("/definition", message)]) from error
        level: list[Any] = [content]
        for _ in range(DEFINITION_DEPTH_MAX):
            inner = (value.values() if isinstance(value, dict) else value for value in level)
            level = [value for values in inner for value in values if isinstance(value, dict | list)]
            if not level:
                return content
        raise InvalidInput(message, [Fault("/definition", message)])


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a definition's content. `equals_revision` is set where a roll-back made it."""

    number: int
    content: dict[str, Any]
    content_hash: str
    state: RevisionState
    equals_revision: int | None = None


class Definition(Aggregate):
    """State of a tool, resource or prompt. Its events say what happened; they are applied without any decision."""

    def __init__(
        self,
        *,
        namespace: str,
        key: str,
        definition: dict[str, Any],
        definition_hash: str,
        approved: bool,
        provenance: dict[str, str],
    ) -> None:
        self.namespace = namespace
        self.key = key
        self.provenance = provenance
        self.enabled = True
        self.retired = False
        self.served_revision: int | None = None
        self.revisions: list[Revision] = []
        self.add_revision(definition, definition_hash, approved=approved)

    @property
    def latest(self) -> Revision:
        """The newest revision, served or not."""
        return self.revisions[-1]

    @property
    def proposals(self) -> list[Revision]:
        """The revisions that wait for approval, oldest first."""
        return [revision for revision in self.revisions if revision.state == "proposed"]

    def add_revision(
        self,
        content: dict[str, Any],
        content_hash: str,
        *,
        approved: bool,
        equals_revision: int | None = None,
    ) -> None:
        """Append a revision; an approved one is served from now on."""
        number = len(self.revisions) + 1
        self.revisions.append(Revision(number, content, content_hash, "proposed", equals_revision))
        if approved:
            self.serve(number)

    def serve(self, number: int) -> None:
        """Mark a revision approved and serve it; older proposals end, because their base is gone."""
        for revision in self.proposals:
            if revision.number < number:
                self.set_state(revision.number, "rejected")
        self.set_state(number, "approved")
        self.served_revision = number

    def set_state(self, number: int, state: RevisionState) -> None:
        """Replace the approval state of one revision."""
        old = self.revisions[number - 1]
        self.revisions[number - 1] = Revision(
            old.number, old.content, old.content_hash, state, old.equals_revision
        )

    class Event(Aggregate.Event):
        """Base of the events below; each kind gives every one its stored name."""

    class Created(Event, Aggregate.Created):
        """A definition was registered; its first revision is approved or proposed."""

        namespace: str
        key: str
        definition: dict[str, Any]
        definition_hash: str
        approved: bool
        provenance: dict[str, str]

    class Revised(Event):
        """A new revision came; it serves at once if `approved`."""

        definition: dict[str, Any]
        definition_hash: str
        approved: bool
        provenance: dict[str, str]

        def apply(self, aggregate: "Definition") -> None:
            """Add the revision and take over its provenance."""
            aggregate.add_revision(self.definition, self.definition_hash, approved=self.approved)
            aggregate.provenance = self.provenance

    class RolledBack(Event):
        """A new revision, equal to the earlier `to_revision`."""

        to_revision: int
        definition: dict[str, Any]
        definition_hash: str
        approved: bool

        def apply(self, aggregate: "Definition") -> None:
            """Add the revision, saying which one it equals."""
            aggregate.add_revision(
                self.definition,
                self.definition_hash,
                approved=self.approved,
                equals_revision=self.to_revision,
            )

    class RevisionApproved(Event):
        """A proposed revision was approved, by the hash of its content, and serves from now on."""

        revision: int
        definition_hash: str

        def apply(self, aggregate: "Definition") -> None:
            """Serve the revision."""
            aggregate.serve(self.revision)

    class RevisionRejected(Event):
        """A proposed revision was turned down."""

        revision: int
        definition_hash: str

        def apply(self, aggregate: "Definition") -> None:
            """Close the proposal."""
            aggregate.set_state(self.revision, "rejected")

    class Disabled(Event):
        """Hidden from clients until it is enabled; revisions and approvals go on."""

        def apply(self, aggregate: "Definition") -> None:
            """Stop serving."""
            aggregate.enabled = False

    class Enabled(Event):
        """Served again."""

        def apply(self, aggregate: "Definition") -> None:
            """Serve again."""
            aggregate.enabled = True

    class Retired(Event):
        """Taken out of use; only a restoration can follow."""

        def apply(self, aggregate: "Definition") -> None:
            """Stop serving for good."""
            aggregate.retired = True

    class Restored(Event):
        """Brought back as it was when it was retired."""

        def apply(self, aggregate: "Definition") -> None:
            """Serve again."""
            aggregate.retired = False
