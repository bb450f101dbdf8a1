"""Storing documents: each one's own verdict, versions, batches, and what is visible when."""

from typing import Any

import pytest

from domain.errors import Unavailable
from domain.principal import EVERY_NAMESPACE
from domain.reads import ListQuery, SearchQuery
from domain.recorded import Position
from infra.elasticsearch import bulk
from infra.elasticsearch.bulk import store
from infra.elasticsearch.client import (
    ATTEMPTS_MAX,
    Cluster,
    ElasticsearchSettings,
    RequestRefused,
    open_cluster,
)
from infra.elasticsearch.fulltext_store import ElasticsearchFulltext
from infra.elasticsearch.metadata_store import ElasticsearchMetadata
from tests.infra.elasticsearch.conftest import fulltext_documents, index_names, metadata_documents
from tests.infra.elasticsearch.scripted_server import ScriptedServer
from tests.projections.entries import tool

EVERY_TOOL = ListQuery(("tool",), limit=200)


def item(status: int, **error: str) -> dict[str, Any]:
    """A bulk item as Elasticsearch answers it."""
    return {"index": {"_id": "x", "status": status, **({"error": error} if error else {})}}


async def test_a_refused_document_is_named_with_its_reason(metadata: ElasticsearchMetadata) -> None:
    """The rest of the batch is stored, the checkpoint is not: the batch will come again."""
    good, bad = metadata_documents(tool("good", 1), tool("bad", 2))
    with pytest.raises(RequestRefused, match=r"refused 1 of 2 documents.*strict.*colour") as caught:
        await metadata.write([good, {**bad, "colour": "red"}], Position(2, 1))
    assert bad["id"] in caught.value.message
    assert set(await metadata.fetch([tool("good", 1).id, tool("bad", 2).id])) == {tool("good", 1).id}
    assert await metadata.checkpoint() == Position(0, 0)


async def test_an_older_version_is_ignored_and_counted(
    cluster: Cluster, metadata: ElasticsearchMetadata
) -> None:
    """A stale writer does no harm: neither its document nor its checkpoint replaces a newer one."""
    (new,), (old,) = metadata_documents(tool("a", 7)), metadata_documents(tool("a", 3))
    await metadata.write([new], Position(7, 1))
    await metadata.write([old], Position(3, 1))
    assert (await metadata.fetch([tool("a", 7).id]))[tool("a", 7).id] == new
    assert await metadata.checkpoint() == Position(7, 1)
    (physical,) = await index_names(cluster, "metadata")
    assert await store(cluster, f"{physical}-writer", [old, new]) == 1


async def test_a_repeated_write_changes_nothing(metadata: ElasticsearchMetadata) -> None:
    """After a lost reply the projector writes the same batch again."""
    documents = metadata_documents(tool("a", 1), tool("b", 2))
    for _ in range(2):
        await metadata.write(documents, Position(2, 1))
    page = await metadata.list(EVERY_NAMESPACE, EVERY_TOOL)
    assert [entry.key for entry in page.entries] == ["a", "b"]
    assert page.position == Position(2, 1)


async def test_a_write_of_several_requests_is_visible_whole(
    fulltext: ElasticsearchFulltext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches are bounded by number and by bytes, and searchable when the write returns."""
    monkeypatch.setattr("infra.elasticsearch.bulk.BULK_DOCUMENTS_MAX", 3)
    monkeypatch.setattr("infra.elasticsearch.bulk.BULK_BYTES_MAX", 1500)
    entries = [tool(f"weather-{n}", n, description="x" * (n * 100)) for n in range(1, 11)]
    await fulltext.write(fulltext_documents(*entries), Position(10, 1))
    answer = await fulltext.search(EVERY_NAMESPACE, SearchQuery("weather", ("tool",), limit=100))
    assert {hit.entry.key for hit in answer.hits} == {entry.key for entry in entries}
    assert answer.position == Position(10, 1)
    scanned = [document["key"] async for document in fulltext.scan()]
    assert sorted(scanned) == sorted(entry.key for entry in entries)


def test_requests_are_bounded_and_hold_each_document_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by bytes; a document that is larger than the bound goes alone."""
    sizes = [2000, 10, 10, 10, 10, 900, 10]
    entries = [tool(f"t{n}", n, description="x" * size) for n, size in enumerate(sizes, 1)]
    items = [bulk._item(document) for document in metadata_documents(*entries)]
    monkeypatch.setattr(bulk, "BULK_DOCUMENTS_MAX", 3)
    monkeypatch.setattr(bulk, "BULK_BYTES_MAX", items[5].size + items[6].size - 1)
    chunks = [[entries[items.index(item)].key for item in chunk] for chunk in bulk._chunks(items)]
    assert chunks == [["t1"], ["t2", "t3", "t4"], ["t5"], ["t6"], ["t7"]]


async def test_a_scan_passes_through_all_its_pages(
    metadata: ElasticsearchMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verification must see every document once, also when the number is a multiple of the page."""
    monkeypatch.setattr("infra.elasticsearch.document_store.SCAN_SIZE", 5)
    documents = metadata_documents(*(tool(f"t{n}", n) for n in range(1, 11)))
    await metadata.write(documents, Position(10, 1))
    scanned = [document async for document in metadata.scan()]
    assert sorted(scanned, key=lambda document: document["sequence"]) == documents


async def test_a_fetch_passes_through_all_its_pages(
    metadata: ElasticsearchMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A projector's batch may touch more documents than one request asks for."""
    monkeypatch.setattr("infra.elasticsearch.document_store.FETCH_SIZE", 3)
    entries = [tool(f"t{n}", n) for n in range(1, 8)]
    await metadata.write(metadata_documents(*entries), Position(7, 1))
    fetched = await metadata.fetch([*(entry.id for entry in entries), tool("unknown", 1).id])
    assert set(fetched) == {entry.id for entry in entries}


async def test_busy_items_alone_are_sent_again(server: ScriptedServer, no_wait: None) -> None:
    """A full queue refuses single items; what was stored is not sent twice."""
    busy = item(429, type="es_rejected_execution_exception", reason="queue is full")
    server.script = [(200, {"items": [item(201), busy, item(409, type="version_conflict_engine_exception")]})]
    server.script += [(200, {"items": [item(201)]})]
    documents = metadata_documents(tool("a", 1), tool("b", 2), tool("c", 3))
    async with open_cluster(ElasticsearchSettings(server.url)) as cluster:
        assert await store(cluster, "alias", documents) == 1
    first, second = (body for _, _, body in server.requests)
    assert first.count(b'"version_type"') == 3
    assert second.count(b'"version_type"') == 1
    assert documents[1]["id"].encode() in second


async def test_items_that_stay_busy_are_given_up_on(server: ScriptedServer, no_wait: None) -> None:
    """The batch is not acknowledged, and the message says whom to ask."""
    server.script = [(200, {"items": [item(429, type="es_rejected_execution_exception", reason="full")]})]
    async with open_cluster(ElasticsearchSettings(server.url)) as cluster:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1.*too busy"):
            await store(cluster, "alias", metadata_documents(tool("a", 1)))
    assert len(server.requests) == ATTEMPTS_MAX
