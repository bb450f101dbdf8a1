"""The metadata index: `commands.ports.Catalogue` over exact fields, and its documents for the projector."""

from typing import Any
from uuid import UUID

from domain.entry import Entry, Kind
from domain.principal import NamespaceSet
from domain.reads import EntryPage, ListQuery
from infra.elasticsearch.client import Cluster
from infra.elasticsearch.document_store import ElasticsearchDocuments, visible_filter
from projections.documents import entry_from_json
from projections.metadata import METADATA


class ElasticsearchMetadata(ElasticsearchDocuments):
    """`Catalogue` and `DocumentStore`: definitions and namespaces of any status, in the order (namespace, key, id)."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster, METADATA)

    async def get(self, visible: NamespaceSet, kind: Kind, entry_id: UUID) -> Entry | None:
        wanted = [{"term": {"id": str(entry_id)}}, {"term": {"kind": kind}}, *visible_filter(visible)]
        hits, _ = await self._find({"query": {"bool": {"filter": wanted}}, "size": 1})
        return entry_from_json(hits[0]["_source"]["entry"]) if hits else None

    async def list(self, visible: NamespaceSet, query: ListQuery) -> EntryPage:
        wanted: list[dict[str, Any]] = [{"terms": {"kind": query.kinds}}, *visible_filter(visible)]
        if query.status is not None:
            wanted.append({"term": {"status": query.status}})
        hits, position = await self._find(
            {
                "query": {"bool": {"filter": wanted}},
                "sort": [{"namespace": "asc"}, {"key": "asc"}, {"id": "asc"}],
                "search_after": query.after,
                "size": query.limit + 1,  # one more tells whether more follow
                "source": ["entry"],
            }
        )
        entries = [entry_from_json(hit["_source"]["entry"]) for hit in hits[: query.limit]]
        return EntryPage(entries, len(hits) > query.limit, position)
