"""Real servers for the session, and a store of its own name for each test."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer
from tests.infra.redis.servers import ClusterNode, redis_binary

SERVERS = (
    "embedded_server",
    pytest.param("redis7_server", marks=pytest.mark.redis7),
    "cluster_server",
)
"""The servers that the event store has to run on, by their fixtures, as parameters of a fixture or test."""


@pytest.fixture(scope="session")
async def embedded_server(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ValkeyServer]:
    """One log server that all tests share, each under its own deployment name."""
    directory: Path = tmp_path_factory.mktemp("log server")
    async with ValkeyServer(directory, "log", persistent=True) as server:
        yield server


@pytest.fixture
def valkey_server(embedded_server: ValkeyServer) -> ValkeyServer:
    """The embedded server. A module that has to pass on every server puts `log_server` in its place."""
    return embedded_server


@pytest.fixture(scope="session")
async def redis7_server(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ValkeyServer]:
    """The distribution's Redis, if it is installed."""
    binary = redis_binary()
    if binary is None:
        pytest.skip("There is no redis-server of Redis itself on PATH: apt-get install redis-server.")
    directory: Path = tmp_path_factory.mktemp("redis server")
    async with ValkeyServer(directory, "log", persistent=True, binary=binary) as server:
        yield server


@pytest.fixture(scope="session")
async def cluster_server(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ValkeyServer]:
    """A cluster of one node, which refuses calls whose keys do not share their hash tag."""
    directory: Path = tmp_path_factory.mktemp("cluster node")
    async with ClusterNode(directory, "log", persistent=True) as server:
        await server.take_all_slots()
        yield server


@pytest.fixture(params=SERVERS)
def log_server(request: pytest.FixtureRequest) -> ValkeyServer:
    """Each of the servers in turn."""
    server: ValkeyServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def deployment() -> str:
    """A name that no other test uses."""
    return f"test-{uuid4().hex}"


@pytest.fixture
async def store(valkey_server: ValkeyServer, deployment: str) -> AsyncIterator[RedisEventStore]:
    """An empty event store."""
    async with RedisEventStore(valkey_server.url, deployment) as opened:
        yield opened
