"""The SQLite store keeps the contract, and says clearly what is wrong with its files."""

from pathlib import Path

import pytest

from domain.principal import EVERY_NAMESPACE
from domain.reads import ListQuery
from domain.recorded import START, Position
from infra.embedded.errors import StoreDamaged, StoreOutdated
from infra.embedded.sqlite_store import FILE_NAME, open_sqlite_store
from projections.metadata import METADATA
from tests.projections.contract import TOOLS, CatalogueContract, Opener, StoreContract
from tests.projections.entries import tool

DOCUMENT = METADATA.document


class TestSqliteStore(StoreContract, CatalogueContract):
    """Metadata in SQLite."""

    read_model = METADATA

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        """A path with a blank and signs that mean something in a URI."""
        return lambda: open_sqlite_store(tmp_path / "a b?#%41", METADATA.schema_version)


async def test_documents_of_another_schema_version_are_removed(tmp_path: Path) -> None:
    """The projector starts at the beginning and fills the store in the new shape."""
    async with open_sqlite_store(tmp_path, 1) as store:
        await store.write([DOCUMENT(tool("a", 1))], Position(1, 1))
    async with open_sqlite_store(tmp_path, 2) as store:
        assert await store.checkpoint() == START
        assert [document async for document in store.scan()] == []


async def test_another_process_may_read_while_one_writes(tmp_path: Path) -> None:
    """A read-only store sees every write at once, and refuses to write."""
    async with (
        open_sqlite_store(tmp_path, 1) as store,
        open_sqlite_store(tmp_path, 1, read_only=True) as other,
    ):
        assert await other.checkpoint() == START
        await store.write([DOCUMENT(tool("a", 1))], Position(1, 1))
        assert await other.checkpoint() == Position(1, 1)
        assert len((await other.list(EVERY_NAMESPACE, ListQuery(TOOLS))).entries) == 1
        with pytest.raises(StoreDamaged, match="readonly"):
            await other.write([], Position(2, 1))


async def test_a_read_only_store_works_without_a_writer(tmp_path: Path) -> None:
    """After a clean stop the files can still be verified."""
    async with open_sqlite_store(tmp_path, 1) as store:
        await store.write([DOCUMENT(tool("a", 1))], Position(1, 1))
    async with open_sqlite_store(tmp_path, 1, read_only=True) as other:
        assert [document["key"] async for document in other.scan()] == ["a"]


async def test_a_reader_of_another_version_is_told_so(tmp_path: Path) -> None:
    """It may not rebuild what another process writes."""
    async with open_sqlite_store(tmp_path, 1):
        with pytest.raises(StoreOutdated, match="version 1001"):
            async with open_sqlite_store(tmp_path, 2, read_only=True):
                pass
    with pytest.raises(StoreOutdated, match="no such file"):
        async with open_sqlite_store(tmp_path / "empty", 1, read_only=True):
            pass


async def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """The message says which file, and that it can be deleted."""
    (tmp_path / FILE_NAME).write_bytes(b"not a database, " * 512)
    with pytest.raises(StoreDamaged, match=f"{FILE_NAME}.*delete it"):
        async with open_sqlite_store(tmp_path, 1):
            pass


async def test_a_failed_write_leaves_the_checkpoint_where_it_was(tmp_path: Path) -> None:
    """Whatever fails between documents and checkpoint, none of them is there: else a restart would skip events."""
    broken = {**DOCUMENT(tool("b", 2)), "namespace": None}  # the table refuses it
    async with open_sqlite_store(tmp_path, 1) as store:
        await store.write([DOCUMENT(tool("a", 1))], Position(1, 1))
        with pytest.raises(StoreDamaged, match="NOT NULL"):
            await store.write([DOCUMENT(tool("c", 2)), broken], Position(2, 1))
        assert await store.checkpoint() == Position(1, 1)
    async with open_sqlite_store(tmp_path, 1) as store:
        assert await store.checkpoint() == Position(1, 1)
        assert [document["key"] async for document in store.scan()] == ["a"]
