"""The queries over the projections and the log. Each names the operations that it stands for, and so its scopes."""

from typing import Annotated, Any, TypeVar

import strawberry

from api.graphql.caller import Info, field, given, moved, parse_id, target_of
from api.graphql.types import (
    ENTRY_TYPES,
    Connection,
    DefinitionKind,
    Entry,
    EventList,
    EventOrder,
    First,
    Namespace,
    Node,
    Prompt,
    Resource,
    SearchHit,
    SearchResult,
    Status,
    Tool,
    connection,
    entry_node,
    event_list,
)
from commands.catalogue_reader import EntryList
from commands.catalogue_reader import SearchResult as Found
from domain.errors import InvalidInput, NotFound
from domain.reads import PAGE_SIZE_DEFAULT

MinPosition = Annotated[
    str | None, strawberry.argument(description="Wait, at most 5 s, until this position is applied")
]
After = Annotated[str | None, strawberry.argument(description="Cursor of the page before")]

EntryT = TypeVar("EntryT", bound=Entry)

_KIND_OF: dict[type[Entry], str] = {type_: kind for kind, type_ in ENTRY_TYPES.items()}

_ARGUMENTS = {"limit": "first", "cursor": "after", "min_position": "minPosition"}


async def _ask(info: Info, operation: str, /, **arguments: Any) -> Any:
    try:
        return await info.context.handle(operation, given(**arguments))
    except InvalidInput as error:
        raise moved(error, _ARGUMENTS) from error


async def _get(
    info: Info,
    type_: type[EntryT],
    id_: str | None,
    namespace: str | None,
    key: str | None,
    min_position: str | None,
) -> EntryT | None:
    kind = _KIND_OF[type_]
    target = target_of(kind, id_, namespace, key)
    try:
        entry = await info.context.handle(f"{kind}.get", given(min_position=min_position), target=target)
    except InvalidInput as error:
        raise moved(error, _ARGUMENTS) from error
    except NotFound:
        return None
    return type_.of(entry)


async def _list(info: Info, type_: type[EntryT], /, **arguments: Any) -> Connection[EntryT]:
    page: EntryList = await _ask(info, f"{_KIND_OF[type_]}.list", **arguments)
    return connection(type_, page)


@strawberry.type
class Query:
    """What there is, what was found, what happened."""

    @field(
        "The entry of that id, whatever its kind; null if there is none that the key may read",
        *(f"{kind}.get" for kind in ENTRY_TYPES),
    )
    async def node(self, info: Info, id: strawberry.ID, min_position: MinPosition = None) -> Node | None:  # noqa: A002 - Relay's name
        """Kinds are asked one after the other, because an id does not tell its kind."""
        parse_id(id)
        operations = info.context.messages.operations
        for kind, type_ in ENTRY_TYPES.items():
            if operations[f"{kind}.get"].scope in info.context.principal.scopes:
                found = await _get(info, type_, id, None, None, min_position)
                if found is not None:
                    return found
        return None

    @field("One tool, by id or by namespace and key", "tool.get")
    async def tool(
        self,
        info: Info,
        id: strawberry.ID | None = None,  # noqa: A002 - GraphQL's name
        namespace: str | None = None,
        key: str | None = None,
        min_position: MinPosition = None,
    ) -> Tool | None:
        """Null if there is none."""
        return await _get(info, Tool, id, namespace, key, min_position)

    @field("One resource, by id or by namespace and key", "resource.get")
    async def resource(
        self,
        info: Info,
        id: strawberry.ID | None = None,  # noqa: A002 - GraphQL's name
        namespace: str | None = None,
        key: str | None = None,
        min_position: MinPosition = None,
    ) -> Resource | None:
        """Null if there is none."""
        return await _get(info, Resource, id, namespace, key, min_position)

    @field("One prompt, by id or by namespace and key", "prompt.get")
    async def prompt(
        self,
        info: Info,
        id: strawberry.ID | None = None,  # noqa: A002 - GraphQL's name
        namespace: str | None = None,
        key: str | None = None,
        min_position: MinPosition = None,
    ) -> Prompt | None:
        """Null if there is none."""
        return await _get(info, Prompt, id, namespace, key, min_position)

    @field("One namespace, by id or by its name", "namespace.get")
    async def namespace(
        self,
        info: Info,
        id: strawberry.ID | None = None,  # noqa: A002 - GraphQL's name
        namespace: str | None = None,
        min_position: MinPosition = None,
    ) -> Namespace | None:
        """Null if there is none."""
        return await _get(info, Namespace, id, namespace, None, min_position)

    @field("Tools, by pages", "tool.list")
    async def tools(
        self,
        info: Info,
        namespace: str | None = None,
        status: Status | None = None,
        first: First = PAGE_SIZE_DEFAULT,
        after: After = None,
        min_position: MinPosition = None,
    ) -> Connection[Tool]:
        """Every status, unless one is asked for."""
        return await _list(
            info,
            Tool,
            namespace=namespace,
            status=status,
            limit=first,
            cursor=after,
            min_position=min_position,
        )

    @field("Resources, by pages", "resource.list")
    async def resources(
        self,
        info: Info,
        namespace: str | None = None,
        status: Status | None = None,
        first: First = PAGE_SIZE_DEFAULT,
        after: After = None,
        min_position: MinPosition = None,
    ) -> Connection[Resource]:
        """Every status, unless one is asked for."""
        return await _list(
            info,
            Resource,
            namespace=namespace,
            status=status,
            limit=first,
            cursor=after,
            min_position=min_position,
        )

    @field("Prompts, by pages", "prompt.list")
    async def prompts(
        self,
        info: Info,
        namespace: str | None = None,
        status: Status | None = None,
        first: First = PAGE_SIZE_DEFAULT,
        after: After = None,
        min_position: MinPosition = None,
    ) -> Connection[Prompt]:
        """Every status, unless one is asked for."""
        return await _list(
            info,
            Prompt,
            namespace=namespace,
            status=status,
            limit=first,
            cursor=after,
            min_position=min_position,
        )

    @field("Namespaces, by pages", "namespace.list")
    async def namespaces(
        self,
        info: Info,
        first: First = PAGE_SIZE_DEFAULT,
        after: After = None,
        min_position: MinPosition = None,
    ) -> Connection[Namespace]:
        """Those that the caller may see."""
        return await _list(info, Namespace, limit=first, cursor=after, min_position=min_position)

    @field(
        "The best hits for words in names, descriptions, parameters and servers; any status for null",
        "catalogue.search",
    )
    async def search(
        self,
        info: Info,
        query: str,
        kinds: list[DefinitionKind] | None = None,
        namespace: str | None = None,
        status: Status | None = Status.ACTIVE,
        first: Annotated[int, strawberry.argument(description="How many at most, up to 100")] = 10,
        min_position: MinPosition = None,
    ) -> SearchResult:
        """Only what is active, unless another status is asked for."""
        value = given(query=query, kinds=kinds, namespace=namespace, limit=first, min_position=min_position)
        try:
            found: Found = await info.context.handle("catalogue.search", {**value, "status": status})
        except InvalidInput as error:
            raise moved(error, _ARGUMENTS) from error
        hits = [SearchHit(score=hit.score, node=entry_node(hit.entry)) for hit in found.hits]
        return SearchResult(hits=hits, position=str(found.position))

    @field("Events of the log after a position", "event.list")
    async def events(
        self,
        info: Info,
        namespace: str | None = None,
        subject: strawberry.ID | None = None,
        types: list[str] | None = None,
        actor: str | None = None,
        order: EventOrder = EventOrder.OLDEST_FIRST,
        first: First = PAGE_SIZE_DEFAULT,
        after: After = None,
    ) -> EventList:
        """All given conditions hold."""
        return event_list(
            await _ask(
                info,
                "event.list",
                namespace=namespace,
                subject=subject,
                types=types,
                actor=actor,
                order=order,
                limit=first,
                after=after,
            )
        )
