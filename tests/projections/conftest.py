"""A real event store for the tests of what follows the log, and metrics that remember."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from domain.recorded import Position
from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer


@pytest.fixture(scope="session")
async def valkey_server(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ValkeyServer]:
    """One log server for all tests, each under its own deployment name."""
    directory: Path = tmp_path_factory.mktemp("log")
    async with ValkeyServer(directory, "log", persistent=True) as server:
        yield server


@pytest.fixture
async def event_store(valkey_server: ValkeyServer) -> AsyncIterator[RedisEventStore]:
    """An empty event store."""
    async with RedisEventStore(valkey_server.url, f"test-{uuid4().hex}") as opened:
        yield opened


class RememberedMetrics:
    """What projectors and the registry told, for tests to look at."""

    def __init__(self) -> None:
        self.failures = 0
        self.last = Position(0, 0)
        self.lags: list[tuple[int, float]] = []

    def position(self, *values: object) -> None:
        """Both protocols end with the position."""
        position = values[-1]
        assert isinstance(position, Position)
        self.last = position

    def lag(self, projection: str, events: int, seconds: float) -> None:
        """See ProjectorMetrics."""
        self.lags.append((events, seconds))

    def failed(self, *_names: str) -> None:
        """Both protocols."""
        self.failures += 1


@pytest.fixture
def metrics() -> RememberedMetrics:
    """Nothing told yet."""
    return RememberedMetrics()
