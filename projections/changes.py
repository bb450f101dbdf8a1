"""Telling many readers what changed in the Tool Registry, with bounded memory for each of them.

A reader that falls behind by more than its bound gets, instead of every change, one change without `before` and
`after` for each kind and namespace that something changed in: it knows what to read again, and misses nothing.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager

import anyio

from domain.reads import Change

CHANGES_MAX = 1000
"""Changes that wait for one reader before they are drawn together."""


class ChangeFeed:
    """Hands every change to everyone who reads at the time."""

    def __init__(self, changes_max: int = CHANGES_MAX) -> None:
        self._changes_max = changes_max
        self._inboxes: set[_Inbox] = set()

    def publish(self, changes: Iterable[Change]) -> None:
        """Put the changes into every reader's inbox; never waits."""
        found = list(changes)
        if found:
            for inbox in self._inboxes:
                inbox.add(found)

    @contextmanager
    def reader(self) -> Iterator[AsyncIterator[Change]]:
        """The changes from now on."""
        inbox = _Inbox(self._changes_max)
        self._inboxes.add(inbox)
        try:
            yield inbox.changes()
        finally:
            self._inboxes.discard(inbox)


class _Inbox:
    def __init__(self, changes_max: int) -> None:
        self._changes_max = changes_max
        self._waiting: deque[Change] = deque()
        self._arrived = anyio.Event()

    def add(self, changes: Iterable[Change]) -> None:
        self._waiting.extend(changes)
        if len(self._waiting) > self._changes_max:
            scopes = dict.fromkeys((change.kind, change.namespace) for change in self._waiting)
            self._waiting = deque(Change(kind, namespace, None, None) for kind, namespace in scopes)
        self._arrived.set()

    async def changes(self) -> AsyncIterator[Change]:
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            self._arrived = anyio.Event()
            await self._arrived.wait()
