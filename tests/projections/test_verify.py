"""The verification compares what is stored with what the log says, and names each difference."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from domain.errors import HistoryChanged
from domain.identity import aggregate_id
from domain.recorded import Position
from infra.embedded.sqlite_store import FILE_NAME, open_sqlite_store
from infra.embedded.tantivy_store import _indexed, open_tantivy_store
from projections.documents import ReadModel
from projections.fold import evolve
from projections.fulltext import FULLTEXT
from projections.metadata import METADATA
from projections.projector import Projector
from projections.verify import Difference, first_difference, verify
from tests.projections.conftest import RememberedMetrics
from tests.projections.log import MemoryLog, registered

WAIT_S = 20.0


@pytest.fixture
def log() -> MemoryLog:
    """1,500 tools."""
    filled = MemoryLog()
    filled.append(*registered(*(f"t{number}" for number in range(1500))))
    return filled


@pytest.fixture(params=["metadata", "fulltext"])
async def filled(
    request: pytest.FixtureRequest, log: MemoryLog, tmp_path: Path, metrics: RememberedMetrics
) -> AsyncIterator[tuple[ReadModel, Any]]:
    """A read model and its store, filled by a projector that has stopped."""
    read_model = METADATA if request.param == "metadata" else FULLTEXT
    async with (open_sqlite_store if read_model is METADATA else open_tantivy_store)(tmp_path, 1) as store:
        projector = Projector(log, read_model, store, metrics)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(projector.run)
            await projector.progress.wait_for(await log.head(), WAIT_S)
            tasks.cancel_scope.cancel()
        yield read_model, store


async def delete(store: Any, tmp_path: Path, document_id: str) -> None:
    """Remove one document behind the store's back."""
    if hasattr(store, "get"):
        with sqlite3.connect(tmp_path / FILE_NAME) as connection:
            connection.execute("DELETE FROM document WHERE id = ?", (document_id,))
        connection.close()
    else:
        await store._commit(lambda writer: writer.delete_documents_by_term("id", document_id))


async def test_a_true_store_has_no_difference(log: MemoryLog, filled: tuple[ReadModel, Any]) -> None:
    """All documents are compared, and the progress ends with all of them."""
    told: list[tuple[str, int, int | None]] = []
    [verified] = [each async for each in verify(log, [filled], lambda *values: told.append(values))]
    assert (verified.documents, verified.differences) == (1500, [])
    assert verified.position == await log.head()
    assert ("log", 1500, 1500) in told
    assert told[-1] == (filled[0].name, 1500, 1500)


async def test_each_wrong_document_is_named(
    log: MemoryLog, filled: tuple[ReadModel, Any], tmp_path: Path
) -> None:
    """One changed, one deleted, one that no event made; the field says where."""
    read_model, store = filled
    changed, deleted = (str(aggregate_id("tool", "default", f"t{number}")) for number in (700, 900))
    [document] = (await store.fetch([aggregate_id("tool", "default", "t700")])).values()
    wrong = {
        **document,
        "entry": {**document["entry"], "definition": {**document["entry"]["definition"], "x/y": 1}},
    }
    extra = {**document, "id": str(aggregate_id("tool", "default", "extra")), "key": "extra"}
    await store.write([wrong, extra], await log.head())
    await delete(store, tmp_path, deleted)
    [verified] = [each async for each in verify(log, [filled])]
    assert sorted(verified.differences, key=lambda each: each.problem) == [
        Difference(read_model.name, "different", changed, "t700", "/entry/definition/x~1y"),
        Difference(read_model.name, "extra", extra["id"], "extra"),
        Difference(read_model.name, "missing", deleted, "t900"),
    ]


async def test_two_documents_of_one_id_are_one_too_many(log: MemoryLog, tmp_path: Path) -> None:
    """An engine that deletes and adds could leave both."""
    head = await log.head()
    async with open_tantivy_store(tmp_path, 1) as store:
        documents = [FULLTEXT.document(entry) for each in log.events if (entry := evolve(None, each))]
        await store.write(documents, head)
        await store._commit(lambda writer: writer.add_document(_indexed(documents[3])))
        [verified] = [each async for each in verify(log, [(FULLTEXT, store)])]
    assert verified.differences == [Difference("fulltext", "extra", documents[3]["id"], "t3")]


async def test_a_moving_projector_is_no_difference(
    log: MemoryLog, filled: tuple[ReadModel, Any], metrics: RememberedMetrics
) -> None:
    """Documents that change and come while they are read are looked at again."""
    read_model, store = filled
    moved = 0

    class Moving:
        """The store, which a projector moves in the middle of the scan."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def scan(self) -> AsyncIterator[Any]:
            nonlocal moved
            async for document in store.scan():
                yield document
                moved += 1
                if moved == 600:
                    end = log.append(*registered(*(f"new{number}" for number in range(20))))
                    projector = Projector(log, read_model, store, metrics)
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(projector.run)
                        await projector.progress.wait_for(end, WAIT_S)
                        tasks.cancel_scope.cancel()

    [verified] = [each async for each in verify(log, [(read_model, Moving())])]
    assert moved >= 1500
    assert verified.differences == []


async def test_stores_at_different_positions_are_each_compared_at_their_own(
    log: MemoryLog, tmp_path: Path
) -> None:
    """A read model that is behind is behind, and not wrong."""
    head = await log.head()
    async with open_sqlite_store(tmp_path / "a", 1) as ahead, open_sqlite_store(tmp_path / "b", 1) as behind:
        await fill(log, ahead, head)
        await fill(log, behind, Position(1000, 1))
        found = [each async for each in verify(log, [(METADATA, ahead), (METADATA, behind)])]
    assert [(each.position.sequence, each.documents, each.differences) for each in found] == [
        (1000, 1000, []),
        (1500, 1500, []),
    ]


async def fill(log: MemoryLog, store: Any, until: Position) -> None:
    """As a projector would, up to a position."""
    entries = [evolve(None, recorded) for recorded in log.events[: until.sequence]]
    await store.write([METADATA.document(entry) for entry in entries if entry], until)


async def test_a_checkpoint_of_another_log_is_an_error(log: MemoryLog, tmp_path: Path) -> None:
    """Beyond the head, or of another epoch: what the store holds cannot be compared."""
    async with open_sqlite_store(tmp_path, 1) as store:
        for foreign in (Position(1400, 2), Position(9999, 9)):
            await store.write([], foreign)
            with pytest.raises(HistoryChanged, match=str(foreign)):
                [each async for each in verify(log, [(METADATA, store)])]


@pytest.mark.parametrize(
    ("expected", "actual", "pointer"),
    [
        ({"a": 1}, {"a": 1.0}, "/a"),
        ({"a": [1, {"b": None}]}, {"a": [1, {}]}, "/a/1/b"),
        ({"a": [1]}, {"a": [1, 2]}, "/a"),
        ({"a~/": True}, {"a~/": 1}, "/a~0~1"),
        ({}, {"": 1}, "/"),
        ([], {}, ""),
    ],
)
def test_the_first_difference_is_a_pointer(expected: Any, actual: Any, pointer: str) -> None:
    """RFC 6901, the deepest place that tells it."""
    assert first_difference(expected, actual) == pointer
