"""A real Valkey for the session, and a store of its own name for each test."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer


@pytest.fixture(scope="session")
async def valkey_server(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ValkeyServer]:
    """One log server that all tests share, each under its own deployment name."""
    directory: Path = tmp_path_factory.mktemp("log server")
    async with ValkeyServer(directory, "log", persistent=True) as server:
        yield server


@pytest.fixture
def deployment() -> str:
    """A name that no other test uses."""
    return f"test-{uuid4().hex}"


@pytest.fixture
async def store(valkey_server: ValkeyServer, deployment: str) -> AsyncIterator[RedisEventStore]:
    """An empty event store."""
    async with RedisEventStore(valkey_server.url, deployment) as opened:
        yield opened
