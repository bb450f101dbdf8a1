"""What the projections need from the outside: the log to read, and stores of documents with a checkpoint."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol
from uuid import UUID

from domain.recorded import Position, RecordedEvent


class EventLog(Protocol):
    """The log, as projectors read it; `commands.ports.EventStore` says what the methods promise."""

    async def read(
        self, after: Position, *, limit: int, until: Position | None = None
    ) -> Sequence[RecordedEvent]: ...

    async def head(self) -> Position: ...

    def subscribe(
        self, after: Position
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[RecordedEvent]]]: ...


class DocumentStore(Protocol):
    """Where one read model lives: documents by id, each with a version, and the checkpoint of their projector.

    A document is a JSON object; its `id` (UUID text) names it and its `sequence` (of the event that made it) is its
    version: a write of an older version is ignored, so repeats and stale writers are harmless.
    """

    async def checkpoint(self) -> Position:
        """The position up to which every event is applied; START for a new store, which this may make."""
        ...

    async def reached(self) -> Position:
        """The checkpoint, for somebody who only looks: nothing is made. START also where there is no store yet."""
        ...

    async def write(self, documents: Sequence[Mapping[str, Any]], checkpoint: Position) -> None:
        """Store documents durably and then (or in the same transaction) the checkpoint; visible when it returns."""
        ...

    async def fetch(self, ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, Any]]:
        """The newest stored documents of these ids, also ones that a search would not see yet."""
        ...

    def scan(self) -> AsyncIterator[Mapping[str, Any]]:
        """Every stored document, for verification."""
        ...

    async def reset(self) -> None:
        """Remove every document and the checkpoint."""
        ...
