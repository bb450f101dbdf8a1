"""Entries as JSON, and the documents that read models store: the same on every engine.

A document is an entry with the few fields beside it that queries filter and sort by. `sequence` (of the event that
made the entry) is its version. The values are JSON-ready for orjson; `entry_from_json(entry_to_json(e)) == e`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.entry import Entry, Proposal
from domain.recorded import Position


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A read model: its name, and how an entry becomes its document.

    A store that holds documents of another `schema_version` is emptied and filled again.
    """

    name: str
    schema_version: int
    document: Callable[[Entry], dict[str, Any]]


def entry_document(entry: Entry) -> dict[str, Any]:
    """The entry with the fields that every read model filters by."""
    return {
        "id": str(entry.id),
        "sequence": entry.position.sequence,
        "epoch": entry.position.epoch,
        "kind": entry.kind,
        "namespace": entry.namespace,
        "key": entry.key,
        "status": entry.status,
        "server": entry.provenance.get("server", ""),
        "entry": entry_to_json(entry),
    }


def entry_to_json(entry: Entry) -> dict[str, Any]:
    """The entry as a JSON object; the definitions are the entry's own objects, not copies."""
    return {
        "id": str(entry.id),
        "kind": entry.kind,
        "namespace": entry.namespace,
        "key": entry.key,
        "version": entry.version,
        "position": str(entry.position),
        "revision": entry.revision,
        "served_revision": entry.served_revision,
        "definition": entry.definition,
        "definition_hash": entry.definition_hash,
        "enabled": entry.enabled,
        "retired": entry.retired,
        "created_at": entry.created_at.isoformat(),
        "updated_at": entry.updated_at.isoformat(),
        "updated_by": entry.updated_by,
        "provenance": entry.provenance,
        "proposals": [
            {"revision": p.revision, "definition": p.definition, "definition_hash": p.definition_hash}
            for p in entry.proposals
        ],
    }


def entry_from_json(value: Mapping[str, Any]) -> Entry:
    """The entry that `entry_to_json` wrote. Raises KeyError, TypeError and ValueError for anything else."""
    return Entry(
        id=UUID(value["id"]),
        kind=value["kind"],
        namespace=value["namespace"],
        key=value["key"],
        version=value["version"],
        position=Position.parse(value["position"]),
        revision=value["revision"],
        served_revision=value["served_revision"],
        definition=value["definition"],
        definition_hash=value["definition_hash"],
        enabled=value["enabled"],
        retired=value["retired"],
        created_at=datetime.fromisoformat(value["created_at"]),
        updated_at=datetime.fromisoformat(value["updated_at"]),
        updated_by=value["updated_by"],
        provenance=value["provenance"],
        proposals=tuple(
            Proposal(p["revision"], p["definition"], p["definition_hash"]) for p in value["proposals"]
        ),
    )
