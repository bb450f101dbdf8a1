"""Verification: do the stores hold what a fresh fold of the log comes to?

The log is folded from the beginning, in memory and without any store; then every document is read back and compared
with what its entry should be at the checkpoint of that store. A projector may go on meanwhile: what does not match is
looked at again, a bounded number of times, at the store's checkpoint of that moment.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from uuid import UUID

import anyio
import orjson

from domain.entry import Entry
from domain.errors import HistoryChanged
from domain.recorded import START, Position
from projections.documents import ReadModel
from projections.fold import evolve
from projections.ports import DocumentStore, EventLog

PAGE_EVENTS = 1000
DOCUMENTS_PER_REPORT = 1000
"""Progress is told after this many events or documents."""

RECHECKS_MAX = 5
RECHECK_PAUSE_S = 0.2
"""How often what does not match is looked at again, and the time that a moving projector is given between."""

FETCH_SIZE = 500

Problem: TypeAlias = Literal["missing", "extra", "different"]
ReportProgress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with what is being done (`log` or a read model's name), how much of it is done, and of how much if known."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One document that is not what the log says. `field` is a JSON Pointer to the first value that differs."""

    read_model: str
    problem: Problem
    id: str
    key: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was compared of one read model: its checkpoint, the number of documents, and what was wrong."""

    read_model: str
    position: Position
    documents: int
    differences: Sequence[Difference]


async def verify(
    log: EventLog, stores: Sequence[tuple[ReadModel, DocumentStore]], report: ReportProgress | None = None
) -> AsyncIterator[Verified]:
    """Compare each store with a fold of the log, one after another.

    Raises HistoryChanged if a store's checkpoint is no position of this log.
    """
    report = report or _report_nothing
    fold = _FreshFold(log, report)
    # The fold only goes forward, so the store that is furthest behind comes first.
    checkpoints = [await store.checkpoint() for _, store in stores]
    for index in sorted(range(len(stores)), key=lambda index: checkpoints[index]):
        read_model, store = stores[index]
        yield await _Comparison(fold, read_model, store, report).run()


class _FreshFold:
    """The entries as the log alone makes them, at a position that moves forward."""

    def __init__(self, log: EventLog, report: ReportProgress) -> None:
        self._log = log
        self._report = report
        self.position = START
        self.entries: dict[UUID, Entry] = {}

    async def move_to(self, wanted: Position) -> None:
        """Fold up to a position, from the start again if it lies behind. Raises HistoryChanged if it is none."""
        if wanted < self.position:
            self.position, self.entries = START, {}
        while self.position < wanted:
            page = await self._log.read(self.position, limit=PAGE_EVENTS, until=wanted)
            if not page:
                break
            for recorded in page:
                entry = evolve(self.entries.get(recorded.aggregate_id), recorded)
                if entry is not None:
                    self.entries[entry.id] = entry
            self.position = page[-1].position
            self._report("log", self.position.sequence, wanted.sequence)
        if self.position != wanted:
            raise HistoryChanged(
                f"A read model stands at {wanted}, and the log has {self.position} there: it is not the log that the "
                "read model was made from. Start the projector: it rebuilds the read model."
            )


class _Comparison:
    """One store against the fold."""

    def __init__(
        self, fold: _FreshFold, read_model: ReadModel, store: DocumentStore, report: ReportProgress
    ) -> None:
        self._fold = fold
        self._read_model = read_model
        self._store = store
        self._report = report

    async def run(self) -> Verified:
        position = await self._store.checkpoint()
        await self._fold.move_to(position)
        scan = await self._scan()
        # Documents may be newer than the checkpoint, so all that is suspect is looked at again.
        differences: list[Difference] = []
        suspects = scan.suspects
        for attempt in range(RECHECKS_MAX):
            if attempt and suspects:
                await anyio.sleep(RECHECK_PAUSE_S)
            differences = await self._check_again(sorted(suspects))
            suspects = {UUID(each.id) for each in differences}
        return Verified(self._read_model.name, position, scan.documents, [*differences, *scan.repeated])

    async def _scan(self) -> "_Scan":
        scan = _Scan(set(self._fold.entries), [], 0)
        seen: set[UUID] = set()
        async for document in self._store.scan():
            entry_id = UUID(document["id"])
            if entry_id in seen:
                # No movement makes two documents of one id, so it needs no second look.
                scan.repeated.append(
                    Difference(self._read_model.name, "extra", document["id"], document["key"])
                )
            seen.add(entry_id)
            if self._difference(entry_id, document) is None:
                scan.suspects.discard(entry_id)
            else:
                scan.suspects.add(entry_id)
            scan.documents += 1
            if scan.documents % DOCUMENTS_PER_REPORT == 0:
                self._report(self._read_model.name, scan.documents, len(self._fold.entries))
        self._report(self._read_model.name, scan.documents, len(self._fold.entries))
        return scan

    async def _check_again(self, ids: Sequence[UUID]) -> list[Difference]:
        differences = []
        for start in range(0, len(ids), FETCH_SIZE):
            some = ids[start : start + FETCH_SIZE]
            await self._fold.move_to(await self._store.checkpoint())
            found = await self._store.fetch(some)
            differences += [self._difference(each, found.get(each)) for each in some]
        return [each for each in differences if each is not None]

    def _difference(self, entry_id: UUID, document: Mapping[str, Any] | None) -> Difference | None:
        entry = self._fold.entries.get(entry_id)
        name = self._read_model.name
        if entry is None:
            if document is None:
                return None
            return Difference(name, "extra", str(entry_id), str(document.get("key", "")))
        if document is None:
            return Difference(name, "missing", str(entry_id), entry.key)
        expected = self._read_model.document(entry)
        if _exact(expected) == _exact(document):
            return None
        field = first_difference(orjson.loads(orjson.dumps(expected)), dict(document))
        return Difference(name, "different", str(entry_id), entry.key, field)


@dataclass(slots=True)
class _Scan:
    """What one reading of a store found: ids that are missing or not as they should be, repeats, and how many."""

    suspects: set[UUID]
    repeated: list[Difference]
    documents: int


def first_difference(expected: Any, actual: Any, pointer: str = "") -> str:
    """The JSON Pointer of the first place where two JSON values differ; empty if only the whole differs."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name in sorted(expected.keys() | actual.keys()):
            below = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            if name not in expected or name not in actual:
                return below
            if _exact(expected[name]) != _exact(actual[name]):
                return first_difference(expected[name], actual[name], below)
    if isinstance(expected, list) and isinstance(actual, list):
        for index, (one, other) in enumerate(zip(expected, actual, strict=False)):
            if _exact(one) != _exact(other):
                return first_difference(one, other, f"{pointer}/{index}")
    return pointer


def _exact(value: Any) -> bytes:
    # Python holds 1, 1.0 and true for equal; their texts differ.
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _report_nothing(_what: str, _done: int, _total: int | None) -> None:
    """No progress is wanted."""
