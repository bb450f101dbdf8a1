"""The Tantivy store keeps the contract, and says clearly what is wrong with its directory."""

from pathlib import Path

import pytest

from domain.principal import EVERY_NAMESPACE
from domain.reads import SearchQuery
from domain.recorded import START, Position
from infra.embedded.errors import StoreDamaged, StoreOutdated, StoreUnavailable
from infra.embedded.tantivy_store import open_tantivy_store
from projections.fulltext import FULLTEXT
from tests.projections.contract import TOOLS, Opener, SearchContract, StoreContract
from tests.projections.entries import tool

DOCUMENT = FULLTEXT.document


class TestTantivyStore(StoreContract, SearchContract):
    """Full text in Tantivy."""

    read_model = FULLTEXT

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        """A path with a blank."""
        return lambda: open_tantivy_store(tmp_path / "a b", FULLTEXT.schema_version)


async def test_documents_of_another_schema_version_are_removed(tmp_path: Path) -> None:
    """The projector starts at the beginning; the old files go."""
    async with open_tantivy_store(tmp_path, 1) as store:
        await store.write([DOCUMENT(tool("a", 1))], Position(1, 1))
    async with open_tantivy_store(tmp_path, 2) as store:
        assert await store.checkpoint() == START
        assert [document async for document in store.scan()] == []
    assert not (tmp_path / "v1.1").exists()


async def test_another_process_may_read_while_one_writes(tmp_path: Path) -> None:
    """A read-only store sees every commit, and refuses to write."""
    async with (
        open_tantivy_store(tmp_path, 1) as store,
        open_tantivy_store(tmp_path, 1, read_only=True) as other,
    ):
        assert await other.checkpoint() == START
        await store.write([DOCUMENT(tool("a", 1))], Position(1, 1))
        assert await other.checkpoint() == Position(1, 1)
        assert len((await other.search(EVERY_NAMESPACE, SearchQuery("a", TOOLS))).hits) == 1
        with pytest.raises(StoreUnavailable, match="read only"):
            await other.write([], Position(2, 1))


async def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """The message names the directory and the reason."""
    async with open_tantivy_store(tmp_path, 1):
        with pytest.raises(StoreUnavailable, match=r"v1\.1.*[Ll]ock"):
            async with open_tantivy_store(tmp_path, 1):
                pass
    async with open_tantivy_store(tmp_path, 1):
        pass


async def test_a_reader_of_another_version_is_told_so(tmp_path: Path) -> None:
    """It may not build what another process writes."""
    with pytest.raises(StoreOutdated, match="no index of this release"):
        async with open_tantivy_store(tmp_path, 1, read_only=True):
            pass


async def test_a_damaged_directory_is_named(tmp_path: Path) -> None:
    """The message says which directory, and that it can be deleted."""
    async with open_tantivy_store(tmp_path, 1) as store:
        await store.write([DOCUMENT(tool("a", 1))], Position(1, 1))
    (tmp_path / "v1.1" / "meta.json").write_bytes(b"{ not json")
    with pytest.raises(StoreDamaged, match=r"v1\.1.*delete it"):
        async with open_tantivy_store(tmp_path, 1):
            pass
