"""Which path and method stands for which operation: rows made from the operation table, kind by kind.

Both the routes and the OpenAPI document are made from these rows, so neither can say what the other does not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from api.rest.reading import Parameter, parameters
from commands.operations import Operation
from domain.entry import DefinitionKind, Kind

Shape: TypeAlias = Literal["command", "item", "page", "search", "events", "result", "stream"]
"""How the answer is made: a command's result, one entry, a page of entries, hits, events, a result, a stream."""

Address: TypeAlias = Literal["none", "id", "name"]
"""What the path names: nothing in particular, a definition by id, or a namespace by name."""

BY_KEY = frozenset({"namespace", "name", "uri"})
"""Fields of the calls that name what the path names already."""

_CHANGES = ("revise", "approve", "reject", "roll_back", "disable", "enable", "retire", "restore")
_ITEM_FIELDS = frozenset({"namespace", "key"})


@dataclass(frozen=True, slots=True)
class Row:
    """One method of one path. `body_fields` are the fields of the input that the body may have, None for no body.

    `alternative` is the row that answers instead when the query has the parameter `chosen_by`.
    """

    method: str
    path: str
    operation: Operation
    kind: Kind | None
    address: Address
    shape: Shape
    parameters: tuple[Parameter, ...] = ()
    body_fields: frozenset[str] | None = None
    alternative: "Row | None" = None
    chosen_by: str = ""
    success: int = 200
    name: str = ""

    @property
    def operation_id(self) -> str:
        """The name in the OpenAPI document: `name`, or else the operation's."""
        return self.name or self.operation.name.replace(".", "_")


def rest_rows(table: Mapping[str, Operation]) -> list[Row]:
    """Every row of REST."""
    rows = [row for kind in get_args(DefinitionKind) for row in _definition_rows(kind, table)]
    return [*rows, *_namespace_rows(table), *_audit_rows(table)]


def _definition_rows(kind: DefinitionKind, table: Mapping[str, Operation]) -> Iterator[Row]:
    collection, item = f"/v1/{kind}s", f"/v1/{kind}s/{{id}}"
    yield _command("POST", collection, table[f"{kind}.register"], kind, "none", success=201)
    yield _command("PUT", collection, table[f"{kind}.apply"], kind, "none")
    if kind == "resource":
        yield _read_by_uri(f"{collection}/content", table["resource.read"])
    key = "uri" if kind == "resource" else "name"
    get = table[f"{kind}.get"]
    known = parameters(get.input, names={"key": key}, required=_ITEM_FIELDS)
    by_key = Row("GET", collection, get, kind, "none", "item", known)
    yield _page(collection, table[f"{kind}.list"], kind, alternative=by_key, chosen_by=key)
    yield Row("GET", item, get, kind, "id", "item", parameters(get.input, leave_out=_ITEM_FIELDS))
    for verb in _CHANGES:
        path = f"{item}/{verb.replace('_', '-')}"
        yield _command("POST", path, table[f"{kind}.{verb}"], kind, "id")
    yield _history(item, table, kind, "id")
    match kind:
        case "tool":
            yield _call("POST", f"{item}/call", table["tool.call"], kind)
        case "resource":
            yield Row("GET", f"{item}/content", table["resource.read"], kind, "id", "result")
        case "prompt":
            yield _call("POST", f"{item}/render", table["prompt.render"], kind)


def _namespace_rows(table: Mapping[str, Operation]) -> Iterator[Row]:
    collection, item = "/v1/namespaces", "/v1/namespaces/{name}"
    get = table["namespace.get"]
    yield _command("POST", collection, table["namespace.create"], "namespace", "none", success=201)
    yield _page(collection, table["namespace.list"], "namespace")
    yield Row("GET", item, get, "namespace", "name", "item", parameters(get.input, leave_out=_ITEM_FIELDS))
    yield _command("PUT", f"{item}/policy", table["namespace.set_policy"], "namespace", "name")
    yield _history(item, table, "namespace", "name")


def _audit_rows(table: Mapping[str, Operation]) -> Iterator[Row]:
    search, events, follow = table["catalogue.search"], table["event.list"], table["event.follow"]
    yield Row(
        "GET", "/v1/search", search, None, "none", "search", parameters(search.input, names={"query": "q"})
    )
    yield Row("GET", "/v1/events", events, None, "none", "events", parameters(events.input))
    follow_parameters = (*parameters(follow.input), Parameter("follow", "follow"))
    yield Row("GET", "/v1/events/stream", follow, None, "none", "stream", follow_parameters)


def _read_by_uri(path: str, operation: Operation) -> Row:
    # Its route comes before the items': `content` is no id. It also reads what only a template matches.
    known = parameters(operation.input, required=frozenset({"uri"}))
    return Row("GET", path, operation, "resource", "none", "result", known, name="resource_read_by_uri")


def _command(
    method: str, path: str, operation: Operation, kind: Kind, address: Address, success: int = 200
) -> Row:
    fields = frozenset(operation.input.model_fields)
    return Row(method, path, operation, kind, address, "command", body_fields=fields, success=success)


def _page(
    path: str, operation: Operation, kind: Kind, *, alternative: Row | None = None, chosen_by: str = ""
) -> Row:
    known = parameters(operation.input)
    return Row("GET", path, operation, kind, "none", "page", known, None, alternative, chosen_by)


def _call(method: str, path: str, operation: Operation, kind: Kind) -> Row:
    fields = frozenset(operation.input.model_fields) - BY_KEY
    return Row(method, path, operation, kind, "id", "result", body_fields=fields)


def _history(item: str, table: Mapping[str, Operation], kind: Kind, address: Address) -> Row:
    operation = table["event.history"]
    known = parameters(operation.input)
    return Row("GET", f"{item}/history", operation, kind, address, "events", known, name=f"{kind}_history")
