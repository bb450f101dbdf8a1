"""A prefix of its own for each test on the shared cluster, removed afterwards; and a server that follows a script."""

import re
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from domain.entry import Entry
from infra.elasticsearch.client import Cluster, ElasticsearchSettings, open_cluster
from infra.elasticsearch.fulltext_store import ElasticsearchFulltext
from infra.elasticsearch.metadata_store import ElasticsearchMetadata
from projections.fulltext import FULLTEXT
from projections.metadata import METADATA
from tests.infra.elasticsearch.scripted_server import ScriptedServer, scripted_server


@pytest.fixture
async def cluster(elasticsearch_url: str) -> AsyncIterator[Cluster]:
    """A connection for one test; its indices go with it."""
    prefix = f"test-{secrets.token_hex(4)}"
    async with open_cluster(ElasticsearchSettings(elasticsearch_url, prefix=prefix)) as cluster:
        yield cluster
        if names := await index_names(cluster):
            await cluster.call("clean up", lambda client: client.indices.delete(index=names))


@pytest.fixture
def metadata(cluster: Cluster) -> ElasticsearchMetadata:
    return ElasticsearchMetadata(cluster)


@pytest.fixture
def fulltext(cluster: Cluster) -> ElasticsearchFulltext:
    return ElasticsearchFulltext(cluster)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as server:
        yield server


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repetitions follow at once, so that a test may count them without waiting."""
    immediately: Callable[[float], float] = lambda delay_s: 0.0 * delay_s  # noqa: E731
    monkeypatch.setattr("infra.elasticsearch.client.jittered", immediately)
    monkeypatch.setattr("infra.elasticsearch.bulk.jittered", immediately)


async def index_names(cluster: Cluster, read_model: str = "") -> list[str]:
    """The indices of the test, of one read model or all."""
    pattern = f"{cluster.settings.prefix}-{read_model}*"
    found = await cluster.call("list indices", lambda client: client.indices.get_alias(index=pattern))
    return sorted(name for name in found if re.match(re.escape(cluster.settings.prefix), name))


def metadata_documents(*entries: Entry) -> list[dict[str, Any]]:
    return [METADATA.document(entry) for entry in entries]


def fulltext_documents(*entries: Entry) -> list[dict[str, Any]]:
    return [FULLTEXT.document(entry) for entry in entries]
