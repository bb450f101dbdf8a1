"""An event as it leaves the product: a CloudEvents 1.0 object, the same on every transport.

Source: CloudEvents 1.0.2 with its sequence and partitioning extensions; extension names hold only [a-z0-9].
"""

from typing import Any

from domain.recorded import RecordedEvent

TYPE_PREFIX = "io.mcp-chronicle."
_OWN_FIELDS = frozenset({"originator_id", "originator_version", "timestamp", "originator_topic"})


def event_view(recorded: RecordedEvent) -> dict[str, Any]:
    """The event with its envelope. `sequence` is its position, to resume after; `time` is the server's."""
    envelope = recorded.envelope
    class_version = getattr(type(recorded.event), "class_version", 1)
    view: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(recorded.event_id),
        "source": f"/chronicle/{envelope.namespace}",
        "type": f"{TYPE_PREFIX}{recorded.name}.v{class_version}",
        "subject": str(recorded.aggregate_id),
        "time": recorded.recorded_at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "sequence": str(recorded.position),
        "partitionkey": str(recorded.aggregate_id),
        "namespace": envelope.namespace,
        "aggregateversion": recorded.version,
        "actor": envelope.actor,
        "reason": envelope.reason,
        "commandid": envelope.command_id,
        "correlationid": envelope.correlation_id,
        "causationid": envelope.causation_id,
        "traceparent": envelope.traceparent,
        "data": {name: value for name, value in vars(recorded.event).items() if name not in _OWN_FIELDS},
    }
    return {name: value for name, value in view.items() if value != ""}
