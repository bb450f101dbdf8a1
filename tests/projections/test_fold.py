"""The fold keeps what the aggregates say, handles every event that there is, and refuses what it cannot know."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from eventsourcing.domain import AggregateEvent
from hypothesis import given
from hypothesis import strategies as st

from domain.commands import (
    ApproveRevision,
    CreateNamespace,
    Disable,
    Enable,
    RegisterPrompt,
    RegisterResource,
    RegisterTool,
    RejectRevision,
    Restore,
    Retire,
    Revise,
    RollBack,
    SetNamespacePolicy,
)
from domain.decide import Circumstances, change, decide_namespace, register
from domain.definition import Definition
from domain.entry import Entry
from domain.errors import Conflict, NotFound
from domain.namespace import Namespace, NamespaceDefinition, NamespacePolicy
from domain.prompt import Prompt, PromptDefinition
from domain.recorded import Position, RecordedEvent
from domain.resource import Resource, ResourceDefinition
from domain.tool import Tool, ToolDefinition
from projections.documents import entry_from_json, entry_to_json
from projections.fold import Unfoldable, evolve
from tests.projections.log import AT, MemoryLog, new_tool, trigger

KINDS: dict[str, Any] = {
    "tool": (Tool, RegisterTool, lambda text: ToolDefinition.model_validate(_tool(text))),
    "resource": (Resource, RegisterResource, lambda text: ResourceDefinition.model_validate(_resource(text))),
    "prompt": (Prompt, RegisterPrompt, lambda text: PromptDefinition(name="p", description=text)),
}


def _tool(text: str) -> dict[str, Any]:
    return {
        "name": "t",
        "description": text,
        "input_schema": {"type": "object"},
        "binding": {"type": "unbound"},
    }


def _resource(text: str) -> dict[str, Any]:
    return {"uri": "a:b", "name": "r", "description": text, "binding": {"type": "unbound"}}


numbers = st.integers(1, 4)
provenances = st.none() | st.dictionaries(st.sampled_from(["server", "source"]), st.text("xy", max_size=2))
steps = st.one_of(
    st.tuples(st.just("revise"), st.sampled_from("abc"), provenances),
    st.tuples(st.just("approve"), numbers),
    st.tuples(st.just("reject"), numbers),
    st.tuples(st.just("roll_back"), numbers),
    st.sampled_from([(name,) for name in ("disable", "enable", "retire", "restore")]),
)


def command_of(step: tuple[Any, ...], definition: Any) -> Any:
    """The lifecycle command of a drawn step."""
    match step:
        case ("revise", text, provenance):
            return Revise.model_construct(definition=definition(text), provenance=provenance, reason="")
        case ("approve", number):
            return ApproveRevision(revision=number)
        case ("reject", number):
            return RejectRevision(revision=number)
        case ("roll_back", number):
            return RollBack(to_revision=number)
        case (name,):
            return {"disable": Disable, "enable": Enable, "retire": Retire, "restore": Restore}[name]()
    raise AssertionError(step)


def folded(events: list[RecordedEvent]) -> Entry:
    """The entry after these events of one aggregate."""
    entry: Entry | None = None
    for recorded in events:
        entry = evolve(entry, recorded)
    assert entry is not None
    return entry


@given(
    kind=st.sampled_from(sorted(KINDS)),
    walk=st.lists(st.tuples(steps, st.sampled_from(["auto", "required"])), max_size=25),
    first=st.sampled_from(["auto", "required"]),
)
def test_the_fold_equals_the_aggregate(kind: str, walk: list[Any], first: Any) -> None:
    """After any legal life, the entry says what the replayed aggregate says; and it survives a trip through JSON."""
    aggregate, register_command, definition = KINDS[kind]
    log = MemoryLog()
    command = register_command(namespace="ns", definition=definition("a"), provenance={"server": "s"})
    state = register(aggregate, None, command, Circumstances(AT, first))
    log.append(*state.collect_events())
    for step, approval in walk:
        try:
            change(state, command_of(step, definition), Circumstances(AT, approval))
        except (Conflict, NotFound):
            continue
        if events := state.collect_events():
            log.append(*events, actor="bob")
    replayed: Any = None
    for recorded in log.events:
        replayed = recorded.event.mutate(replayed)
    entry = folded(log.events)
    assert_same(entry, replayed, log)
    assert entry.kind == kind
    assert entry_from_json(orjson.loads(orjson.dumps(entry_to_json(entry)))) == entry


def assert_same(entry: Entry, state: Definition, log: MemoryLog) -> None:
    """Everything that both know is equal."""
    served = state.revisions[state.served_revision - 1] if state.served_revision else None
    assert (entry.id, entry.namespace, entry.key) == (state.id, state.namespace, state.key)
    assert (entry.version, entry.position) == (state.version, log.events[-1].position)
    assert (entry.revision, entry.served_revision) == (state.latest.number, state.served_revision)
    assert entry.definition == (served.content if served else None)
    assert entry.definition_hash == (served.content_hash if served else None)
    assert (entry.enabled, entry.retired, entry.provenance) == (
        state.enabled,
        state.retired,
        state.provenance,
    )
    assert [(p.revision, p.definition, p.definition_hash) for p in entry.proposals] == [
        (r.number, r.content, r.content_hash) for r in state.proposals
    ]
    assert entry.created_at == log.events[0].recorded_at
    assert (entry.updated_at, entry.updated_by) == (log.events[-1].recorded_at, log.events[-1].envelope.actor)


def test_a_namespace_shows_its_policy() -> None:
    """Its key and its namespace are its name; its definition is its description and its present policy."""
    log = MemoryLog()
    wish = CreateNamespace(definition=NamespaceDefinition(name="red", description="Team red"))
    state = decide_namespace(None, "red", wish, AT)
    policy = NamespacePolicy(approval="required", private_hosts=["db"])
    decide_namespace(state, "red", SetNamespacePolicy(policy=policy), AT)
    log.append(*state.collect_events())
    entry = folded(log.events)
    assert (entry.kind, entry.key, entry.namespace, entry.status) == ("namespace", "red", "red", "active")
    assert entry.definition == {"description": "Team red", "policy": policy.model_dump(mode="json")}
    assert entry.version == 2


def stored_event_classes() -> list[type[AggregateEvent]]:
    """Every event class of the domain that has a stored name."""
    found, waiting = [], [Definition.Event, Namespace.Event]
    while waiting:
        event_class: Any = waiting.pop()
        waiting += event_class.__subclasses__()
        if event_class.__dict__.get("TOPIC"):
            found.append(event_class)
    return sorted(set(found), key=lambda event_class: event_class.TOPIC)


@pytest.mark.parametrize("event_class", stored_event_classes(), ids=lambda event_class: event_class.TOPIC)
def test_every_event_has_a_rule(event_class: Any) -> None:
    """A new event without a branch fails here, not in production."""
    started = folded(MemoryLogOf(new_tool("t", approved=False)).events)
    begins = event_class.__qualname__.endswith(".Created")
    values = {name: getattr(EXAMPLE, name) for name in _fields(event_class)}
    event = event_class(
        originator_id=started.id, originator_version=1 if begins else 2, timestamp=AT, **values
    )
    recorded = replace(RECORDED, version=event.originator_version, name=event_class.TOPIC, event=event)
    entry = evolve(None if begins else started, recorded)
    assert entry is not None
    assert entry.position == recorded.position


class EXAMPLE:
    """A value for every field of an event that has one."""

    namespace = key = name = "x"
    description = None
    policy = {"approval": "auto"}  # noqa: RUF012 - read only
    definition = {"name": "x"}  # noqa: RUF012 - read only
    definition_hash = "v1:sha256:x"
    approved = True
    provenance: dict[str, str] = {}  # noqa: RUF012 - read only
    revision = to_revision = 1
    originator_topic = "x"


def _fields(event_class: type) -> set[str]:
    named = {name for each in event_class.__mro__ for name in getattr(each, "__annotations__", {})}
    return {name for name in named if hasattr(EXAMPLE, name)}


def MemoryLogOf(state: Tool) -> MemoryLog:  # noqa: N802 - reads like the class
    """A log with the state's events."""
    log = MemoryLog()
    log.append(*state.collect_events())
    return log


RECORDED = replace(MemoryLogOf(new_tool("t")).events[0], position=Position(77, 3))


def test_an_approval_ends_the_older_proposals_only() -> None:
    """They were made from another base; a newer one still waits."""
    state = new_tool("t", approved=False)
    for text in ("b", "c"):
        definition = {"name": "t", "description": text}
        trigger(state, "Revised", definition=definition, definition_hash=text, approved=False, provenance={})
    trigger(state, "RevisionApproved", revision=2, definition_hash="b")
    entry = folded(MemoryLogOf(state).events)
    assert (entry.served_revision, entry.definition_hash) == (2, "b")
    assert [proposal.revision for proposal in entry.proposals] == [3]


def test_an_event_folded_twice_changes_nothing() -> None:
    """At-least-once delivery: what the entry holds already is passed over."""
    state = new_tool("t")
    trigger(state, "Disabled")
    log = MemoryLogOf(state)
    entry = folded(log.events)
    assert evolve(entry, log.events[0]) is entry
    assert evolve(entry, log.events[1]) is entry


def test_a_gap_is_an_error() -> None:
    """An entry must never be made of only some of its events."""
    state = new_tool("t")
    trigger(state, "Disabled")
    trigger(state, "Enabled")
    first, _, third = MemoryLogOf(state).events
    entry = evolve(None, first)
    with pytest.raises(Unfoldable, match=r"'tool.enabled' at position 3-1.*version 3.*at 1"):
        evolve(entry, third)
    with pytest.raises(Unfoldable, match="entry is at 0"):
        evolve(None, third)


def test_an_unknown_event_is_named() -> None:
    """The error says which event and where."""

    class Stranger(AggregateEvent):
        pass

    event = Stranger(originator_id=RECORDED.aggregate_id, originator_version=1, timestamp=AT)
    with pytest.raises(Unfoldable, match=r"'tool.odd' at position 77-3"):
        evolve(None, replace(RECORDED, name="tool.odd", event=event))
    second = Stranger(originator_id=RECORDED.aggregate_id, originator_version=2, timestamp=AT)
    with pytest.raises(Unfoldable, match=r"no rule for .*Stranger"):
        evolve(evolve(None, RECORDED), replace(RECORDED, version=2, event=second))
