"""What the commands need from the outside, as protocols. Adapters live in `infra/`, wired in `infra/bootstrap.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from domain.entry import Entry, Kind
from domain.namespace import NamespacePolicy
from domain.principal import NamespaceSet
from domain.reads import Change, EntryPage, ListQuery, SearchAnswer, SearchQuery
from domain.recorded import Append, Appended, IdempotencyClaim, Position, RecordedEvent


class EventStore(Protocol):
    """The log: one gapless stream of events, appended to under expected versions."""

    async def append(self, append: Append) -> Appended:
        """Append all events of `append`, or none.

        Raises VersionConflict, IdempotencyMismatch, LimitExceeded, Unavailable (not written) and OutcomeUnknown.
        """
        ...

    async def recall(self, claim: IdempotencyClaim) -> Appended | None:
        """What an earlier append with this claim did, None if there was none. Raises IdempotencyMismatch."""
        ...

    async def load(self, aggregate_id: UUID, *, version_max: int | None = None) -> Sequence[RecordedEvent]:
        """The aggregate's events in order, up to and including `version_max`; empty if there are none."""
        ...

    async def read(
        self, after: Position, *, limit: int, until: Position | None = None
    ) -> Sequence[RecordedEvent]:
        """Up to `limit` events after a position, in order. Raises HistoryChanged if `after` is not of this log."""
        ...

    async def read_backwards(self, before: Position | None, *, limit: int) -> Sequence[RecordedEvent]:
        """Up to `limit` events before a position (None: from the end), newest first."""
        ...

    async def head(self) -> Position:
        """The position of the last event, START if there is none."""
        ...

    def subscribe(
        self, after: Position
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[RecordedEvent]]]:
        """Batches of events after a position, past ones first, then each as it is appended.

        The iterator yields an empty batch once when it has caught up with the head that it saw at the start, raises
        HistoryChanged where the log is not the one that was read before, and LimitExceeded if the reader is too slow.
        """
        ...


class Catalogue(Protocol):
    """The metadata read model: definitions and namespaces, whatever their status. Filters inside the query."""

    async def get(self, visible: NamespaceSet, kind: Kind, entry_id: UUID) -> Entry | None:
        """The entry, None if there is none or it may not be seen."""
        ...

    async def list(self, visible: NamespaceSet, query: ListQuery) -> EntryPage:
        """A page of entries in the order of (namespace, key, id)."""
        ...


class Search(Protocol):
    """The full-text read model. Filters inside the query: what may not be seen is not ranked and not counted."""

    async def search(self, visible: NamespaceSet, query: SearchQuery) -> SearchAnswer:
        """The best hits for the words of the query."""
        ...


class Freshness(Protocol):
    """How far each read model is: for reads that must see a certain position."""

    async def wait_for(self, read_model: str, position: Position, timeout_s: float) -> None:
        """Return when the read model has applied the position. Raises DeadlineExceeded after `timeout_s`."""
        ...


class Registry(Protocol):
    """The live catalogue in memory: what is served now. Never asks a search engine; lists are sorted by key."""

    @property
    def position(self) -> Position:
        """The position up to which the registry is filled."""
        ...

    def served(self, visible: NamespaceSet, kind: Kind) -> Sequence[Entry]:
        """Active entries of one kind in the order of (key, namespace)."""
        ...

    def named(self, visible: NamespaceSet, kind: Kind, key: str) -> Sequence[Entry]:
        """Active entries of that key, one for each namespace that has it, in the order of the namespaces."""
        ...

    def entry(self, visible: NamespaceSet, entry_id: UUID) -> Entry | None:
        """An entry of any status by id."""
        ...

    def namespace(self, visible: NamespaceSet, name: str) -> NamespacePolicy | None:
        """The policy of a namespace, None if there is none or it may not be seen."""
        ...

    async def wait_for(self, position: Position, timeout_s: float) -> None:
        """Return when the registry has applied the position. Raises DeadlineExceeded after `timeout_s`."""
        ...

    def changes(self) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Entries whose served content or visibility changed, after the registry has them. Bounded; see `Change`."""
        ...


@dataclass(frozen=True, slots=True)
class RemoteResponse:
    """What a remote endpoint answered; `body` is complete and within the size bound."""

    status: int
    content_type: str
    body: bytes


class RemoteClient(Protocol):
    """The guarded HTTP client: addresses are checked after resolution, redirects again, size and time are bounded."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None,
        timeout_s: float,
        private_hosts: Sequence[str],
    ) -> RemoteResponse:
        """One request. Raises RemoteFailure, with a message that is fit for the caller and holds no secret."""
        ...


class Secrets(Protocol):
    """Where `secret://name` references are resolved, at the moment of a call."""

    def resolve(self, text: str) -> str:
        """`text` with each reference replaced. Raises RemoteFailure naming the first reference that is unknown."""
        ...


class RequestMetrics(Protocol):
    """Where outcomes are counted. `outcome` is `ok`, an error's code, `cancelled` or `internal_error`."""

    def observe_request(self, operation: str, transport: str, outcome: str, seconds: float) -> None:
        """One request of any transport."""
        ...

    def observe_tool_call(self, outcome: str, seconds: float) -> None:
        """One tool call: `ok`, `tool_error`, `invalid_arguments` or `remote_failure`."""
        ...
