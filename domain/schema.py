"""JSON Schema: checking that a schema is one, and compiling it into a validator that fetches nothing.

Validation runs on the event loop, so its work is bounded when a schema is registered. Some keywords apply a schema to
the same value (`allOf`, `$ref` …), others to a value inside it (`properties`, `items` …). The first kind multiplies, so
its expansion is counted and a cycle of it is refused. The second kind ends with the value; where several ways lead to
the same inner value, as in recursive alternatives, the work grows with each level, and so the value's depth is bounded.
"""

from collections import Counter
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any, TypeAlias
from urllib.parse import unquote

import jsonschema_rs

from domain.errors import Fault

FAULTS_MAX = 20
"""Faults reported for one value; more would not help anybody."""

SCHEMA_DEPTH_MAX = 64
"""Levels of nesting that a schema may have."""

SUBSCHEMAS_MAX = 2_000
"""Schemas inside one schema."""

EXPANSION_MAX = 10_000
"""Schemas to apply when every reference is replaced by what it names, without going into a value."""

WORK_MAX = 100_000
"""Schemas to apply along one path into a value, at its deepest."""

VALUE_DEPTH_MAX = 64
"""Levels of nesting that a value may have before it is validated."""

VALUE_DEPTH_MIN = 8
"""A schema that can be applied within WORK_MAX only to flatter values is refused."""

MASK = "the value"
"""Stands for the value itself in messages: arguments may hold secrets."""


def _refuse_to_fetch(uri: str) -> Any:
    raise ValueError(f"'{uri}' is elsewhere, and schemas are never fetched; include it under $defs")


def compile_schema(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """A reusable validator.

    Raises ValueError, saying where and why, if `schema` is not a JSON Schema, nests too deep or refers elsewhere.
    """
    if _depth(schema, SCHEMA_DEPTH_MAX) > SCHEMA_DEPTH_MAX:
        raise ValueError(f"the schema is nested deeper than {SCHEMA_DEPTH_MAX} levels")
    try:
        validator = jsonschema_rs.validator_for(schema, retriever=_refuse_to_fetch, mask=MASK)
    except jsonschema_rs.ValidationError as error:
        raise ValueError(
            f"not a JSON Schema at '{pointer_of(error.instance_path)}': {error.message}"
        ) from error
    value_depth_max(schema)
    return validator


def value_depth_max(schema: dict[str, Any]) -> int:
    """How deep a value to validate may be nested, at most VALUE_DEPTH_MAX. Raises ValueError for a costly schema."""
    return _Work(schema).depth_max()


def too_deep(value: Any, depth_max: int, prefix: str) -> list[Fault]:
    """A fault if `value` is nested deeper than `depth_max`; look at it before validating."""
    if _depth(value, depth_max) <= depth_max:
        return []
    return [Fault(prefix, f"{MASK} is nested deeper than the {depth_max} levels that its schema allows")]


def faults_of(validator: jsonschema_rs.Validator, value: Any, prefix: str) -> list[Fault]:
    """What is wrong with `value`, at most FAULTS_MAX faults, each with a JSON Pointer that starts with `prefix`."""
    faults: list[Fault] = []
    for error in validator.iter_errors(value):
        faults.append(Fault(prefix + pointer_of(error.instance_path), error.message))
        if len(faults) == FAULTS_MAX:
            break
    return faults


def pointer_of(path: list[str | int]) -> str:
    """The JSON Pointer (RFC 6901) of a path of keys and indices."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _depth(value: Any, limit: int, level: int = 1) -> int:
    if level > limit or not isinstance(value, dict | list):
        return level
    children = value.values() if isinstance(value, dict) else value
    return max((_depth(child, limit, level + 1) for child in children), default=level)


Schema: TypeAlias = dict[str, Any]

# Keywords that apply schemas to the same value, to a member that they name, to every member, to the members left over.
_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_NAMED = ("properties", "prefixItems")
_EVERY = ("patternProperties", "propertyNames", "contains")
_REST = ("additionalProperties", "unevaluatedProperties", "additionalItems", "unevaluatedItems", "items")
_STORED = ("$defs", "definitions", "contentSchema")
_MAPS = ("properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions")


class _Work:
    """The schemas inside one schema, which apply which, and how much work that makes.

    Where a reference could mean one of several schemas, all are counted.
    """

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._documents = list(_identified(root))
        self._enclosing: dict[int, tuple[Schema, ...]] = {}
        self._in_place: dict[int, list[Schema]] = {}
        self._nodes: dict[int, Schema] = {}
        self._find_schemas()
        self._order: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        for node in self._nodes.values():
            self._measure(node)

    def depth_max(self) -> int:
        """The depth of value, at most VALUE_DEPTH_MAX, up to which the work stays below WORK_MAX."""
        ways = self._ways_inwards()
        work = dict.fromkeys(ways, 0)
        for depth in range(1, VALUE_DEPTH_MAX + 1):
            deeper = {
                at: self._sizes[at]
                + max((sum(n * work[to] for to, n in way.items()) for way in ways[at]), default=0)
                for at in ways
            }
            if deeper[id(self._root)] > WORK_MAX:
                if depth <= VALUE_DEPTH_MIN:
                    raise ValueError(
                        "too many ways lead to the same value; validating it would take too long"
                    )
                return depth - 1
            if deeper == work:
                break
            work = {at: min(amount, WORK_MAX + 1) for at, amount in deeper.items()}
        return VALUE_DEPTH_MAX

    def _find_schemas(self) -> None:
        waiting: list[tuple[Schema, tuple[Schema, ...]]] = [(self._root, (self._root,))]
        while waiting:
            node, documents = waiting.pop()
            if id(node) in self._nodes:
                continue
            self._nodes[id(node)] = node
            if len(self._nodes) > SUBSCHEMAS_MAX:
                raise ValueError(f"the schema holds more than {SUBSCHEMAS_MAX} schemas")
            if _id_of(node):
                documents = (*documents, node)
            named = [to for keyword in _REFERENCES for to in self._named(node.get(keyword), documents)]
            self._in_place[id(node)] = [*_below(node, _IN_PLACE), *named]
            inner = _below(node, (*_IN_PLACE, *_NAMED, *_EVERY, *_REST, *_STORED))
            waiting += [(below, documents) for below in inner] + [(to, (self._root,)) for to in named]

    def _named(self, reference: Any, documents: tuple[Schema, ...]) -> list[Schema]:
        if not isinstance(reference, str):
            return []
        address, _, fragment = reference.partition("#")
        if address:
            last = address.rpartition("/")[2]
            documents = tuple(d for d in self._documents if _id_of(d).rstrip("#").rpartition("/")[2] == last)
        if fragment and not fragment.startswith("/"):
            return [
                d
                for d in self._documents
                if fragment in (d.get("$anchor"), d.get("$dynamicAnchor"), _id_of(d)[1:])
            ]
        found = {id(to): to for d in documents if isinstance(to := _at(d, unquote(fragment)), dict)}
        return list(found.values())

    def _measure(self, start: Schema) -> None:
        """Sizes of in-place expansions, children first; without recursion, because references make long chains."""
        waiting: list[tuple[Schema, bool]] = [(start, False)]
        open_: set[int] = set()
        while waiting:
            node, children_done = waiting.pop()
            at = id(node)
            if children_done:
                open_.discard(at)
                self._sizes[at] = 1 + sum(self._sizes[id(child)] for child in self._in_place[at])
                self._order[at] = len(self._order)
                if self._sizes[at] > EXPANSION_MAX:
                    raise ValueError(
                        f"references and alternatives expand to more than {EXPANSION_MAX} schemas"
                    )
            elif at in open_:
                raise ValueError("the schema refers to itself without going into a property or an item")
            elif at not in self._sizes:
                open_.add(at)
                waiting.append((node, True))
                waiting += [(child, False) for child in self._in_place[at]]

    def _ways_inwards(self) -> dict[int, list[Counter[int]]]:
        """For each schema that meets a value of its own: which schemas meet one member of it, and how many times."""
        ways: dict[int, list[Counter[int]]] = {}
        waiting, total = [id(self._root)], 0
        while waiting:
            at = waiting.pop()
            if at in ways:
                continue
            total += self._sizes[at]
            if total > EXPANSION_MAX:
                raise ValueError(f"references and alternatives expand to more than {EXPANSION_MAX} schemas")
            ways[at] = self._members(at)
            waiting += [to for way in ways[at] for to in way]
        return ways

    def _members(self, at: int) -> list[Counter[int]]:
        every: Counter[int] = Counter()
        named: dict[str | int, Counter[int]] = {}
        for node, times in self._expanded(at):
            rest = [schema for keyword in _REST if isinstance(schema := node.get(keyword), dict)]
            for schema in _below(node, _EVERY):
                every[id(schema)] += times
            for schema in rest:
                every[id(schema)] += times
            for name, schema in _members_named(node):
                way = named.setdefault(name, Counter())
                if isinstance(schema, dict):
                    way[id(schema)] += times
                for left in rest:
                    way[id(left)] -= times
        return [every, *(every + way for way in named.values())]

    def _expanded(self, at: int) -> Iterator[tuple[Schema, int]]:
        times: Counter[int] = Counter({at: 1})
        waiting = [(-self._order[at], at)]
        while waiting:
            # The latest measured first: everything that leads to it has then been seen.
            _, node = heappop(waiting)
            for child in self._in_place[node]:
                if id(child) not in times:
                    heappush(waiting, (-self._order[id(child)], id(child)))
                times[id(child)] += times[node]
            yield self._nodes[node], times[node]


def _below(node: Schema, keywords: tuple[str, ...]) -> Iterator[Schema]:
    for keyword in keywords:
        value = node.get(keyword)
        if isinstance(value, dict) and keyword in _MAPS:
            yield from (schema for schema in value.values() if isinstance(schema, dict))
        elif isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            yield from (schema for schema in value if isinstance(schema, dict))


def _members_named(node: Schema) -> Iterator[tuple[str | int, Any]]:
    for keyword in ("properties", "prefixItems", "items"):
        value = node.get(keyword)
        if isinstance(value, dict) and keyword == "properties":
            yield from value.items()
        elif isinstance(value, list):
            yield from enumerate(value)


def _identified(value: Any) -> Iterator[Schema]:
    if isinstance(value, dict):
        if _id_of(value) or "$anchor" in value or "$dynamicAnchor" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _identified(item)


def _id_of(schema: Schema) -> str:
    name = schema.get("$id", schema.get("id"))
    return name if isinstance(name, str) else ""


def _at(document: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    return document
