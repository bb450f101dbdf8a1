"""The files for operating the program fit the program and the tools that will read them."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from domain.errors import ChronicleError
from infra.metrics import Metrics

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "infra" / "monitoring"
DEPLOY = ROOT / "infra" / "deploy"
# What Prometheus itself adds to every scrape.
SCRAPE_LABELS = {"job", "instance"}


def alert_expressions() -> Iterator[tuple[str, str]]:
    """Name and expression of every alert."""
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def dashboard() -> dict[str, Any]:
    """The Grafana dashboard."""
    loaded: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    return loaded


def dashboard_expressions() -> Iterator[tuple[str, str]]:
    """Title and expression of every panel's every query."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def exported() -> dict[str, set[str]]:
    """Every series name that the program exports, with its labels."""
    series: dict[str, set[str]] = {"up": set()}
    for collector in vars(Metrics()).values():
        if not hasattr(collector, "describe"):
            continue
        labels = set(collector._labelnames)
        for family in collector.describe():
            if family.type == "histogram":
                series[f"{family.name}_bucket"] = labels | {"le"}
                series |= {f"{family.name}_{part}": labels for part in ("sum", "count")}
            else:
                series[family.name + ("_total" if family.type == "counter" else "")] = labels
    return series


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """Every series selector of an expression, which must be valid PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: object) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


EXPRESSIONS = [
    *(pytest.param(expr, id=f"alert {name}") for name, expr in alert_expressions()),
    *(pytest.param(expr, id=f"panel {title}") for title, expr in dashboard_expressions()),
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_asks_for_series_that_the_program_exports(expression: str) -> None:
    """An alert on a metric that nobody exports never fires, and says nothing about it."""
    series = exported()
    asked = selectors(expression)
    assert asked
    for selector in asked:
        assert selector.name in series
        labels = series[selector.name] | SCRAPE_LABELS
        assert {matcher.name for matcher in selector.matchers.matchers} <= labels
    grouped = {label for by in re.findall(r"by \(([^)]*)\)", expression) for label in re.split(r",\s*", by)}
    assert grouped <= set().union(*(series[str(selector.name)] for selector in asked)) | SCRAPE_LABELS


def test_the_outcomes_that_expressions_select_exist() -> None:
    """A misspelt outcome selects nothing, so its alert would never fire."""
    known = {"ok", "cancelled", "internal_error", "tool_error", "invalid_arguments"}
    waiting = [ChronicleError]
    while waiting:
        error = waiting.pop()
        known.add(error.code)
        waiting += error.__subclasses__()
    selected = {
        value
        for _, expression in [*alert_expressions(), *dashboard_expressions()]
        for selector in selectors(expression)
        for matcher in selector.matchers.matchers
        if matcher.name == "outcome"
        for value in matcher.value.split("|")
    }
    assert selected
    assert selected <= known


def test_every_metric_is_shown_or_alerted_on() -> None:
    """A metric that no panel and no alert reads is a cost without a use."""
    expressions = " ".join(expr for _, expr in [*alert_expressions(), *dashboard_expressions()])
    names = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in exported()}
    assert sorted(name for name in names if name not in expressions) == []


def test_the_metrics_render_in_the_format_that_prometheus_reads() -> None:
    """A counted request appears with its labels, under the name that the rules use."""
    metrics = Metrics()
    metrics.observe_request("tool.get", "rest", "ok", 0.004)
    body, content_type = metrics.render()
    line = b'chronicle_requests_total{operation="tool.get",outcome="ok",transport="rest"} 1.0'
    assert line in body.splitlines()
    assert content_type.startswith("text/plain")


def test_two_applications_in_one_process_count_apart() -> None:
    """Nothing is registered globally."""
    first, second = Metrics(), Metrics()
    first.events_appended.inc()
    assert b"chronicle_events_appended_total 0.0" in second.render()[0]


def test_every_alert_has_a_unit_test() -> None:
    """A rule that was never seen to fire is a guess."""
    tests = yaml.safe_load((MONITORING / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {rule["alertname"] for test in tests for rule in test["alert_rule_test"] if rule["exp_alerts"]}
    assert {name for name, _ in alert_expressions()} == fired


@pytest.mark.promtool
@pytest.mark.parametrize(
    "arguments", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")]
)
def test_promtool_accepts_the_rules_and_their_tests(arguments: tuple[str, ...]) -> None:
    """The same program that Prometheus is built with reads the rules and runs their unit tests."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing; on Debian it comes with: apt install prometheus")
    done = subprocess.run([promtool, *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_reads_the_provisioned_data_source() -> None:
    """Panels name the data source by the identifier that the provisioning file gives it, and ids are unique."""
    path = MONITORING / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    provisioned = {
        source["uid"] for source in yaml.safe_load(path.read_text(encoding="utf-8"))["datasources"]
    }
    panels = dashboard()["panels"]
    used = {target["datasource"]["uid"] for panel in panels for target in panel.get("targets", [])}
    assert used == provisioned
    assert len({panel["id"] for panel in panels}) == len(panels)


def beside_python(program: str) -> str:
    """A program that a development dependency brought along."""
    return str(Path(sys.executable).parent / program)


def test_hadolint_accepts_the_dockerfile() -> None:
    """Known mistakes in images are found before an image is built."""
    command = [beside_python("hadolint"), "--failure-threshold", "info", str(DEPLOY / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def composed() -> dict[str, Any]:
    """The compose file as Compose itself understands it."""
    command = [
        beside_python("docker-compose"),
        "-f",
        str(DEPLOY / "compose.yml"),
        "config",
        "--format",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def test_compose_runs_the_log_server_so_that_no_event_is_lost() -> None:
    """The settings that the program checks at start are the ones that the compose file gives."""
    services = composed()["services"]
    log = " ".join(services["log"]["command"])
    assert "--appendonly yes" in log
    assert "--appendfsync always" in log
    assert "--maxmemory-policy noeviction" in log
    assert "--maxmemory-policy volatile-lru" in " ".join(services["cache"]["command"])
    environment = services["chronicle"]["environment"]
    assert environment["CHRONICLE_REDIS_URL"] != environment["CHRONICLE_CACHE_URL"]


def test_what_compose_mounts_from_the_checkout_exists() -> None:
    """A mount of a missing file becomes an empty folder, without a word."""
    mounts = [mount for service in composed()["services"].values() for mount in service.get("volumes", [])]
    sources = [Path(mount["source"]) for mount in mounts if mount["type"] == "bind"]
    assert sources
    assert [source for source in sources if not source.exists()] == []
