"""The Tool Registry: the live catalogue in the memory of each process, fed by the log.

It is what tools/list and tools/call read, so no search engine is ever asked there. It follows the log by itself,
is ready once it has caught up with the head, and after a change of history fills a new state beside the old one, so
that readers never see half a catalogue.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import UUID

import anyio

from domain.entry import Entry, Kind
from domain.errors import ChronicleError, DeadlineExceeded
from domain.namespace import NamespacePolicy
from domain.principal import NamespaceSet
from domain.reads import Change
from domain.recorded import START, Position, RecordedEvent
from projections.changes import ChangeFeed
from projections.fold import evolve
from projections.follow import Batches, Follower, follow
from projections.ports import EventLog
from projections.progress import Progress
from projections.shelves import Shelves

NAME = "registry"


class RegistryMetrics(Protocol):
    """What the registry tells of itself."""

    def position(self, position: Position) -> None:
        """The log is applied up to here."""
        ...

    def failed(self) -> None:
        """An attempt to follow the log ended in an error."""
        ...


class ToolRegistry:
    """See `commands.ports.Registry`, which this implements; `run` must be running for it to be filled."""

    def __init__(self, log: EventLog, metrics: RegistryMetrics) -> None:
        self._log = log
        self._metrics = metrics
        self._catalogue = _Catalogue()
        self._next: _Catalogue | None = self._catalogue
        self._progress = Progress(NAME)
        self._feed = ChangeFeed()
        self._caught_up = anyio.Event()
        self._stopped = anyio.Event()
        self.stopped_by: ChronicleError | None = None
        """What keeps the registry from following the log until somebody repairs it. It is tried all the same."""

    async def run(self) -> None:
        """Follow the log until cancelled."""
        await follow(
            self._log,
            Follower(NAME, self._position_to_resume, self._consume, self._start_over, self._failed),
        )

    @property
    def ready(self) -> bool:
        """Whether the registry holds the whole log as it was at the start, or after the last change of history."""
        return self._next is None and self.stopped_by is None

    @property
    def position(self) -> Position:
        """The position up to which the registry is filled."""
        return self._progress.position

    async def wait_until_ready(self, timeout_s: float) -> None:
        """Return when the registry first caught up. Raises what stops it, and DeadlineExceeded after `timeout_s`."""
        with anyio.move_on_after(timeout_s):
            async with anyio.create_task_group() as either:
                for event in (self._caught_up, self._stopped):
                    either.start_soon(_cancel_after, event, either.cancel_scope)
        if self.stopped_by is not None:
            raise self.stopped_by
        if not self._caught_up.is_set():
            raise DeadlineExceeded(f"The {NAME} did not catch up with the log within {timeout_s:g} s.")

    async def wait_for(self, position: Position, timeout_s: float) -> None:
        """Return when `position` is applied. Raises DeadlineExceeded after `timeout_s`."""
        await self._progress.wait_for(position, timeout_s)

    def served(self, visible: NamespaceSet, kind: Kind) -> Sequence[Entry]:
        """Active entries of one kind in the order of (key, namespace): a tuple that does not change any more.

        `bisect_right(entries, (key, namespace), key=projections.shelves.order)` finds where the next page begins.
        """
        return self._catalogue.shelves.served(visible, kind)

    def named(self, visible: NamespaceSet, kind: Kind, key: str) -> Sequence[Entry]:
        """Active entries of that key, in the order of their namespaces."""
        return self._catalogue.shelves.named(visible, kind, key)

    def entry(self, visible: NamespaceSet, entry_id: UUID) -> Entry | None:
        """An entry of any status."""
        entry = self._catalogue.entries.get(entry_id)
        return entry if entry is not None and entry.namespace in visible else None

    def namespace(self, visible: NamespaceSet, name: str) -> NamespacePolicy | None:
        """The policy of a namespace, None if there is none or it may not be seen."""
        return self._catalogue.policies.get(name) if name in visible else None

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[AsyncIterator[Change]]:
        """Changes from now on; a reader that falls behind gets them drawn together (`projections/changes.py`)."""
        with self._feed.reader() as changes:
            yield changes

    async def _position_to_resume(self) -> Position:
        return (self._next or self._catalogue).position

    async def _consume(self, batches: Batches, went_well: Callable[[], None]) -> None:
        async for batch in batches:
            if batch:
                self._apply(batch)
            elif self._next is not None:
                self._swap(self._next)
            if self.stopped_by is not None:
                self.stopped_by, self._stopped = None, anyio.Event()
            went_well()

    def _failed(self, error: Exception) -> None:
        self._metrics.failed()
        if isinstance(error, ChronicleError) and error.lasts:
            self.stopped_by = error
            self._stopped.set()

    def _apply(self, batch: Sequence[RecordedEvent]) -> None:
        catalogue = self._next or self._catalogue
        changes: list[Change] = []
        try:
            for recorded in batch:
                changes.extend(catalogue.apply(recorded))
        finally:
            # Also what was applied before an event that cannot be: it will not come again.
            if catalogue is self._catalogue:
                self._announce(changes)

    def _swap(self, catalogue: "_Catalogue") -> None:
        before, self._catalogue, self._next = self._catalogue, catalogue, None
        replaced = before is not catalogue
        scopes = before.shelves.scopes() | catalogue.shelves.scopes() if replaced else set()
        self._caught_up.set()
        self._announce([Change(kind, namespace, None, None) for kind, namespace in sorted(scopes)])

    def _announce(self, changes: Sequence[Change]) -> None:
        position = self._catalogue.position
        self._feed.publish(changes)
        self._progress.move_to(position)
        self._metrics.position(position)

    async def _start_over(self) -> None:
        self._next = _Catalogue()


class _Catalogue:
    """Every entry, and what of it is served, at one position."""

    def __init__(self) -> None:
        self.position = START
        self.entries: dict[UUID, Entry] = {}
        self.shelves = Shelves()
        self.policies: dict[str, NamespacePolicy] = {}

    def apply(self, recorded: RecordedEvent) -> Iterator[Change]:
        before = self.entries.get(recorded.aggregate_id)
        after = evolve(before, recorded)
        self.position = recorded.position
        if after is None or after is before:
            return
        self.entries[after.id] = after
        if after.kind == "namespace" and after.definition is not None:
            self.policies[after.key] = NamespacePolicy.model_validate(after.definition["policy"])
        served_before = before if before is not None and before.status == "active" else None
        served_after = after if after.status == "active" else None
        if served_after is not None:
            self.shelves.put(served_after)
        elif served_before is not None:
            self.shelves.remove(served_before)
        if _visibly_different(served_before, served_after):
            yield Change(after.kind, after.namespace, served_before, served_after)


async def _cancel_after(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _visibly_different(before: Entry | None, after: Entry | None) -> bool:
    if before is None or after is None:
        return before is not after
    return _visible_part(before) != _visible_part(after)


def _visible_part(entry: Entry) -> tuple[object, ...]:
    # The hash stands for the definition; a namespace has none, so its definition is compared itself.
    content = entry.definition_hash or entry.definition
    return entry.served_revision, content, entry.provenance
