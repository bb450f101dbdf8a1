"""A factory on each server, and what looks at the server beside it."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from infra.redis.calls import Keys
from infra.redis.eventsourcing import RedisFactory
from infra.redis.valkey import ValkeyServer


@pytest.fixture
def settings(log_server: ValkeyServer, deployment: str) -> dict[str, str]:
    """The settings of a log that no other test uses."""
    return {"REDIS_URL": log_server.url, "REDIS_LOG": deployment}


@pytest.fixture
def keys(deployment: str) -> Keys:
    """The keys of that log."""
    return Keys(deployment)


@pytest.fixture
def factory(settings: dict[str, str]) -> Iterator[RedisFactory]:
    """A factory of recorders."""
    made = RedisFactory(settings)
    yield made
    made.close()


@pytest.fixture
def admin(log_server: ValkeyServer) -> Iterator[Any]:
    """A client for looking at the server and for breaking it. Untyped: its replies are known."""
    with Redis.from_url(log_server.url, protocol=2) as client:
        yield client
