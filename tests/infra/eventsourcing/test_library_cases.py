"""The library's test cases pass on every server: the embedded Valkey, the distribution's Redis, and in cluster mode."""

import unittest
from copy import deepcopy

import pytest

from infra.redis.valkey import ValkeyServer
from tests.infra.eventsourcing.cases import MODULE, all_tests


@pytest.mark.filterwarnings("always:'log' is deprecated")  # a test of the library asserts the warning
@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in all_tests().items()])
def test_case(
    case: unittest.TestCase, log_server: ValkeyServer, deployment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One test of the library, as it ships it."""
    monkeypatch.setenv("PERSISTENCE_MODULE", MODULE)
    monkeypatch.setenv("REDIS_URL", log_server.url)
    monkeypatch.setenv("REDIS_DEPLOYMENT", deployment)
    result = unittest.TestResult()
    # A copy, because the same case runs on each server.
    deepcopy(case).run(result)
    assert [trace for _, trace in result.errors + result.failures] == []
    assert (result.testsRun, result.skipped) == (1, [])
