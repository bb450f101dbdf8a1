"""Loading aggregates from the log, appending what they decided, and describing the result."""

from collections.abc import Sequence
from typing import Any, TypeVar, cast
from uuid import UUID

from eventsourcing.domain import Aggregate
from eventsourcing.utils import get_topic

from commands.ports import EventStore
from commands.request import CommandResult, Context
from domain.definition import Definition
from domain.entry import Kind, Status
from domain.errors import NamespaceNotFound, NotFound, VersionConflict, VersionRequired
from domain.identity import aggregate_id
from domain.namespace import Namespace
from domain.recorded import Append, Appended, Position, RecordedEvent

AggregateT = TypeVar("AggregateT", bound=Aggregate)

DECISIONS_MAX = 32
"""Times that a decision is taken anew because somebody else was first and the caller named no version."""


def replay(events: Sequence[RecordedEvent]) -> Any:
    """The aggregate that these events of it make, None for no events."""
    aggregate: Any = None
    for recorded in events:
        aggregate = recorded.event.mutate(aggregate)
    return aggregate


class Repository:
    """Aggregates in and out of the log."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def find(self, kind: type[AggregateT], id_: UUID) -> tuple[AggregateT | None, Position | None]:
        """The aggregate as it is now and the position of its last event; None if it does not exist."""
        events = await self._store.load(id_)
        state = replay(events)
        if not isinstance(state, kind):
            return None, None
        return state, events[-1].position

    async def namespace(self, context: Context, name: str) -> Namespace:
        """The namespace of that name. Raises NamespaceNotFound, also if the caller may not see it."""
        if name in context.visible:
            state, _ = await self.find(Namespace, aggregate_id(get_topic(Namespace), name, name))
            if state is not None:
                return state
        raise NamespaceNotFound(name)

    async def target(self, kind: type[AggregateT], context: Context) -> tuple[AggregateT, Position]:
        """The aggregate that the request is about, at the version that it was based on.

        Raises NotFound, VersionRequired and VersionConflict.
        """
        word = get_topic(kind)
        if context.target is None:
            raise NotFound(f"The request names no {word}.")
        state, position = await self.find(kind, context.target)
        if state is None or position is None or namespace_of(state) not in context.visible:
            raise NotFound(f"There is no {word} {context.target}.")
        if context.expected_version is None:
            raise VersionRequired(
                f"Say which version of the {word} the change is based on (If-Match); it is at version {state.version}."
            )
        if context.expected_version != state.version:
            raise VersionConflict(f"The {word} {context.target}", context.expected_version, state.version)
        return state, position

    async def commit(
        self, context: Context, state: Aggregate, reason: str, unchanged_at: Position | None
    ) -> CommandResult:
        """Append what `state` decided; without any event, answer that nothing changed."""
        events = state.collect_events()
        if not events:
            return describe(state, unchanged_at or Position(0, 0), None)
        appended = await self._store.append(
            Append(
                aggregate_id=state.id,
                expected_version=state.version - len(events),
                events=events,  # type: ignore[arg-type]  # the library types them by their mutating protocol
                envelope=context.envelope(namespace_of(state), reason),
                idempotency=context.idempotency,
            )
        )
        if appended.repeated:
            return await self.result_of(appended)
        return describe(state, appended.position, get_topic(type(events[-1])))

    async def result_of(self, appended: Appended) -> CommandResult:
        """The result of an append that was done before: the aggregate as it was right after it."""
        events = await self._store.load(appended.aggregate_id, version_max=appended.version)
        return describe(replay(events), appended.position, events[-1].name)


def namespace_of(state: Aggregate) -> str:
    """The namespace that owns an aggregate."""
    if isinstance(state, Namespace):
        return state.name
    return cast("Definition", state).namespace


def describe(state: Aggregate, position: Position, event: str | None) -> CommandResult:
    """A command's result from the state after it."""
    kind: Kind = get_topic(type(state))  # type: ignore[assignment]  # the aggregates' stored names are the kinds
    if isinstance(state, Namespace):
        return CommandResult(state.id, kind, state.name, state.name, state.version, position, event, "active")
    definition = cast("Definition", state)
    return CommandResult(
        id=state.id,
        kind=kind,
        namespace=definition.namespace,
        key=definition.key,
        version=state.version,
        position=position,
        event=event,
        status=_status(definition),
        revision=definition.latest.number,
        served_revision=definition.served_revision,
        definition_hash=definition.latest.content_hash,
    )


def _status(state: Definition) -> Status:
    if state.retired:
        return "retired"
    if not state.enabled:
        return "disabled"
    return "proposed" if state.served_revision is None else "active"
