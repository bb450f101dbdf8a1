"""How an event changes what read models hold: the one place that knows, for every index, the registry and `verify`.

Pure: an entry and an event in, an entry out. The rules repeat those of the aggregates (`domain/definition.py`), because
an entry keeps only the served content and the open proposals; a property test holds the two together.
"""

from dataclasses import replace
from typing import Any

from domain.definition import Definition
from domain.entry import Entry, Kind, Proposal
from domain.errors import ChronicleError
from domain.namespace import Namespace
from domain.prompt import Prompt
from domain.recorded import RecordedEvent
from domain.resource import Resource
from domain.tool import Tool


class Unfoldable(ChronicleError):
    """An event that this release cannot apply to its entry. The message names its stored name and its position."""

    code = "unfoldable"

    def __init__(self, recorded: RecordedEvent, problem: str) -> None:
        super().__init__(
            f"The event '{recorded.name}' at position {recorded.position} cannot be folded: {problem}"
        )
        self.recorded = recorded


def evolve(entry: Entry | None, recorded: RecordedEvent) -> Entry | None:
    """The entry after an event; `entry` is None before the first event of an aggregate.

    An event that the entry holds already changes nothing, so what was folded once may be folded again.
    Raises Unfoldable for an event of an unknown class, or one that does not follow the entry's version.
    """
    version = 0 if entry is None else entry.version
    if recorded.version <= version:
        return entry
    if recorded.version != version + 1:
        raise Unfoldable(
            recorded, f"it is version {recorded.version} of an aggregate whose entry is at {version}."
        )
    match recorded.event:
        case Definition.Created():
            return _registered(recorded, recorded.event)
        case Namespace.Created() as event:
            return _opened(recorded, event)
    if entry is None:
        raise Unfoldable(recorded, "it is the first of its aggregate, and no event that begins one.")
    changed = replace(
        entry,
        version=recorded.version,
        position=recorded.position,
        updated_at=recorded.recorded_at,
        updated_by=recorded.envelope.actor,
    )
    return _changed(changed, recorded)


def _changed(entry: Entry, recorded: RecordedEvent) -> Entry:
    match recorded.event:
        case Definition.Revised() as event:
            revised = _with_revision(entry, event.definition, event.definition_hash, approved=event.approved)
            return replace(revised, provenance=event.provenance)
        case Definition.RolledBack() as event:
            return _with_revision(entry, event.definition, event.definition_hash, approved=event.approved)
        case Definition.RevisionApproved() as event:
            return _with_approval(entry, event.revision, recorded)
        case Definition.RevisionRejected() as event:
            waiting = tuple(p for p in entry.proposals if p.revision != event.revision)
            return replace(entry, proposals=waiting)
        case Definition.Disabled() | Definition.Enabled() as event:
            return replace(entry, enabled=isinstance(event, Definition.Enabled))
        case Definition.Retired() | Definition.Restored() as event:
            return replace(entry, retired=isinstance(event, Definition.Retired))
        case Namespace.PolicySet() as event:
            return replace(entry, definition={**(entry.definition or {}), "policy": event.policy})
        case _:
            raise Unfoldable(recorded, f"the fold has no rule for {type(recorded.event).__qualname__}.")


def _registered(recorded: RecordedEvent, event: Definition.Created) -> Entry:
    empty = _first(recorded, _kind(recorded), event.namespace, event.key)
    entry = _with_revision(empty, event.definition, event.definition_hash, approved=event.approved)
    return replace(entry, provenance=event.provenance)


def _opened(recorded: RecordedEvent, event: Namespace.Created) -> Entry:
    definition = {"description": event.description, "policy": event.policy}
    empty = _first(recorded, "namespace", event.name, event.name)
    return replace(empty, revision=1, served_revision=1, definition=definition)


def _first(recorded: RecordedEvent, kind: Kind, namespace: str, key: str) -> Entry:
    return Entry(
        id=recorded.aggregate_id,
        kind=kind,
        namespace=namespace,
        key=key,
        version=recorded.version,
        position=recorded.position,
        revision=0,
        served_revision=None,
        definition=None,
        definition_hash=None,
        enabled=True,
        retired=False,
        created_at=recorded.recorded_at,
        updated_at=recorded.recorded_at,
        updated_by=recorded.envelope.actor,
    )


def _kind(recorded: RecordedEvent) -> Kind:
    match recorded.event:
        case Tool.Event():
            return "tool"
        case Resource.Event():
            return "resource"
        case Prompt.Event():
            return "prompt"
        case _:
            raise Unfoldable(
                recorded, f"{type(recorded.event).__qualname__} is of no kind that read models hold."
            )


def _with_revision(
    entry: Entry, definition: dict[str, Any], definition_hash: str, *, approved: bool
) -> Entry:
    number = entry.revision + 1
    if not approved:
        proposal = Proposal(number, definition, definition_hash)
        return replace(entry, revision=number, proposals=(*entry.proposals, proposal))
    # What serves ends every older proposal, and all of them are older than the newest revision.
    return replace(
        entry,
        revision=number,
        served_revision=number,
        definition=definition,
        definition_hash=definition_hash,
        proposals=(),
    )


def _with_approval(entry: Entry, number: int, recorded: RecordedEvent) -> Entry:
    approved = next((p for p in entry.proposals if p.revision == number), None)
    if approved is None:
        raise Unfoldable(recorded, f"revision {number} is not among the entry's open proposals.")
    return replace(
        entry,
        served_revision=number,
        definition=approved.definition,
        definition_hash=approved.definition_hash,
        proposals=tuple(p for p in entry.proposals if p.revision > number),
    )
