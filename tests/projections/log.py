"""A log in memory, for what only needs events in order. Whatever touches recovery uses the real store."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import anyio

from domain.canonical import definition_hash
from domain.definition import Definition
from domain.errors import HistoryChanged
from domain.identity import aggregate_id
from domain.namespace import Namespace
from domain.recorded import START, Envelope, Position, RecordedEvent
from domain.tool import Tool

AT = datetime(2026, 11, 2, 8, 30, 0, 654321, tzinfo=UTC)


class MemoryLog:
    """Implements `projections.ports.EventLog` over a list."""

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []
        self.epoch = 1
        self._appended = anyio.Event()

    def append(self, *events: Any, actor: str = "alice") -> Position:
        """Record events of any aggregates; the position of the last one."""
        for event in events:
            sequence = len(self.events) + 1
            recorded = RecordedEvent(
                position=Position(sequence, self.epoch),
                recorded_at_us=int(AT.timestamp()) * 1_000_000 + sequence,
                event_id=uuid4(),
                aggregate_id=event.originator_id,
                version=event.originator_version,
                name=str(getattr(event, "TOPIC", type(event).__qualname__)),
                envelope=Envelope(actor=actor),
                event=event,
            )
            self.events.append(recorded)
        self._wake()
        return self.events[-1].position

    def lose_history(self) -> None:
        """Forget every event, as a server restored from an old copy does; what comes is of another epoch."""
        self.events, self.epoch = [], self.epoch + 1
        self._wake()

    async def read(
        self, after: Position, *, limit: int, until: Position | None = None
    ) -> Sequence[RecordedEvent]:
        """See `commands.ports.EventStore`."""
        self._prove(after)
        end = len(self.events) if until is None else min(until.sequence, len(self.events))
        return self.events[after.sequence : min(after.sequence + limit, end)]

    async def head(self) -> Position:
        """See `commands.ports.EventStore`."""
        return self.events[-1].position if self.events else START

    @asynccontextmanager
    async def subscribe(self, after: Position) -> AsyncIterator[AsyncIterator[Sequence[RecordedEvent]]]:
        """See `commands.ports.EventStore`."""
        yield self._batches(after)

    async def _batches(self, after: Position) -> AsyncIterator[Sequence[RecordedEvent]]:
        told = False
        while True:
            appended = self._appended
            batch = await self.read(after, limit=256)
            if batch:
                yield batch
                after = batch[-1].position
            elif not told:
                told = True
                yield []
            else:
                await appended.wait()

    def _prove(self, after: Position) -> None:
        known = after == START or (
            after.sequence <= len(self.events) and self.events[after.sequence - 1].position == after
        )
        if not known:
            raise HistoryChanged(f"{after} is no position of this log")

    def _wake(self) -> None:
        appended, self._appended = self._appended, anyio.Event()
        appended.set()


def new_tool(name: str, *, namespace: str = "default", approved: bool = True, server: str = "s") -> Tool:
    """A tool that was just registered; its event waits to be collected."""
    content = {"name": name, "input_schema": {"type": "object"}, "binding": {"type": "unbound"}}
    return Tool._create(
        Tool.Created,
        id=aggregate_id("tool", namespace, name),
        timestamp=AT,
        namespace=namespace,
        key=name,
        definition=content,
        definition_hash=definition_hash(content),
        approved=approved,
        provenance={"server": server},
    )


def trigger(state: Definition, event: str, **values: object) -> None:
    """One more event, without any decision."""
    state.trigger_event(getattr(type(state), event), timestamp=AT, **values)


def new_namespace(name: str) -> Namespace:
    """A namespace that was just made."""
    policy: dict[str, object] = {"approval": "auto", "private_hosts": []}
    return Namespace._create(
        Namespace.Created,
        id=aggregate_id("namespace", name, name),
        timestamp=AT,
        name=name,
        description=None,
        policy=policy,
    )


def registered(*names: str, namespace: str = "default") -> list[Any]:
    """The events that register tools of these names."""
    return [event for name in names for event in new_tool(name, namespace=namespace).collect_events()]
