"""What all tests share: the real Elasticsearch, the counts by group, and skips that are failures under CI.

Each directory below `tests` is a group; its own fixtures live in its own conftest.py.
"""

import os
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import elasticsearch_node

GROUPS = ("domain", "commands", "projections", "infra", "api", "end_to_end", "house")
REQUIRED_UNDER_CI = frozenset({"elasticsearch", "promtool", "redis7"})
TESTS = Path(__file__).parent

# A loaded two-core machine is slow now and then; pytest-timeout catches what hangs.
settings.register_profile("chronicle", deadline=None, print_blob=True)
settings.load_profile("chronicle")


def under_ci() -> bool:
    """Whether everything that CI must run has to run here."""
    return os.environ.get("CI", "").lower() in {"true", "1"}


def pytest_configure(config: pytest.Config) -> None:
    """Forget the developer's own settings of the program, so that tests see the defaults."""
    for name in [name for name in os.environ if name.startswith("CHRONICLE_")]:
        if not name.startswith("CHRONICLE_TEST_"):
            del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for the Elasticsearch is marked as needing it."""
    for item in items:
        if "elasticsearch_url" in getattr(item, "fixturenames", ()):
            item.add_marker("elasticsearch")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where CI must run the test, and note the test's groups."""
    report = yield
    marks = {mark.name for mark in item.iter_markers()}
    groups = [_group(item.path), *sorted(marks & REQUIRED_UNDER_CI)]
    report.user_properties = [*report.user_properties, *(("group", group) for group in groups)]
    required = marks & REQUIRED_UNDER_CI
    if under_ci() and report.skipped and required and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"CI must run every test marked {', '.join(sorted(required))}: {reason}"
    return report


def _group(path: Path) -> str:
    relative = path.relative_to(TESTS) if path.is_relative_to(TESTS) else Path("other")
    return relative.parts[0] if len(relative.parts) > 1 else "other"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line for each group: what CI's log must show."""
    counts: Counter[tuple[str, str]] = Counter()
    for outcome, key in (
        ("passed", "passed"),
        ("failed", "failed"),
        ("failed", "error"),
        ("skipped", "skipped"),
    ):
        for report in terminalreporter.stats.get(key, []):
            for name, group in getattr(report, "user_properties", []):
                counts[str(group), outcome] += name == "group"
    seen = {group for group, _ in counts}
    terminalreporter.section("tests by group")
    for group in (*GROUPS, *sorted(seen - set(GROUPS))):
        numbers = ", ".join(
            f"{outcome} {counts[group, outcome]}" for outcome in ("passed", "failed", "skipped")
        )
        terminalreporter.write_line(f"group {group}: {numbers}")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, which is what the program runs on."""
    return "asyncio"


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    """The URL of a real Elasticsearch: the one given, or one started here for the session.

    Under CI it is fetched when missing. Elsewhere a test that needs it is skipped unless the cache holds it.
    """
    given = os.environ.get("CHRONICLE_TEST_ELASTICSEARCH_URL")
    if given:
        yield given
        return
    reason = elasticsearch_node.why_not_ready()
    if reason and not under_ci():
        pytest.skip(reason)
    with elasticsearch_node.running_node() as url:
        yield url
