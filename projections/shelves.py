"""Sorted shelves of the entries that are served: what makes a page of the Tool Registry cost no more than the page.

Entries stand in the order of (key, namespace), once on the shelf of all namespaces and once on their own. A shelf is
changed in place and read as a tuple that is made when somebody reads it after a change: readers keep what they hold.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from heapq import merge

from domain.entry import Entry, Kind
from domain.principal import NamespaceSet

MERGES_MAX = 64
"""Merged lists kept for principals with several namespaces; the one that was used longest ago goes."""


def order(entry: Entry) -> tuple[str, str]:
    """Where an entry stands on its shelf; unique, because an aggregate's id comes from namespace and key."""
    return entry.key, entry.namespace


class _Shelf:
    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._read: tuple[Entry, ...] | None = ()
        self.changes = 0

    def put(self, entry: Entry) -> None:
        place, found = self._find(entry)
        if found:
            self._entries[place] = entry
        else:
            self._entries.insert(place, entry)
        self._touch()

    def remove(self, entry: Entry) -> None:
        place, found = self._find(entry)
        if found:
            del self._entries[place]
            self._touch()

    def entries(self) -> tuple[Entry, ...]:
        if self._read is None:
            self._read = tuple(self._entries)
        return self._read

    def _find(self, entry: Entry) -> tuple[int, bool]:
        place = bisect_left(self._entries, order(entry), key=order)
        return place, place < len(self._entries) and order(self._entries[place]) == order(entry)

    def _touch(self) -> None:
        self._read = None
        self.changes += 1


class Shelves:
    """Everything that is served, by kind, namespace and key."""

    def __init__(self) -> None:
        self._all: dict[Kind, _Shelf] = {}
        self._own: dict[tuple[Kind, str], _Shelf] = {}
        self._named: dict[tuple[Kind, str], dict[str, Entry]] = {}
        self._merged: OrderedDict[tuple[Kind, frozenset[str]], tuple[int, tuple[Entry, ...]]] = OrderedDict()

    def put(self, entry: Entry) -> None:
        """Serve an entry, instead of its earlier state if there is one."""
        self._all.setdefault(entry.kind, _Shelf()).put(entry)
        self._own.setdefault((entry.kind, entry.namespace), _Shelf()).put(entry)
        self._named.setdefault((entry.kind, entry.key), {})[entry.namespace] = entry

    def remove(self, entry: Entry) -> None:
        """Serve an entry no more."""
        self._all[entry.kind].remove(entry)
        self._own[entry.kind, entry.namespace].remove(entry)
        same_key = self._named[entry.kind, entry.key]
        same_key.pop(entry.namespace, None)
        if not same_key:
            del self._named[entry.kind, entry.key]

    def served(self, visible: NamespaceSet, kind: Kind) -> Sequence[Entry]:
        """Every entry of a kind that may be seen, in the order of (key, namespace)."""
        if visible.every:
            shelf = self._all.get(kind)
            return shelf.entries() if shelf else ()
        shelves = [self._own[kind, name] for name in visible.names if (kind, name) in self._own]
        if len(shelves) <= 1:
            return shelves[0].entries() if shelves else ()
        return self._merge(visible.names, kind, shelves)

    def named(self, visible: NamespaceSet, kind: Kind, key: str) -> Sequence[Entry]:
        """The entries of one key that may be seen, in the order of their namespaces."""
        same_key = self._named.get((kind, key), {})
        return [same_key[namespace] for namespace in sorted(same_key) if namespace in visible]

    def scopes(self) -> set[tuple[Kind, str]]:
        """Every pair of kind and namespace that something was ever served of."""
        return set(self._own)

    def _merge(self, names: frozenset[str], kind: Kind, shelves: Sequence[_Shelf]) -> tuple[Entry, ...]:
        # Every shelf only counts up and none goes, so an equal sum means that nothing changed.
        stamp = sum(shelf.changes for shelf in shelves)
        known = self._merged.pop((kind, names), None)
        if known is None or known[0] != stamp:
            known = stamp, tuple(merge(*(shelf.entries() for shelf in shelves), key=order))
        self._merged[kind, names] = known
        if len(self._merged) > MERGES_MAX:
            self._merged.popitem(last=False)
        return known[1]
