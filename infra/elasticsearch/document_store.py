"""`projections.ports.DocumentStore` on Elasticsearch: what the read models on it have in common.

Guarantees: a checkpoint is written after its documents are durable and visible; an answer's position is read before
the answer, from the same physical index, so the answer holds at least everything up to it; a writer whose index was
replaced is refused, and begins again from `checkpoint`. Nothing is sent before the first use.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import anyio

from domain.errors import Unavailable
from domain.principal import NamespaceSet
from domain.recorded import START, Position
from infra.elasticsearch.bulk import store
from infra.elasticsearch.checkpoints import Checkpoints
from infra.elasticsearch.client import (
    ATTEMPTS_MAX,
    RETRY_DELAY_S,
    Cluster,
    IndexRemoved,
    error_type,
    jittered,
    reason_of,
)
from infra.elasticsearch.index import VersionedIndex, writer_alias
from projections.documents import ReadModel

FETCH_SIZE = 500
SCAN_SIZE = 500
SCAN_KEEP_ALIVE = "2m"
"""How long Elasticsearch keeps a scan's snapshot between two of its pages."""
REPLACED_MAX = 3
"""How often one read follows an index that is replaced under it."""

T = TypeVar("T")


class ElasticsearchDocuments:
    """One read model's documents and checkpoint; `cluster` stays open for as long as this is used."""

    def __init__(self, cluster: Cluster, model: ReadModel) -> None:
        self._cluster = cluster
        self._index = VersionedIndex(cluster, model.name, model.schema_version)
        self._checkpoints = Checkpoints(cluster)
        self._resolving = anyio.Lock()
        self._read_from: str | None = None
        self._write_to: str | None = None

    async def checkpoint(self) -> Position:
        self._write_to = await self._resolve(anew=True)
        return await self._checkpoints.read(self._write_to)

    async def reached(self) -> Position:
        physical = await self._index.present()
        return START if physical is None else await self._checkpoints.read(physical)

    async def write(self, documents: Sequence[Mapping[str, Any]], checkpoint: Position) -> None:
        """As the port says. Raises RequestRefused naming refused documents, IndexRemoved and Unavailable."""
        # Never the index that was resolved for reading: after a replacement it lacks what was written before, and this
        # checkpoint would claim that it is there.
        if self._write_to is None:
            self._write_to = await self._resolve()
        if documents:
            alias = writer_alias(self._write_to)
            await store(self._cluster, alias, documents)
            await self._cluster.call(
                f"make the documents of '{alias}' visible",
                lambda client: client.indices.refresh(index=alias),
            )
        await self._checkpoints.write(self._write_to, checkpoint)

    async def fetch(self, ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, Any]]:
        return await self._reading(lambda index: self._fetch(index, ids))

    async def scan(self) -> AsyncIterator[Mapping[str, Any]]:
        """A snapshot of every document, in no particular order."""
        snapshot = await self._reading(self._open_snapshot)
        after: list[Any] | None = None
        try:
            while True:
                hits = await self._scan_page(snapshot, after)
                for hit in hits:
                    yield hit["_source"]
                if len(hits) < SCAN_SIZE:
                    return
                after = hits[-1]["sort"]
        finally:
            with anyio.CancelScope(shield=True):
                await self._cluster.call(
                    "close a snapshot",
                    lambda client: client.options(ignore_status=404).close_point_in_time(id=snapshot),
                )

    async def reset(self) -> None:
        old = await self._resolve(anew=True)
        # First, so that no reader finds a position with an index that has become empty.
        await self._checkpoints.remove(old)
        self._read_from = self._write_to = await self._index.replace(old)

    async def _find(self, query: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Position]:
        """The hits of a search request, and the position that they hold at least."""

        async def find(index: str) -> tuple[list[dict[str, Any]], Position]:
            position = await self._checkpoints.read(index)
            answer = await self._cluster.call(
                f"search '{index}'",
                lambda client: client.search(
                    index=index, allow_partial_search_results=False, track_total_hits=False, **query
                ),
            )
            return answer["hits"]["hits"], position

        return await self._reading(find)

    async def _reading(self, read: Callable[[str], Awaitable[T]]) -> T:
        """What `read` answers from the present index; if it was replaced meanwhile, from the next one."""
        for _ in range(REPLACED_MAX):
            try:
                return await read(await self._resolve())
            except IndexRemoved:
                self._read_from = None
        raise Unavailable(
            f"The index behind '{self._index.alias}' was replaced {REPLACED_MAX} times during one read. Try again."
        )

    async def _resolve(self, *, anew: bool = False) -> str:
        async with self._resolving:
            if anew or self._read_from is None:
                await self._checkpoints.prepare()
                self._read_from = await self._index.current()
            return self._read_from

    async def _fetch(self, index: str, ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, Any]]:
        found: dict[UUID, Mapping[str, Any]] = {}
        for start in range(0, len(ids), FETCH_SIZE):
            for document in await self._fetch_some(
                index, [str(one) for one in ids[start : start + FETCH_SIZE]]
            ):
                if document["found"]:
                    found[UUID(document["_id"])] = document["_source"]
        return found

    async def _fetch_some(self, index: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The answers for one request of ids. A shard that is moving or going away is asked again, a few times."""
        failure: dict[str, Any] = {}
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                await anyio.sleep(jittered(RETRY_DELAY_S * 2 ** (attempt - 1)))
            answer = await self._cluster.call(
                f"fetch documents of '{index}'",
                lambda client: client.mget(index=index, ids=ids, realtime=True),
            )
            documents: list[dict[str, Any]] = answer["docs"]
            failure = next((document for document in documents if "error" in document), {})
            if not failure:
                return documents
            if error_type(failure) == "index_not_found_exception":
                raise IndexRemoved(f"The index '{index}' was replaced or deleted.")
        raise Unavailable(
            f"Elasticsearch could not read '{failure['_id']}': {reason_of(failure)}. Try again later."
        )

    async def _open_snapshot(self, index: str) -> str:
        opened = await self._cluster.call(
            f"open a snapshot of '{index}'",
            lambda client: client.open_point_in_time(index=index, keep_alive=SCAN_KEEP_ALIVE),
        )
        return str(opened["id"])

    async def _scan_page(self, snapshot: str, after: list[Any] | None) -> list[dict[str, Any]]:
        answer = await self._cluster.call(
            f"scan '{self._index.alias}'",
            lambda client: client.search(
                pit={"id": snapshot, "keep_alive": SCAN_KEEP_ALIVE},
                sort=["_shard_doc"],
                size=SCAN_SIZE,
                track_total_hits=False,
                allow_partial_search_results=False,
                search_after=after,
            ),
        )
        hits: list[dict[str, Any]] = answer["hits"]["hits"]
        return hits


def visible_filter(visible: NamespaceSet) -> list[dict[str, Any]]:
    """The filter that keeps what may not be seen out of the query itself."""
    return [] if visible.every else [{"terms": {"namespace": sorted(visible.names)}}]
