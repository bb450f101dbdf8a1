"""Storing many documents, each with its own version and its own verdict.

The version is the sequence of the event that made the document (`external_gte`): Elasticsearch refuses one that is
older than the stored one with 409, which is counted here; the same one again is stored again. So repeating is safe.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import orjson

from domain.errors import Unavailable
from infra.elasticsearch.client import (
    ATTEMPTS_MAX,
    REASON_LENGTH_MAX,
    RETRY_DELAY_S,
    RETRY_STATUS,
    Cluster,
    IndexRemoved,
    RequestRefused,
    error_type,
    jittered,
    reason_of,
)

BULK_DOCUMENTS_MAX = 500
BULK_BYTES_MAX = 8 * 1024 * 1024
"""Of one request; a single document that is larger goes alone (Elasticsearch's own bound is 100 MB)."""
REASONS_SHOWN_MAX = 3


@dataclass(frozen=True, slots=True)
class _Item:
    """One document as the bulk request wants it."""

    id: str
    lines: tuple[bytes, bytes]

    @property
    def size(self) -> int:
        return len(self.lines[0]) + len(self.lines[1])


async def store(cluster: Cluster, index: str, documents: Sequence[Mapping[str, Any]]) -> int:
    """Store the documents in `index`, which must be an alias, and answer how many were older than the stored ones.

    Durable when it returns (fsync of Elasticsearch's translog), not yet visible to searches. Raises RequestRefused
    naming documents and reasons after trying all of them, IndexRemoved and Unavailable.
    """
    older = 0
    refused: list[str] = []
    for chunk in _chunks([_item(document) for document in documents]):
        chunk_older, chunk_refused = await _store_chunk(cluster, index, chunk)
        older += chunk_older
        refused += chunk_refused
    if refused:
        shown = "; ".join(refused[:REASONS_SHOWN_MAX])
        more = f" and {len(refused) - REASONS_SHOWN_MAX} more" if len(refused) > REASONS_SHOWN_MAX else ""
        raise RequestRefused(
            f"Elasticsearch refused {len(refused)} of {len(documents)} documents: {shown}{more}."
        )
    return older


async def _store_chunk(cluster: Cluster, index: str, items: Sequence[_Item]) -> tuple[int, list[str]]:
    """How many were older, and a sentence for each refused document. Busy shards are tried again, a few times."""
    older = 0
    refused: list[str] = []
    delay_s = RETRY_DELAY_S
    for attempt in range(1, ATTEMPTS_MAX + 1):
        verdicts = await _send(cluster, index, items)
        busy: list[_Item] = []
        for item, verdict in zip(items, verdicts, strict=True):
            status = verdict["status"]
            if status == 409:
                older += 1
            elif status in RETRY_STATUS:
                busy.append(item)
            elif error_type(verdict) == "index_not_found_exception":
                raise IndexRemoved(f"The index behind '{index}' was replaced or deleted; nothing was stored.")
            elif status >= 300:
                refused.append(f"{item.id} ({status}, {reason_of(verdict)[:REASON_LENGTH_MAX]})")
        if not busy:
            return older, refused
        items = busy
        if attempt < ATTEMPTS_MAX:
            await anyio.sleep(jittered(delay_s))
            delay_s *= 2
    raise Unavailable(
        f"Elasticsearch at {cluster.settings.address} is too busy: it put off {len(items)} documents of '{index}' "
        f"{ATTEMPTS_MAX} times. They will be sent again."
    )


async def _send(cluster: Cluster, index: str, items: Sequence[_Item]) -> list[Mapping[str, Any]]:
    """One request; a verdict for each item, in order."""
    # Encoded here already; the client takes that as well, though its types do not say so.
    lines: list[Any] = [line for item in items for line in item.lines]
    answer = await cluster.call(
        f"store {len(items)} documents in '{index}'",
        lambda client: client.bulk(index=index, operations=lines, require_alias=True),
    )
    return [item["index"] for item in answer["items"]]


def _item(document: Mapping[str, Any]) -> _Item:
    action = {
        "index": {"_id": document["id"], "version": document["sequence"], "version_type": "external_gte"}
    }
    return _Item(document["id"], (orjson.dumps(action), orjson.dumps(document)))


def _chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    chunk: list[_Item] = []
    size = 0
    for item in items:
        if chunk and (len(chunk) == BULK_DOCUMENTS_MAX or size + item.size > BULK_BYTES_MAX):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += item.size
    if chunk:
        yield chunk
