"""Decisions: a command and the present state in, events out. Pure: the clock and the policy are passed in.

`decide` handles each lifecycle command once, `decide_namespace` those of namespaces. Events wait in the returned
aggregate (`collect_events`); no event means that the state is already as wished.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, TypeVar, assert_never

from eventsourcing.utils import get_topic

from domain.canonical import definition_hash
from domain.commands import (
    Apply,
    ApproveRevision,
    CreateNamespace,
    Disable,
    Enable,
    Register,
    RejectRevision,
    Restore,
    Retire,
    Revise,
    RollBack,
    SetNamespacePolicy,
)
from domain.definition import PROPOSALS_MAX, ApprovalPolicy, Definition, DefinitionContent, Revision
from domain.errors import AlreadyExists, Conflict, Fault, IllegalTransition, InvalidInput, NotFound
from domain.identity import aggregate_id
from domain.namespace import Namespace

Change: TypeAlias = Revise | ApproveRevision | RejectRevision | RollBack | Disable | Enable | Retire | Restore
"""A command about a definition that exists."""

NamespaceCommand: TypeAlias = CreateNamespace | SetNamespacePolicy

DefinitionT = TypeVar("DefinitionT", bound=Definition)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision depends on besides command and state: the time, and the namespace's approval policy."""

    at: datetime
    approval: ApprovalPolicy


def register(
    kind: type[DefinitionT], state: DefinitionT | None, command: Register, circumstances: Circumstances
) -> DefinitionT:
    """The definition that `command` wants. Raises AlreadyExists; an Apply revises what exists instead."""
    content = command.definition.content()
    if state is None:
        key = command.definition.key
        return kind._create(  # noqa: SLF001 - the library's way to pass the id and the time
            kind.Created,
            id=aggregate_id(get_topic(kind), command.namespace, key),
            timestamp=circumstances.at,
            namespace=command.namespace,
            key=key,
            definition=content,
            definition_hash=definition_hash(content),
            approved=circumstances.approval == "auto",
            provenance=dict(command.provenance),
        )
    if isinstance(command, Apply):
        _refuse_if_retired(state)
        _refuse_if_from_elsewhere(state, command.provenance)
        _revise(state, command.definition, dict(command.provenance), circumstances)
        return state
    way_out = "restore it" if state.retired else "revise it, or choose another name"
    present = "is retired" if state.retired else "exists"
    raise AlreadyExists(f"The {_name(state)} {present} already, as {state.id}; {way_out}.")


def change(  # noqa: C901, PLR0912 - one flat case for each command
    state: Definition, command: Change, circumstances: Circumstances
) -> None:
    """Trigger in `state` the events that `command` leads to. Raises NotFound, Conflict and IllegalTransition."""
    if not isinstance(command, Restore):
        _refuse_if_retired(state)
    at = circumstances.at
    match command:
        case Revise():
            provenance = state.provenance if command.provenance is None else dict(command.provenance)
            _revise(state, command.definition, provenance, circumstances)
        case ApproveRevision():
            proposal = _proposal(state, command.revision, command.definition_hash)
            _trigger(
                state, "RevisionApproved", at, revision=proposal.number, definition_hash=proposal.content_hash
            )
        case RejectRevision():
            proposal = _proposal(state, command.revision, command.definition_hash)
            _trigger(
                state, "RevisionRejected", at, revision=proposal.number, definition_hash=proposal.content_hash
            )
        case RollBack():
            _roll_back(state, command.to_revision, circumstances)
        case Disable():
            if state.enabled:
                _trigger(state, "Disabled", at)
        case Enable():
            if not state.enabled:
                _trigger(state, "Enabled", at)
        case Retire():
            _trigger(state, "Retired", at)
        case Restore():
            if not state.retired:
                raise IllegalTransition(f"The {_name(state)} is not retired, so there is nothing to restore.")
            _trigger(state, "Restored", at)
        case _:
            assert_never(command)


def decide_namespace(
    state: Namespace | None, name: str, command: NamespaceCommand, at: datetime
) -> Namespace:
    """The namespace that `command` wants. Raises AlreadyExists and NotFound."""
    match command:
        case CreateNamespace():
            if state is not None:
                raise AlreadyExists(f"The namespace '{name}' exists already.")
            definition = command.definition
            return Namespace._create(  # noqa: SLF001 - the library's way to pass the id and the time
                Namespace.Created,
                id=aggregate_id(Namespace.TOPIC, name, name),
                timestamp=at,
                name=name,
                description=definition.description,
                policy=definition.policy.model_dump(mode="json"),
            )
        case SetNamespacePolicy():
            if state is None:
                raise NotFound(f"There is no namespace '{name}'.")
            if command.policy != state.policy:
                state.trigger_event(
                    Namespace.PolicySet, timestamp=at, policy=command.policy.model_dump(mode="json")
                )
            return state
        case _:
            assert_never(command)


def _revise(
    state: Definition, wanted: DefinitionContent, provenance: dict[str, str], circumstances: Circumstances
) -> None:
    if wanted.key != state.key:
        message = f"The {_name(state)} cannot become '{wanted.key}': a definition keeps its name. Register a new one."
        raise InvalidInput(message, [Fault("/definition", message)])
    content = wanted.content()
    content_hash = definition_hash(content)
    # A repeated proposal, or what already serves with nothing newer waiting, is no change.
    if (
        content_hash == state.latest.content_hash
        and state.latest.state != "rejected"
        and provenance == state.provenance
    ):
        return
    approved = circumstances.approval == "auto"
    if not approved and len(state.proposals) >= PROPOSALS_MAX:
        raise Conflict(
            f"The {_name(state)} has {PROPOSALS_MAX} open proposals; approve or reject some first."
        )
    _trigger(
        state,
        "Revised",
        circumstances.at,
        definition=content,
        definition_hash=content_hash,
        approved=approved,
        provenance=provenance,
    )


def _roll_back(state: Definition, number: int, circumstances: Circumstances) -> None:
    old = _revision(state, number)
    if state.served_revision is not None and not state.proposals:
        served = _revision(state, state.served_revision)
        if served.content_hash == old.content_hash:
            raise IllegalTransition(f"The {_name(state)} serves the content of revision {number} already.")
    # Approval is of content: what was approved once needs no second approval.
    known_good = any(r.state == "approved" and r.content_hash == old.content_hash for r in state.revisions)
    _trigger(
        state,
        "RolledBack",
        circumstances.at,
        to_revision=number,
        definition=old.content,
        definition_hash=old.content_hash,
        approved=known_good or circumstances.approval == "auto",
    )


def _proposal(state: Definition, number: int, expected_hash: str | None) -> Revision:
    revision = _revision(state, number)
    if expected_hash is not None and expected_hash != revision.content_hash:
        raise Conflict(
            f"Revision {number} of the {_name(state)} has the hash {revision.content_hash}, not {expected_hash[:100]}. "
            "Look at it again before you decide."
        )
    if revision.state != "proposed":
        raise IllegalTransition(f"Revision {number} of the {_name(state)} is {revision.state} already.")
    return revision


def _revision(state: Definition, number: int) -> Revision:
    if number > len(state.revisions):
        raise NotFound(f"The {_name(state)} has no revision {number}; it has 1 to {len(state.revisions)}.")
    return state.revisions[number - 1]


def _refuse_if_retired(state: Definition) -> None:
    if state.retired:
        raise IllegalTransition(f"The {_name(state)} is retired. Restore it before you change it.")


def _refuse_if_from_elsewhere(state: Definition, provenance: Mapping[str, str]) -> None:
    # Two servers whose names come out alike must not revise each other's definitions at every import.
    owner, claimant = state.provenance.get("server"), provenance.get("server")
    if owner and claimant and owner != claimant:
        raise AlreadyExists(
            f"The {_name(state)} comes from the server '{owner}', not from '{claimant[:256]}'."
        )


def _name(state: Definition) -> str:
    return f"{get_topic(type(state))} '{state.key}' of namespace '{state.namespace}'"


def _trigger(state: Definition, event: str, at: datetime, **values: Any) -> None:
    # The kind's own event class carries the stored name, so it is looked up on the kind.
    state.trigger_event(getattr(type(state), event), timestamp=at, **values)
