"""The full-text read model in a Tantivy directory: documents, and in each commit a reserved one with the checkpoint.

The text comes analysed (`projections/analysis.py`) and is split at blanks, so it ranks as on other engines. Each
document is also stored as JSON, for reading back. One process writes, and what it wrote can be searched when `write`
returns; a read-only store of another process sees it at its next read.
"""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import anyio
import anyio.to_thread
import orjson
import tantivy
from tantivy import Occur, Query

from domain.principal import NamespaceSet
from domain.reads import SEARCH_SIZE_MAX, SearchAnswer, SearchHit, SearchQuery
from domain.recorded import START, Position
from infra.embedded.errors import StoreDamaged, StoreOutdated, StoreUnavailable
from projections.analysis import query_tokens
from projections.documents import entry_from_json

LAYOUT = 1
"""Version of the fields; with the read model's own version it names the directory."""

HEAP_BYTES_MAX = 32 * 1024 * 1024
"""Memory of the index writer; what does not fit is written to disk before the commit."""

SCAN_PAGE_SIZE = 500

CHECKPOINT_ID = "checkpoint"
"""The id of the reserved document; no document has it, because theirs are UUIDs."""

_FILTERS = ("kind", "namespace", "status", "server")

ResultT = TypeVar("ResultT")


@asynccontextmanager
async def open_tantivy_store(
    directory: Path, schema_version: int, *, read_only: bool = False
) -> AsyncIterator["TantivyStore"]:
    """The store in `directory`, made if it is not there; documents of another schema version are removed.

    `read_only` is for a second process beside the one that writes: it changes nothing and waits for nobody.
    Raises StoreUnavailable (another process writes), StoreDamaged and StoreOutdated.
    """
    files = directory / f"v{schema_version}.{LAYOUT}"
    store = await anyio.to_thread.run_sync(lambda: TantivyStore(files, read_only=read_only))
    try:
        yield store
    finally:
        with anyio.CancelScope(shield=True):
            await store.close()


class TantivyStore:
    """See `projections.ports.DocumentStore` and `commands.ports.Search`. Use `open_tantivy_store`."""

    def __init__(self, files: Path, *, read_only: bool) -> None:
        self._files = files
        self._read_only = read_only
        self._writing = anyio.CapacityLimiter(1)
        self._reading = anyio.CapacityLimiter(1)
        self._writer: tantivy.IndexWriter | None = None
        if read_only and not (files.is_dir() and tantivy.Index.exists(str(files))):
            raise StoreOutdated(files, "there is no index of this release yet")
        with _explained(files, opening=True):
            files.mkdir(parents=True, exist_ok=True)
            self._index = tantivy.Index(_schema(), path=str(files))
            if not read_only:
                self._writer = self._index.writer(heap_size=HEAP_BYTES_MAX, num_threads=1)
                _remove_other_versions(files)

    async def close(self) -> None:
        """Wait for running merges and give the directory free."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await anyio.to_thread.run_sync(writer.wait_merging_threads, limiter=self._writing)

    async def checkpoint(self) -> Position:
        """The position up to which every event is applied; START for a new store."""
        return await self._read(_checkpoint)

    async def reached(self) -> Position:
        """The same: what is open is there."""
        return await self.checkpoint()

    async def write(self, documents: Sequence[Mapping[str, Any]], checkpoint: Position) -> None:
        """Documents and checkpoint in one commit; older ones are ignored. It can be searched at once."""

        def work(writer: tantivy.IndexWriter) -> None:
            searcher = self._index.searcher()
            for document in _newest(searcher, documents):
                writer.delete_documents_by_term("id", document["id"])
                writer.add_document(_indexed(document))
            writer.delete_documents_by_term("id", CHECKPOINT_ID)
            writer.add_document(_reserved(max(checkpoint, _checkpoint(searcher))))

        await self._commit(work)

    async def fetch(self, ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, Any]]:
        """The stored documents of these ids."""
        wanted = [str(each) for each in ids]

        def work(searcher: tantivy.Searcher) -> dict[UUID, Mapping[str, Any]]:
            found = (_stored(searcher, address) for address in _addresses(searcher, wanted))
            return {UUID(document["id"]): document for document in found}

        return await self._read(work) if wanted else {}

    async def scan(self) -> AsyncIterator[Mapping[str, Any]]:
        """Every document as of the moment when the scan began."""
        searcher, addresses = await self._read(lambda searcher: (searcher, _every_address(searcher)))
        for start in range(0, len(addresses), SCAN_PAGE_SIZE):
            page = addresses[start : start + SCAN_PAGE_SIZE]
            read = partial(_stored_page, self._files, searcher, page)
            for document in await anyio.to_thread.run_sync(read, limiter=self._reading):
                if document["id"] != CHECKPOINT_ID:
                    yield document

    async def reset(self) -> None:
        """Remove every document and the checkpoint."""
        await self._commit(lambda writer: writer.delete_all_documents())

    async def search(self, visible: NamespaceSet, query: SearchQuery) -> SearchAnswer:
        """The best hits by BM25 for any of the words; the filters are part of the query."""
        limit = min(query.limit, SEARCH_SIZE_MAX)
        wanted = _query(visible, query)

        def work(searcher: tantivy.Searcher) -> SearchAnswer:
            found = searcher.search(wanted, limit=limit, count=False).hits if wanted else []
            hits = [
                SearchHit(entry_from_json(_stored(searcher, address)["entry"]), score)
                for score, address in found
            ]
            # Equal scores come in the same order on every engine.
            hits.sort(key=lambda hit: (-hit.score, hit.entry.key, hit.entry.namespace))
            return SearchAnswer(hits, _checkpoint(searcher))

        return await self._read(work)

    async def _read(self, work: Callable[[tantivy.Searcher], ResultT]) -> ResultT:
        def read() -> ResultT:
            with _explained(self._files):
                if self._read_only:
                    self._index.reload()
                # A searcher is of one commit, whatever is written meanwhile.
                return work(self._index.searcher())

        return await anyio.to_thread.run_sync(read, limiter=self._reading)

    async def _commit(self, work: Callable[[tantivy.IndexWriter], object]) -> None:
        def commit() -> None:
            if self._writer is None:
                raise StoreUnavailable(self._files, "it is closed, or was opened to be read only")
            with _explained(self._files, writing=True):
                try:
                    work(self._writer)
                    self._writer.commit()
                except ValueError:
                    # Nothing of a failed batch may be part of the next commit.
                    self._writer.rollback()
                    raise
                self._index.reload()

        await anyio.to_thread.run_sync(commit, limiter=self._writing)


@cache
def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", tokenizer_name="raw", index_option="basic")
    for name in _FILTERS:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("text", tokenizer_name="whitespace", index_option="freq")
    builder.add_unsigned_field("sequence", fast=True)
    builder.add_bytes_field("document", stored=True)
    return builder.build()


def _indexed(document: Mapping[str, Any]) -> tantivy.Document:
    indexed = tantivy.Document()
    indexed.add_text("id", document["id"])
    for name in _FILTERS:
        indexed.add_text(name, document[name])
    indexed.add_text("text", document["text"])
    indexed.add_unsigned("sequence", document["sequence"])
    indexed.add_bytes("document", orjson.dumps(document))
    return indexed


def _reserved(checkpoint: Position) -> tantivy.Document:
    reserved = tantivy.Document()
    reserved.add_text("id", CHECKPOINT_ID)
    reserved.add_unsigned("sequence", checkpoint.sequence)
    stored = {"id": CHECKPOINT_ID, "sequence": checkpoint.sequence, "epoch": checkpoint.epoch}
    reserved.add_bytes("document", orjson.dumps(stored))
    return reserved


def _query(visible: NamespaceSet, query: SearchQuery) -> Query | None:
    """None if nothing can match."""
    tokens = query_tokens(query.text)
    if not (tokens and query.kinds and (visible.every or visible.names)):
        return None
    filters = [Query.term_set_query(_schema(), "kind", list(query.kinds))]
    if not visible.every:
        filters.append(Query.term_set_query(_schema(), "namespace", sorted(visible.names)))
    if query.status is not None:
        filters.append(Query.term_query(_schema(), "status", query.status, "basic"))
    words = [(Occur.Should, Query.term_query(_schema(), "text", token, "freq")) for token in tokens]
    # A filter adds nothing to the score.
    required = [(Occur.Must, Query.const_score_query(each, 0.0)) for each in filters]
    return Query.boolean_query([*required, (Occur.Must, Query.boolean_query(words))])


def _newest(
    searcher: tantivy.Searcher, documents: Sequence[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """The documents that are not older than the stored ones or others of the batch."""
    newest: dict[str, Mapping[str, Any]] = {}
    for document in documents:
        known = newest.setdefault(document["id"], document)
        if document["sequence"] >= known["sequence"]:
            newest[document["id"]] = document
    stored = {
        found["id"]: found["sequence"]
        for found in (_stored(searcher, address) for address in _addresses(searcher, list(newest)))
    }
    return (each for each in newest.values() if each["sequence"] >= stored.get(each["id"], 0))


def _addresses(searcher: tantivy.Searcher, ids: list[str]) -> list[tantivy.DocAddress]:
    if not ids:
        return []
    query = Query.term_set_query(_schema(), "id", ids)
    return [address for _, address in searcher.search(query, limit=len(ids), count=False).hits]


def _every_address(searcher: tantivy.Searcher) -> list[tantivy.DocAddress]:
    limit = max(searcher.num_docs, 1)
    return [address for _, address in searcher.search(Query.all_query(), limit=limit, count=False).hits]


def _stored(searcher: tantivy.Searcher, address: tantivy.DocAddress) -> dict[str, Any]:
    value: Any = searcher.doc(address).get_first("document")
    return dict(orjson.loads(bytes(value)))


def _stored_page(
    files: Path, searcher: tantivy.Searcher, addresses: Sequence[tantivy.DocAddress]
) -> list[dict[str, Any]]:
    with _explained(files):
        return [_stored(searcher, address) for address in addresses]


def _checkpoint(searcher: tantivy.Searcher) -> Position:
    found = _addresses(searcher, [CHECKPOINT_ID])
    if not found:
        return START
    stored = _stored(searcher, found[0])
    return Position(stored["sequence"], stored["epoch"])


def _remove_other_versions(files: Path) -> None:
    for other in files.parent.glob("v*"):
        if other != files and other.is_dir():
            shutil.rmtree(other)


@contextmanager
def _explained(files: Path, *, opening: bool = False, writing: bool = False) -> Iterator[None]:
    """Turn what Tantivy raises, which is always a ValueError, into an error that says what to do."""
    try:
        yield
    except (ValueError, OSError) as error:
        if writing or (opening and "lock" in str(error).lower()):
            raise StoreUnavailable(files, str(error)) from error
        raise StoreDamaged(files, str(error)) from error
