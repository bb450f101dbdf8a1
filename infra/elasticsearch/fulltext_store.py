"""The full-text index: `commands.ports.Search` by BM25 over one field of text that Python analysed, and its documents.

The analysis is the same as the embedded engine's, and so is the formula (k1 1.2, b 0.75), so that both rank alike.
"""

from typing import Any

from domain.principal import NamespaceSet
from domain.reads import SEARCH_SIZE_MAX, SearchAnswer, SearchHit, SearchQuery
from infra.elasticsearch.client import Cluster
from infra.elasticsearch.document_store import ElasticsearchDocuments, visible_filter
from projections.analysis import query_tokens
from projections.documents import entry_from_json
from projections.fulltext import FULLTEXT


class ElasticsearchFulltext(ElasticsearchDocuments):
    """`Search` and `DocumentStore`: the best hits first, equal scores in the order (key, namespace, id)."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster, FULLTEXT)

    async def search(self, visible: NamespaceSet, query: SearchQuery) -> SearchAnswer:
        wanted: list[dict[str, Any]] = [{"terms": {"kind": query.kinds}}, *visible_filter(visible)]
        if query.status is not None:
            wanted.append({"term": {"status": query.status}})
        words = {"match": {"text": {"query": " ".join(query_tokens(query.text)), "operator": "or"}}}
        hits, position = await self._find(
            {
                "query": {"bool": {"must": [words], "filter": wanted}},
                "sort": [{"_score": "desc"}, {"key": "asc"}, {"namespace": "asc"}, {"id": "asc"}],
                "size": min(query.limit, SEARCH_SIZE_MAX),
                "source": ["entry"],
            }
        )
        found = [SearchHit(entry_from_json(hit["_source"]["entry"]), float(hit["_score"])) for hit in hits]
        return SearchAnswer(found, position)
