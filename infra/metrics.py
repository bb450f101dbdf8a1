"""The program's metrics, for Prometheus.

One `Metrics` holds a registry of its own, made by the composition root and handed to whoever counts; nothing is
registered globally, so two applications in one process (as in tests) do not meet. Every label takes values from a
small fixed set: never a name, an id or a path that a caller chooses, because each value is a time series for ever.
"""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from domain.recorded import Position

# Bounds in seconds: from an in-memory read to the default deadline of a tool call (30 s) and beyond.
REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# An append is one round trip and one fsync: milliseconds on a good disk, a tenth of a second on a bad one.
APPEND_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    """All metrics of one application, each an attribute; the dashboard and the alert rules use their names."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter, gauge = self._counter, self._gauge
        self.requests = counter(
            "requests_total",
            "Requests that ended: ok, cancelled, internal_error, or the error's code.",
            ("operation", "transport", "outcome"),
        )
        self.request_duration_s = self._histogram(
            "request_duration_seconds",
            "From the envelope's arrival to its outcome.",
            REQUEST_SECONDS,
            ("operation", "transport"),
        )
        self.events_appended = counter(
            "events_appended_total", "Events that this process appended to the log."
        )
        self.append_duration_s = self._histogram(
            "append_duration_seconds",
            "One append to the log, with its fsync.",
            APPEND_SECONDS,
        )
        self.log_head = gauge("log_head", "Sequence of the last event that this process knows of.")
        self.projection_position = gauge(
            "projection_position", "Sequence of the last event applied.", ("projection",)
        )
        self.projection_lag_events = gauge(
            "projection_lag_events", "Events in the log that are not yet applied.", ("projection",)
        )
        self.projection_lag_s = gauge(
            "projection_lag_seconds",
            "Age of the oldest event not yet applied; 0 when caught up.",
            ("projection",),
        )
        self.projection_failures = counter(
            "projection_failures_total",
            "Batches or events that a projector could not apply.",
            ("projection",),
        )
        self.registry_position = gauge(
            "registry_position", "Sequence up to which the Tool Registry has read."
        )
        self.websocket_connections = gauge("websocket_connections", "Open WebSocket connections.")
        self.mcp_sessions = gauge("mcp_sessions", "Open MCP sessions (handshake era).")
        self.tool_calls = counter("tool_calls_total", "Tool calls that ended.", ("outcome",))
        self.tool_call_duration_s = self._histogram(
            "tool_call_duration_seconds",
            "From the registry's answer to the tool's result, error or deadline.",
            REQUEST_SECONDS,
        )

    def observe_request(self, operation: str, transport: str, outcome: str, seconds: float) -> None:
        """Count one request that ended; `outcome` is `ok`, `cancelled`, `internal_error` or the error's code."""
        self.requests.labels(operation, transport, outcome).inc()
        self.request_duration_s.labels(operation, transport).observe(seconds)

    def observe_tool_call(self, outcome: str, seconds: float) -> None:
        """Count one tool call that ended, also one that never reached its back end."""
        self.tool_calls.labels(outcome).inc()
        self.tool_call_duration_s.observe(seconds)

    def observe_append(self, events: int, seconds: float) -> None:
        """Count one append that this process wrote and the log acknowledged."""
        self.events_appended.inc(events)
        self.append_duration_s.observe(seconds)

    def render(self) -> tuple[bytes, str]:
        """The exposition of all metrics: body and content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _counter(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, meaning, labels, namespace="chronicle", registry=self.registry)

    def _gauge(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, meaning, labels, namespace="chronicle", registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> Histogram:
        return Histogram(
            name, meaning, labels, namespace="chronicle", registry=self.registry, buckets=buckets
        )


class RegistryGauges:
    """What the Tool Registry tells of itself; see `projections.registry.RegistryMetrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def position(self, position: Position) -> None:
        self._metrics.registry_position.set(position.sequence)
        self._metrics.log_head.set(position.sequence)

    def failed(self) -> None:
        self._metrics.projection_failures.labels("registry").inc()


class ProjectorGauges:
    """What projectors tell of themselves; see `projections.projector.ProjectorMetrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def position(self, projection: str, position: Position) -> None:
        self._metrics.projection_position.labels(projection).set(position.sequence)

    def lag(self, projection: str, events: int, seconds: float) -> None:
        self._metrics.projection_lag_events.labels(projection).set(events)
        self._metrics.projection_lag_s.labels(projection).set(seconds)

    def failed(self, projection: str) -> None:
        self._metrics.projection_failures.labels(projection).inc()
