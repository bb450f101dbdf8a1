"""Reading the log for people: pages of events, one definition's history, and the live feed."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from commands.event_view import event_view
from commands.operations import Operation
from commands.ports import EventStore
from commands.request import Context
from domain.definition import DefinitionModel
from domain.errors import Fault, InvalidInput, NotFound
from domain.identity import NamespaceSlug
from domain.reads import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from domain.recorded import START, Position, RecordedEvent

SCANNED_PER_PAGE_MAX = 5000
"""Events looked at for one page: a page may be short, and its cursor goes on from there."""

READ_BATCH = 500

LIVE = "live"


class EventFilter(DefinitionModel):
    """Which events. All given conditions must hold; `types` are stored names such as `tool.revised`."""

    namespace: NamespaceSlug | None = None
    subject: str | None = Field(default=None, description="Id of one definition or namespace")
    types: list[str] = Field(default_factory=list, max_length=50)
    actor: str | None = None

    def matches(self, context: Context, recorded: RecordedEvent) -> bool:
        """Whether the caller may see the event and asked for it."""
        envelope = recorded.envelope
        return (
            envelope.namespace in context.visible
            and self.namespace in (None, envelope.namespace)
            and self.subject in (None, str(recorded.aggregate_id))
            and (not self.types or recorded.name in self.types)
            and self.actor in (None, envelope.actor)
        )


class ListEvents(EventFilter):
    """A page of events in log order after a position, or the newest ones first."""

    after: str | None = Field(default=None, description="Position to go on after; a page's cursor")
    order: Literal["oldest_first", "newest_first"] = "oldest_first"
    limit: int = Field(default=PAGE_SIZE_DEFAULT, ge=1, le=PAGE_SIZE_MAX)


class FollowEvents(EventFilter):
    """Events after a position and then live ones, or with `live` only those that come from now on."""

    after: str = Field(default=LIVE, description="A position, or `live`")


class History(DefinitionModel):
    """Every event of the request's target."""

    limit: int = Field(default=PAGE_SIZE_MAX, ge=1, le=PAGE_SIZE_MAX)
    after_version: int = Field(default=0, ge=0)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events as CloudEvents; `cursor` is the position to go on after, None at the end of the log."""

    events: Sequence[Mapping[str, Any]]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Everything up to this position was delivered; what follows is live."""

    position: Position


class Audit:
    """Answers what happened. The log itself is read: there is no second copy that could differ."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def list_events(self, context: Context, query: ListEvents) -> EventPage:
        """One page. Raises InvalidInput for what is no position and HistoryChanged for one of another log."""
        _check_subject(query)
        newest_first = query.order == "newest_first"
        at = Position.parse(query.after, "/after") if query.after is not None else None
        if newest_first and at is not None and at != START:
            await self._store.read(at, limit=0)  # reading backwards does not meet the position itself
        wanted = min(query.limit, READ_BATCH)
        found: list[Mapping[str, Any]] = []
        scanned = 0
        while scanned < SCANNED_PER_PAGE_MAX:
            if newest_first:
                batch = await self._store.read_backwards(at, limit=wanted)
            else:
                batch = await self._store.read(at or START, limit=wanted)
            for recorded in batch:
                at = recorded.position
                scanned += 1
                if query.matches(context, recorded):
                    found.append(event_view(recorded))
                    if len(found) == query.limit:
                        return EventPage(found, str(at))
            if len(batch) < wanted:
                return EventPage(found, None)
            # No more than the page needs at first; then more at a time, where conditions refuse most events.
            wanted = min(wanted * 4, READ_BATCH)
        return EventPage(found, str(at))

    async def history(self, context: Context, query: History) -> EventPage:
        """The events of one definition or namespace, oldest first; the cursor is the last version of the page."""
        events = await self._store.load(context.target) if context.target else ()
        if not events or events[0].envelope.namespace not in context.visible:
            raise NotFound(f"There is no definition {context.target}.")
        rest = [recorded for recorded in events if recorded.version > query.after_version]
        page = rest[: query.limit]
        return EventPage(
            [event_view(recorded) for recorded in page],
            str(page[-1].version) if rest[query.limit :] else None,
        )

    async def follow(self, context: Context, query: FollowEvents) -> AsyncIterator[RecordedEvent | CaughtUp]:
        """Events as they come, and once CaughtUp. Raises InvalidInput, HistoryChanged and LimitExceeded."""
        _check_subject(query)
        after = await self._store.head() if query.after == LIVE else Position.parse(query.after, "/after")
        return self._follow(context, query, after)

    async def _follow(
        self, context: Context, query: FollowEvents, after: Position
    ) -> AsyncIterator[RecordedEvent | CaughtUp]:
        position = after
        async with self._store.subscribe(after) as batches:
            async for batch in batches:
                for recorded in batch:
                    position = recorded.position
                    if query.matches(context, recorded):
                        yield recorded
                if not batch:
                    yield CaughtUp(position)

    def operations(self) -> list[Operation]:
        """The rows of the audit."""
        return [
            Operation(
                "event.list",
                "Events of the log",
                "query",
                "none",
                "events:read",
                ListEvents,
                self.list_events,
            ),
            Operation(
                "event.history",
                "Every event of one definition",
                "query",
                "existing",
                "events:read",
                History,
                self.history,
            ),
            Operation(
                "event.follow",
                "Events as they happen",
                "stream",
                "none",
                "events:read",
                FollowEvents,
                self.follow,
            ),
        ]


def _check_subject(query: EventFilter) -> None:
    if query.subject is None:
        return
    try:
        UUID(query.subject)
    except ValueError:
        message = f"'{query.subject[:64]}' is not an id."
        raise InvalidInput(message, [Fault("/subject", message)]) from None
