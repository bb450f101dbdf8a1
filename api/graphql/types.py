"""The types of what is read: entries as Relay nodes, events, hits, and their pages."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Generic, Self, TypeVar, cast

import strawberry
from strawberry.scalars import JSON

from api.graphql.caller import Info, field, moved, parse_id
from commands.audit import EventPage
from commands.catalogue_reader import EntryList
from commands.cursor import encode_cursor
from domain.entry import Entry as CatalogueEntry
from domain.errors import Fault, InvalidInput
from domain.reads import PAGE_SIZE_MAX

HISTORY_SIZE_DEFAULT = 20

First = Annotated[int, strawberry.argument(description=f"How many at most, up to {PAGE_SIZE_MAX}")]


@strawberry.enum(description="What kind of thing an entry is")
class Kind(StrEnum):
    """See `domain.entry.Kind`."""

    TOOL = "tool"
    RESOURCE = "resource"
    PROMPT = "prompt"
    NAMESPACE = "namespace"


@strawberry.enum(description="What can be searched for")
class DefinitionKind(StrEnum):
    """See `domain.entry.DefinitionKind`."""

    TOOL = "tool"
    RESOURCE = "resource"
    PROMPT = "prompt"


@strawberry.enum(description="Only what is active is served to agents")
class Status(StrEnum):
    """See `domain.entry.Status`."""

    ACTIVE = "active"
    PROPOSED = "proposed"
    DISABLED = "disabled"
    RETIRED = "retired"


@strawberry.enum(description="Order of events in the log")
class EventOrder(StrEnum):
    """See `commands.audit.ListEvents`."""

    OLDEST_FIRST = "oldest_first"
    NEWEST_FIRST = "newest_first"


@strawberry.type(description="About a page: whether more follow, and where")
class PageInfo:
    """Relay's PageInfo; lists are read forwards only."""

    has_next_page: bool
    end_cursor: str | None
    start_cursor: str | None
    has_previous_page: bool = False


NodeT = TypeVar("NodeT")
EntryT = TypeVar("EntryT", bound="Entry")


@strawberry.type(description="A node and its cursor")
class Edge(Generic[NodeT]):
    """Relay's edge."""

    cursor: str
    node: NodeT


@strawberry.type(description="A page in the order of namespace and key")
class Connection(Generic[NodeT]):
    """Relay's connection; `position` is where the read model stood."""

    edges: list[Edge[NodeT]]
    page_info: PageInfo
    position: str

    @field("The nodes of the edges")
    def nodes(self) -> list[NodeT]:
        """The same without cursors."""
        return [edge.node for edge in self.edges]


@strawberry.type(description="One event of the log, with the attributes of CloudEvents 1.0")
class Event:
    """See `commands/event_view.py`; `position` is the event's `sequence`."""

    id: strawberry.ID
    type: str
    source: str
    subject: strawberry.ID
    time: str
    position: str
    namespace: str | None
    aggregate_version: int
    actor: str | None
    reason: str | None
    command_id: str | None
    correlation_id: str | None
    causation_id: str | None
    traceparent: str | None
    data: JSON


@strawberry.type(description="Events, and the cursor to go on after; none at the end")
class EventList:
    """A page may be short of `first` and still not be the last one: its cursor says."""

    nodes: list[Event]
    cursor: str | None


@strawberry.type(description="A revision that waits for approval")
class Proposal:
    """See `domain.entry.Proposal`."""

    revision: int
    definition: JSON
    definition_hash: str


@strawberry.interface(description="Something with an id that is its own in the whole product")
class Node:
    """Relay's Node. Ids are the same as in REST and in the events."""

    id: strawberry.ID


@strawberry.interface(description="What the catalogue says of one definition or namespace")
class Entry(Node):
    """See `domain.entry.Entry`."""

    kind: Kind
    namespace: str
    key: str = strawberry.field(description="Name, URI or URI template")
    status: Status
    version: int = strawberry.field(description="What a change is based on: expectedVersion")
    revision: int
    served_revision: int | None
    definition: JSON | None = strawberry.field(
        description="What clients see, as in REST; null before approval"
    )
    definition_hash: str | None
    enabled: bool
    retired: bool
    created_at: datetime
    updated_at: datetime
    updated_by: str
    position: str
    provenance: JSON = strawberry.field(description="Where the definition was found")
    proposals: list[Proposal]

    @field("Its events, oldest first", "event.history")
    async def history(
        self, info: Info, first: First = HISTORY_SIZE_DEFAULT, after: str | None = None
    ) -> EventList:
        """Reads the log; the cost of a query bounds how often."""
        if after is not None and not (after.isascii() and after.isdigit() and len(after) < 10):
            message = "This is not a cursor of a history. Use the one that the page before gave you."
            raise InvalidInput(message, [Fault("/after", message)])
        try:
            page = await info.context.handle(
                "event.history",
                {"limit": first, "after_version": int(after or 0)},
                target=parse_id(str(self.id)),
            )
        except InvalidInput as error:
            raise moved(error, {"limit": "first"}) from error
        return event_list(page)

    @classmethod
    def of(cls, entry: CatalogueEntry) -> Self:
        """The entry as this type; `described` also shows what only waits for approval, as `definition` does not."""
        described = entry.described
        defaults = {"name": entry.key} if entry.kind != "resource" else {}
        return cls(
            id=strawberry.ID(str(entry.id)),
            kind=Kind(entry.kind),
            namespace=entry.namespace,
            key=entry.key,
            status=Status(entry.status),
            version=entry.version,
            revision=entry.revision,
            served_revision=entry.served_revision,
            definition=cast(JSON | None, entry.definition),
            definition_hash=entry.definition_hash,
            enabled=entry.enabled,
            retired=entry.retired,
            created_at=entry.created_at,
            updated_at=entry.updated_at,
            updated_by=entry.updated_by,
            position=str(entry.position),
            provenance=cast(JSON, entry.provenance),
            proposals=[
                Proposal(
                    revision=proposal.revision,
                    definition=cast(JSON, proposal.definition),
                    definition_hash=proposal.definition_hash,
                )
                for proposal in entry.proposals
            ],
            # The fields that a subclass adds are called as in the definition.
            **{name: described.get(name, defaults.get(name)) for name in cls.__annotations__},
        )


_WAITING = "Of the served revision, or while there is none of the newest proposal, if there is one"


@strawberry.type(description=f"A tool. {_WAITING}: name to binding.")
class Tool(Entry):
    """See `domain.tool.ToolDefinition`."""

    name: str
    title: str | None
    description: str | None
    input_schema: JSON | None
    output_schema: JSON | None
    annotations: JSON | None
    binding: JSON | None


@strawberry.type(description=f"A resource. {_WAITING}: uri to binding.")
class Resource(Entry):
    """See `domain.resource.ResourceDefinition`."""

    uri: str | None
    uri_template: str | None
    name: str | None
    title: str | None
    description: str | None
    mime_type: str | None
    annotations: JSON | None
    binding: JSON | None


@strawberry.type(description=f"A prompt. {_WAITING}: name to messages.")
class Prompt(Entry):
    """See `domain.prompt.PromptDefinition`."""

    name: str
    title: str | None
    description: str | None
    arguments: JSON | None
    messages: JSON | None


@strawberry.type(description="A namespace: the tenant that owns definitions")
class Namespace(Entry):
    """See `domain.namespace.NamespaceDefinition`."""

    name: str
    description: str | None
    policy: JSON | None


@strawberry.type(description="An entry found; a higher score fits better, within one answer only")
class SearchHit:
    """See `domain.reads.SearchHit`."""

    score: float
    node: Entry


@strawberry.type(description="The best hits first")
class SearchResult:
    """See `commands.catalogue_reader.SearchResult`."""

    hits: list[SearchHit]
    position: str


ENTRY_TYPES: dict[str, type[Entry]] = {
    "tool": Tool,
    "resource": Resource,
    "prompt": Prompt,
    "namespace": Namespace,
}


def entry_node(entry: CatalogueEntry) -> Entry:
    """The entry as the type of its kind."""
    return ENTRY_TYPES[entry.kind].of(entry)


def connection(type_: type[EntryT], page: EntryList) -> Connection[EntryT]:
    """A page as a connection. The cursor of any edge leads on from it, made as the page makes its own."""
    edges = [
        Edge(cursor=encode_cursor(entry.namespace, entry.key, str(entry.id)), node=type_.of(entry))
        for entry in page.entries
    ]
    info = PageInfo(
        has_next_page=page.cursor is not None,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return Connection(edges=edges, page_info=info, position=str(page.position))


def event_list(page: EventPage) -> EventList:
    """A page of CloudEvents."""
    return EventList(
        nodes=[
            Event(
                id=strawberry.ID(event["id"]),
                type=event["type"],
                source=event["source"],
                subject=strawberry.ID(event["subject"]),
                time=event["time"],
                position=event["sequence"],
                namespace=event.get("namespace"),
                aggregate_version=event["aggregateversion"],
                actor=event.get("actor"),
                reason=event.get("reason"),
                command_id=event.get("commandid"),
                correlation_id=event.get("correlationid"),
                causation_id=event.get("causationid"),
                traceparent=event.get("traceparent"),
                data=cast(JSON, event["data"]),
            )
            for event in page.events
        ],
        cursor=page.cursor,
    )
