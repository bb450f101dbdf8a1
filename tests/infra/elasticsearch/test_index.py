"""Physical indices and their alias: made once, replaced in one step, never guessed by Elasticsearch."""

from itertools import count

import anyio
import pytest

from domain.errors import Unavailable
from domain.principal import EVERY_NAMESPACE
from domain.reads import ListQuery
from domain.recorded import START, Position
from infra.elasticsearch import index
from infra.elasticsearch.checkpoints import Checkpoints
from infra.elasticsearch.client import Cluster, IndexRemoved
from infra.elasticsearch.metadata_store import ElasticsearchMetadata
from tests.infra.elasticsearch.conftest import index_names, metadata_documents
from tests.projections.entries import tool

READERS = 4
RESETS = 5
EVERY_TOOL = ListQuery(("tool",))


async def test_processes_that_start_at_once_make_one_index(cluster: Cluster) -> None:
    """Two indices behind one alias would answer everything twice."""
    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(ElasticsearchMetadata(cluster).checkpoint)
    assert len(await index_names(cluster, "metadata")) == 1


async def test_looking_makes_and_replaces_nothing(
    cluster: Cluster, metadata: ElasticsearchMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where there is nothing yet nor where an index is of another release, which may be in use."""
    assert await metadata.reached() == START
    assert await index_names(cluster) == []
    await metadata.write(metadata_documents(tool("a", 1)), Position(1, 1))
    before = await index_names(cluster)
    monkeypatch.setattr(index, "MAPPING_VERSION", index.MAPPING_VERSION + 1)
    assert await ElasticsearchMetadata(cluster).reached() == START
    assert await index_names(cluster) == before
    monkeypatch.undo()
    assert await ElasticsearchMetadata(cluster).reached() == Position(1, 1)


async def test_readers_never_see_a_missing_index_while_it_is_replaced(cluster: Cluster) -> None:
    """Each answer comes from one physical index: it holds what its position promises, whichever index that is."""
    writer = ElasticsearchMetadata(cluster)
    documents = metadata_documents(tool("a", 1), tool("b", 2))
    await writer.write(documents, Position(2, 1))
    done = anyio.Event()
    reads = count()

    async def read_on() -> None:
        reader = ElasticsearchMetadata(cluster)
        while not done.is_set():
            page = await reader.list(EVERY_NAMESPACE, EVERY_TOOL)
            if page.position != START:
                assert [entry.key for entry in page.entries] == ["a", "b"]
            await reader.fetch([tool("a", 1).id])
            next(reads)

    async with anyio.create_task_group() as group:
        for _ in range(READERS):
            group.start_soon(read_on)
        for _ in range(RESETS):
            await writer.reset()
            assert await writer.checkpoint() == START
            await writer.write(documents, Position(2, 1))
        done.set()
    assert next(reads) > RESETS
    assert len(await index_names(cluster, "metadata")) == 1


async def test_a_writer_whose_index_was_replaced_is_refused(cluster: Cluster) -> None:
    """Its checkpoint would claim that the new index holds what only the old one held."""
    slow, other = ElasticsearchMetadata(cluster), ElasticsearchMetadata(cluster)
    await slow.write(metadata_documents(tool("a", 1)), Position(1, 1))
    (old,) = await index_names(cluster, "metadata")
    await other.reset()
    assert await Checkpoints(cluster).read(old) == START
    assert (await slow.list(EVERY_NAMESPACE, EVERY_TOOL)).entries == []
    for _ in range(2):
        with pytest.raises(IndexRemoved):
            await slow.write(metadata_documents(tool("b", 2)), Position(2, 1))
    assert await other.checkpoint() == START
    assert (await other.list(EVERY_NAMESPACE, EVERY_TOOL)).entries == []
    assert await slow.checkpoint() == START
    await slow.write(metadata_documents(tool("b", 2)), Position(2, 1))
    assert await other.checkpoint() == Position(2, 1)


async def test_resets_at_once_leave_one_index(cluster: Cluster) -> None:
    """Whoever is second finds the first one's index and cleans up its own."""
    stores = [ElasticsearchMetadata(cluster) for _ in range(4)]
    await stores[0].write(metadata_documents(tool("a", 1)), Position(1, 1))
    async with anyio.create_task_group() as group:
        for store in stores:
            group.start_soon(store.reset)
    assert len(await index_names(cluster, "metadata")) == 1
    for store in stores:
        assert await store.checkpoint() == START


async def test_an_index_that_was_deleted_by_hand_is_built_from_the_start(
    cluster: Cluster, metadata: ElasticsearchMetadata
) -> None:
    """The writer notices; nothing is stored in an index with guessed mappings; the old checkpoint does not count."""
    await metadata.write(metadata_documents(tool("a", 1)), Position(1, 1))
    names = await index_names(cluster, "metadata")
    await cluster.call("delete by hand", lambda client: client.indices.delete(index=names))
    with pytest.raises(IndexRemoved):
        await metadata.write(metadata_documents(tool("b", 2)), Position(2, 1))
    assert await index_names(cluster, "metadata") == []
    assert await metadata.checkpoint() == START
    assert await index_names(cluster, "metadata") != names
    assert (await metadata.list(EVERY_NAMESPACE, EVERY_TOOL)).position == START


async def test_deleted_checkpoints_mean_starting_anew(
    cluster: Cluster, metadata: ElasticsearchMetadata
) -> None:
    """A projector without a checkpoint repeats everything, which is harmless."""
    await metadata.write(metadata_documents(tool("a", 1)), Position(1, 1))
    names = await index_names(cluster, "checkpoints")
    await cluster.call("delete by hand", lambda client: client.indices.delete(index=names))
    assert (await metadata.list(EVERY_NAMESPACE, EVERY_TOOL)).position == START
    with pytest.raises(IndexRemoved):
        await metadata.write(metadata_documents(tool("a", 1)), Position(1, 1))
    assert await metadata.checkpoint() == START
    await metadata.write(metadata_documents(tool("a", 1)), Position(1, 1))
    assert await metadata.checkpoint() == Position(1, 1)


async def test_what_a_killed_rebuild_left_behind_is_removed(
    cluster: Cluster, metadata: ElasticsearchMetadata
) -> None:
    """An index without the readers' alias serves nobody; another read model's or deployment's is left alone."""
    await metadata.checkpoint()
    prefix = cluster.settings.prefix
    leftover, other = (
        f"{prefix}-metadata-v1m1-0123456789ab",
        f"{prefix}-metadata-v1m1-x-metadata-v1m1-0123456789ab",
    )
    for name in (leftover, other):
        await index.create_index(cluster, name, "metadata", {})
    await metadata.reset()
    names = await index_names(cluster, "metadata")
    assert leftover not in names
    assert other in names


async def test_an_index_of_an_older_mapping_is_replaced(
    cluster: Cluster, metadata: ElasticsearchMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed mapping is a rebuild from the log, never an edit in place."""
    await metadata.write(metadata_documents(tool("a", 1)), Position(1, 1))
    monkeypatch.setattr(index, "MAPPING_VERSION", index.MAPPING_VERSION + 1)
    upgraded = ElasticsearchMetadata(cluster)
    assert await upgraded.checkpoint() == START
    assert [document async for document in upgraded.scan()] == []
    monkeypatch.undo()
    with pytest.raises(Unavailable, match="newer version of this program"):
        await ElasticsearchMetadata(cluster).checkpoint()


async def test_the_mappings_are_strict(cluster: Cluster, metadata: ElasticsearchMetadata) -> None:
    """What a mapping does not name is refused, and entries are stored without being indexed."""
    await metadata.write(metadata_documents(tool("a", 1)), Position(1, 1))
    (name,) = await index_names(cluster, "metadata")
    found = await cluster.call("read the mapping", lambda client: client.indices.get_mapping(index=name))
    assert found[name]["mappings"] == index.mappings("metadata") | {"dynamic": "strict"}
    assert found[name]["mappings"]["properties"]["entry"] == {"type": "object", "enabled": False}
