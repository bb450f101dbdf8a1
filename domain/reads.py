"""What reads ask and answer, the same on every engine and every transport."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.entry import Entry, Kind, Status
from domain.recorded import Position

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 200
SEARCH_SIZE_MAX = 100
QUERY_LENGTH_MAX = 2000
MIN_POSITION_WAIT_S = 5.0
"""How long a read waits for the position that it must see, before it says that what it reads is behind."""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Entries in the order of (namespace, key, id). `after` is the triple of the last one of the page before."""

    kinds: tuple[Kind, ...]
    status: Status | None = None
    limit: int = PAGE_SIZE_DEFAULT
    after: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class EntryPage:
    """A page of entries, whether more follow, and the position that the read model stood at."""

    entries: Sequence[Entry]
    more: bool
    position: Position


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """Words to look for in names, descriptions, parameters and servers."""

    text: str
    kinds: tuple[Kind, ...]
    status: Status | None = "active"
    limit: int = 10


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One entry found; a higher score fits better, and scores compare within one answer only."""

    entry: Entry
    score: float


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The best hits first, and the position that the read model stood at."""

    hits: Sequence[SearchHit]
    position: Position


@dataclass(frozen=True, slots=True)
class Change:
    """An entry before and after an event that changed what clients see; None where it is not served.

    With neither, something of this kind and namespace changed, and the details were drawn together or are not known.
    """

    kind: Kind
    namespace: str
    before: Entry | None
    after: Entry | None
