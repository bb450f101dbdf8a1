"""Entries for tests, as the fold would make them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.canonical import definition_hash
from domain.entry import Entry, Kind
from domain.identity import aggregate_id
from domain.recorded import Position

DAY = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)


def tool(
    name: str, sequence: int, *, namespace: str = "default", server: str = "", **definition: Any
) -> Entry:
    """A tool that was registered at `sequence` and is served."""
    content = {
        "name": name,
        "input_schema": {"type": "object", "properties": {}},
        "binding": {"type": "unbound"},
        **definition,
    }
    return entry("tool", name, content, sequence, namespace=namespace, server=server)


def entry(
    kind: Kind,
    key: str,
    definition: dict[str, Any],
    sequence: int,
    *,
    namespace: str = "default",
    server: str = "",
) -> Entry:
    """An entry of any kind that began at `sequence` and is served."""
    at = DAY + timedelta(seconds=sequence)
    return Entry(
        id=aggregate_id(kind, namespace, key),
        kind=kind,
        namespace=namespace,
        key=key,
        version=1,
        position=Position(sequence, 1),
        revision=1,
        served_revision=1,
        definition=definition,
        definition_hash=definition_hash(definition),
        enabled=True,
        retired=False,
        created_at=at,
        updated_at=at,
        updated_by="alice",
        provenance={"server": server} if server else {},
    )


def later(before: Entry, sequence: int, **changes: Any) -> Entry:
    """The entry after one more event, at `sequence`."""
    at = DAY + timedelta(seconds=sequence)
    position = Position(sequence, before.position.epoch)
    return replace(before, version=before.version + 1, position=position, updated_at=at, **changes)
