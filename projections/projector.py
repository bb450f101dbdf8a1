"""Projectors: each keeps one read model in step with the log.

Read a batch, fold it, write the documents with the events' sequences as versions, then the checkpoint, then announce
the position. A crash between any two of these is harmless: what was written is written again, and is the same. While
a batch is written the next events gather in the log, so a lone event is visible at once and many come in big batches.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

import anyio
import structlog

from domain.entry import Entry
from domain.errors import ChronicleError
from domain.recorded import Position, RecordedEvent
from projections.documents import ReadModel, entry_from_json
from projections.fold import evolve
from projections.follow import Batches, Follower, follow
from projections.ports import DocumentStore, EventLog
from projections.progress import Progress

BATCH_EVENTS_MAX = 500
"""Events that are folded and written at once."""

ENTRIES_CACHED_MAX = 2000
"""Entries that a projector remembers, so that it need not fetch them; the one touched longest ago is forgotten."""

LAG_INTERVAL_S = 1.0
"""Time between two measurements of the lag."""

logger = structlog.get_logger(__name__)


class ProjectorMetrics(Protocol):
    """What a projector tells of itself, under the name of its read model."""

    def position(self, projection: str, position: Position) -> None:
        """Everything up to here is applied."""
        ...

    def lag(self, projection: str, events: int, seconds: float) -> None:
        """How many events are not yet applied, and how old the first of them is."""
        ...

    def failed(self, projection: str) -> None:
        """A batch could not be applied; it is tried again."""
        ...


class Projector:
    """Fills `store` with the documents of `read_model`. `run` is its task; `progress` is how far it is."""

    def __init__(
        self,
        log: EventLog,
        read_model: ReadModel,
        store: DocumentStore,
        metrics: ProjectorMetrics,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._log = log
        self._read_model = read_model
        self._store = store
        self._metrics = metrics
        self._now = now
        self._entries: OrderedDict[UUID, Entry | None] = OrderedDict()
        self.progress = Progress(f"read model '{read_model.name}'")

    @property
    def name(self) -> str:
        """The read model's name."""
        return self._read_model.name

    async def run(self) -> None:
        """Follow the log until cancelled; the lag is measured beside it, also while the store is away."""
        failed = self._count_failure
        follower = Follower(self.name, self._resume, self._consume, self._start_over, failed)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_lag)
            await follow(self._log, follower)

    async def _resume(self) -> Position:
        # What was folded but perhaps not written is folded again.
        self._entries.clear()
        checkpoint = await self._store.checkpoint()
        self._announce(checkpoint)
        return checkpoint

    async def _consume(self, batches: Batches, went_well: Callable[[], None]) -> None:
        async for batch in batches:
            for start in range(0, len(batch), BATCH_EVENTS_MAX):
                await self._apply(batch[start : start + BATCH_EVENTS_MAX])
            went_well()

    async def _apply(self, batch: Sequence[RecordedEvent]) -> None:
        await self._recall(batch)
        changed: dict[UUID, Entry] = {}
        for recorded in batch:
            entry = evolve(self._entries.get(recorded.aggregate_id), recorded)
            self._entries[recorded.aggregate_id] = entry
            if entry is not None:
                changed[entry.id] = entry
        position = batch[-1].position
        documents = [self._read_model.document(entry) for entry in changed.values()]
        await self._store.write(documents, position)
        self._announce(position)
        while len(self._entries) > ENTRIES_CACHED_MAX:
            self._entries.popitem(last=False)

    async def _recall(self, batch: Sequence[RecordedEvent]) -> None:
        """Have the entry of every event at hand, the latest used last."""
        # An aggregate's first event needs no entry, and folding it again comes to the same.
        begun = {recorded.aggregate_id for recorded in batch if recorded.version == 1}
        wanted = dict.fromkeys(recorded.aggregate_id for recorded in batch)
        unknown = [each for each in wanted if each not in self._entries and each not in begun]
        found = await self._store.fetch(unknown) if unknown else {}
        self._entries.update({each: _entry(found, each) for each in unknown})
        for each in wanted:
            self._entries.setdefault(each, None)
            self._entries.move_to_end(each)

    async def _start_over(self) -> None:
        await self._store.reset()

    def _announce(self, position: Position) -> None:
        self.progress.move_to(position)
        self._metrics.position(self.name, position)

    def _count_failure(self, _error: Exception) -> None:
        self._metrics.failed(self.name)

    async def _watch_lag(self) -> None:
        while True:
            try:
                await self._measure_lag()
            except (ChronicleError, OSError) as error:
                # Whatever is wrong with the log is counted by the follower, which meets it as well.
                logger.debug("lag_unknown", projection=self.name, error=str(error))
            await anyio.sleep(LAG_INTERVAL_S)

    async def _measure_lag(self) -> None:
        position = self.progress.position
        waiting = await self._log.read(position, limit=1)
        if not waiting:
            self._metrics.lag(self.name, 0, 0.0)
            return
        head = await self._log.head()
        age_s = max(0.0, self._now() - waiting[0].recorded_at_us / 1_000_000)
        self._metrics.lag(self.name, head.sequence - position.sequence, age_s)


def _entry(found: Mapping[UUID, Mapping[str, Any]], entry_id: UUID) -> Entry | None:
    document = found.get(entry_id)
    return entry_from_json(document["entry"]) if document is not None else None
