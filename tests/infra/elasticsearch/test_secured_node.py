"""Against a node with a password: credentials that are right and wrong, and what a SIGKILL leaves."""

import logging
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from domain.errors import Unavailable
from domain.principal import EVERY_NAMESPACE
from domain.reads import ListQuery
from domain.recorded import Position
from infra.elasticsearch.client import ElasticsearchSettings, open_cluster
from infra.elasticsearch.metadata_store import ElasticsearchMetadata
from tests.conftest import under_ci
from tests.infra.elasticsearch.conftest import metadata_documents
from tests.infra.elasticsearch.secured_node import PASSWORD, SecuredNode, secured_node
from tests.projections.entries import tool
from tests.support import elasticsearch_node

pytestmark = [pytest.mark.elasticsearch, pytest.mark.slow, pytest.mark.timeout(300)]

BATCHES = 20
BATCH_SIZE = 25


@pytest.fixture(scope="module")
def node() -> Iterator[SecuredNode]:
    """One node for the tests of this module; skipped where nothing is cached, except under CI."""
    reason = elasticsearch_node.why_not_ready()
    if reason and not under_ci():
        pytest.skip(reason)
    with secured_node() as node:
        yield node


def url_of(node: SecuredNode, password: str) -> str:
    return node.address.replace("http://", f"http://elastic:{quote(password, safe='')}@")


async def test_a_wrong_password_is_named_as_the_cause(
    node: SecuredNode, caplog: pytest.LogCaptureFixture
) -> None:
    """The message says what to check, and shows neither the password nor what was tried."""
    caplog.set_level(logging.DEBUG)
    async with open_cluster(ElasticsearchSettings(url_of(node, "falsch"))) as cluster:
        for request in (cluster.ping, ElasticsearchMetadata(cluster).checkpoint):
            with pytest.raises(Unavailable, match="does not accept our credentials") as caught:
                await request()
            assert node.address in caught.value.message
            assert "falsch" not in caught.value.message + caplog.text


async def test_acknowledged_documents_survive_sigkill(
    node: SecuredNode, caplog: pytest.LogCaptureFixture
) -> None:
    """What `write` returned for is there after a restart, checkpoint included; the password shows in no log."""
    caplog.set_level(logging.DEBUG)
    entries = [tool(f"tool-{n:04}", n) for n in range(1, BATCHES * BATCH_SIZE + 1)]
    async with open_cluster(ElasticsearchSettings(url_of(node, PASSWORD))) as cluster:
        metadata = ElasticsearchMetadata(cluster)
        for start in range(0, len(entries), BATCH_SIZE):
            batch = metadata_documents(*entries[start : start + BATCH_SIZE])
            await metadata.write(batch, Position(start + BATCH_SIZE, 1))
        node.kill()
        with pytest.raises(Unavailable, match="cannot be reached"):
            await cluster.ping()
        node.start()
        await cluster.ping()
        assert await metadata.checkpoint() == Position(len(entries), 1)
        assert set(await metadata.fetch([entry.id for entry in entries])) == {entry.id for entry in entries}
        page = await metadata.list(EVERY_NAMESPACE, ListQuery(("tool",), limit=len(entries)))
        assert [entry.key for entry in page.entries] == [entry.key for entry in entries]
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in caplog.text
