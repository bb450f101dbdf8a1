"""The Elasticsearch stores keep the contract that the embedded ones keep."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from infra.elasticsearch.client import Cluster, open_cluster
from infra.elasticsearch.fulltext_store import ElasticsearchFulltext
from infra.elasticsearch.metadata_store import ElasticsearchMetadata
from projections.fulltext import FULLTEXT
from projections.metadata import METADATA
from tests.projections.contract import CatalogueContract, Opener, SearchContract, StoreContract


class TestElasticsearchMetadata(StoreContract, CatalogueContract):
    """Metadata in Elasticsearch."""

    read_model = METADATA

    @pytest.fixture
    def opener(self, cluster: Cluster) -> Opener:
        """Each time with a connection of its own."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[ElasticsearchMetadata]:
            async with open_cluster(cluster.settings) as own:
                yield ElasticsearchMetadata(own)

        return opened


class TestElasticsearchFulltext(StoreContract, SearchContract):
    """Full text in Elasticsearch."""

    read_model = FULLTEXT

    @pytest.fixture
    def opener(self, cluster: Cluster) -> Opener:
        """Each time with a connection of its own."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[ElasticsearchFulltext]:
            async with open_cluster(cluster.settings) as own:
                yield ElasticsearchFulltext(own)

        return opened
