"""Reading the catalogue from the projections: get, list and search, for people and for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from pydantic import Field

from commands.cursor import decode_cursor, encode_cursor
from commands.operations import Operation
from commands.ports import Catalogue, Freshness, Search
from commands.request import Context
from domain.definition import DefinitionModel
from domain.entry import DefinitionKind, Entry, Kind, Status
from domain.errors import NotFound
from domain.identity import NamespaceSlug, aggregate_id
from domain.principal import Scope
from domain.reads import (
    MIN_POSITION_WAIT_S,
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
    QUERY_LENGTH_MAX,
    SEARCH_SIZE_MAX,
    ListQuery,
    SearchHit,
    SearchQuery,
)
from domain.recorded import Position


class Read(DefinitionModel):
    """What every read may ask: to see at least a position, which a command answered."""

    min_position: str | None = Field(
        default=None, description="Wait until this position is applied, at most 5 s"
    )


class GetEntry(Read):
    """One definition or namespace: the request's target, or the one of this namespace and key."""

    namespace: NamespaceSlug | None = None
    key: str | None = Field(default=None, description="Name, URI or URI template")


class ListEntries(Read):
    """A page in the order of namespace and key."""

    namespace: NamespaceSlug | None = None
    status: Status | None = None
    limit: int = Field(default=PAGE_SIZE_DEFAULT, ge=1, le=PAGE_SIZE_MAX)
    cursor: str | None = None


class SearchCatalogue(Read):
    """Words to find in names, descriptions, parameters and servers."""

    query: str = Field(max_length=QUERY_LENGTH_MAX)
    kinds: list[DefinitionKind] = Field(default_factory=lambda: list(get_args(DefinitionKind)))
    namespace: NamespaceSlug | None = None
    status: Status | None = "active"
    limit: int = Field(default=10, ge=1, le=SEARCH_SIZE_MAX)


@dataclass(frozen=True, slots=True)
class EntryList:
    """A page of entries, the cursor of the next one, and the position that the read model stood at."""

    entries: Sequence[Entry]
    cursor: str | None
    position: Position


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best hits first, and the position that the read model stood at."""

    hits: Sequence[SearchHit]
    position: Position


class CatalogueReader:
    """Answers from the metadata and full-text read models, after the position that the caller must see."""

    def __init__(self, catalogue: Catalogue, search: Search, freshness: Freshness) -> None:
        self._catalogue = catalogue
        self._search = search
        self._freshness = freshness

    async def get(self, kind: Kind, context: Context, query: GetEntry) -> Entry:
        """One entry. Raises NotFound, also for what the caller may not see."""
        await self._wait("metadata", query)
        id_ = context.target
        if id_ is None and query.namespace is not None and query.key is not None:
            id_ = aggregate_id(kind, query.namespace, query.key)
        entry = await self._catalogue.get(context.visible, kind, id_) if id_ is not None else None
        if entry is None:
            raise NotFound(f"There is no {kind} {id_ if query.key is None else repr(query.key[:256])}.")
        return entry

    async def list_page(self, kind: Kind, context: Context, query: ListEntries) -> EntryList:
        """One page. Raises InvalidInput for a cursor that is none."""
        await self._wait("metadata", query)
        after = decode_cursor(query.cursor, 3) if query.cursor is not None else None
        page = await self._catalogue.list(
            context.visible.only(query.namespace),
            ListQuery((kind,), query.status, query.limit, after),  # type: ignore[arg-type]  # three parts, checked
        )
        last = page.entries[-1] if page.more else None
        cursor = encode_cursor(last.namespace, last.key, str(last.id)) if last else None
        return EntryList(page.entries, cursor, page.position)

    async def search(self, context: Context, query: SearchCatalogue) -> SearchResult:
        """The best hits for the words, among the kinds that the caller may read."""
        await self._wait("fulltext", query)
        kinds = tuple(kind for kind in query.kinds if f"{kind}s:read" in context.principal.scopes)
        answer = await self._search.search(
            context.visible.only(query.namespace),
            SearchQuery(query.query, kinds, query.status, query.limit),
        )
        return SearchResult(answer.hits, answer.position)

    def operations(self) -> list[Operation]:
        """The rows of reads."""
        rows = [
            Operation(
                "catalogue.search",
                "Search tools, resources and prompts",
                "query",
                "none",
                "tools:read",
                SearchCatalogue,
                self.search,
            )
        ]
        for kind in get_args(Kind):
            rows += self._rows(kind)
        return rows

    def _rows(self, kind: Kind) -> list[Operation]:
        scope: Scope = f"{kind}s:read"  # type: ignore[assignment]  # every kind has its read scope

        async def get(context: Context, query: GetEntry) -> Entry:
            return await self.get(kind, context, query)

        async def list_(context: Context, query: ListEntries) -> EntryList:
            return await self.list_page(kind, context, query)

        return [
            Operation(f"{kind}.get", f"One {kind}", "query", "existing", scope, GetEntry, get),
            Operation(
                f"{kind}.list", f"{kind.capitalize()}s, by pages", "query", "none", scope, ListEntries, list_
            ),
        ]

    async def _wait(self, read_model: str, query: Read) -> None:
        if query.min_position is not None:
            position = Position.parse(query.min_position, "/min_position")
            await self._freshness.wait_for(read_model, position, MIN_POSITION_WAIT_S)
