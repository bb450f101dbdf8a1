"""The bounds of one GraphQL document, checked before anything is executed.

Tokens are counted by the parser. Depth, aliases and cost are counted here, each fragment once: the limiters that
Strawberry 0.341 brings walk a fragment as often as it is spread, which a short document makes exponential. The cost is
the number of entries, hits and events that a document may make us fetch: each list counts its `first`, times those of
the lists around it.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    IntValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
)
from strawberry.extensions import (
    AddValidationRules,
    MaxTokensLimiter,
    SchemaExtension,
)

from domain.reads import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX

DEPTH_MAX = 12
ALIASES_MAX = 15
TOKENS_MAX = 2000
FRAGMENTS_MAX = 50
COST_MAX = 4000

_DEFAULTS = {"history": 20, "search": 10}
_INTROSPECTION = frozenset({"__schema", "__type"})
_LISTS = frozenset({"tools", "resources", "prompts", "namespaces", "events", *_DEFAULTS})


class Size(NamedTuple):
    """Levels of fields, aliases, and entries that may be fetched."""

    depth: int = 0
    aliases: int = 0
    cost: int = 0


class SizeRule(ValidationRule):
    """Refuses documents beyond the bounds. A `first` in a variable counts as the largest page."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._fragments = {
            node.name.value: node
            for node in context.document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        self._sizes: dict[str, Size] = {}
        if len(self._fragments) > FRAGMENTS_MAX:
            self.report_error(GraphQLError(f"The document has more than {FRAGMENTS_MAX} fragments."))
            self._fragments = {}  # what is refused need not be measured

    def enter_operation_definition(self, node: OperationDefinitionNode, *_: Any) -> None:
        """Measure one operation."""
        size = self._size(node.selection_set)
        bounds = {"depth": DEPTH_MAX, "aliases": ALIASES_MAX, "cost": COST_MAX}
        for measure, most in bounds.items():
            measured = getattr(size, measure)
            if measured > most:
                message = f"The operation's {measure}: {measured}, at most {most}. Ask for less."
                self.report_error(GraphQLError(message, node))

    def _size(self, selections: SelectionSetNode | None) -> Size:
        sizes = [self._size_of(node) for node in selections.selections] if selections is not None else []
        return Size(
            max((size.depth for size in sizes), default=0),
            sum(size.aliases for size in sizes),
            sum(size.cost for size in sizes),
        )

    def _size_of(self, node: SelectionNode) -> Size:
        if isinstance(node, FragmentSpreadNode):
            return self._size_of_fragment(node.name.value)
        below = self._size(getattr(node, "selection_set", None))
        if not isinstance(node, FieldNode):
            return below
        name = node.name.value
        return Size(
            # The depth of introspection has a rule of its own among the standard ones.
            1 if name in _INTROSPECTION else below.depth + 1,
            below.aliases + (node.alias is not None),
            _first(node) * (1 + below.cost) if name in _LISTS else below.cost,
        )

    def _size_of_fragment(self, name: str) -> Size:
        if name not in self._sizes:
            # Unknown fragments and cycles are the findings of other rules; here they only must come to an end.
            self._sizes[name] = Size()
            if name in self._fragments:
                self._sizes[name] = self._size(self._fragments[name].selection_set)
        return self._sizes[name]


def _first(node: FieldNode) -> int:
    for argument in node.arguments or ():
        if argument.name.value == "first":
            value = argument.value
            # Out of range is refused by the operation itself.
            return max(int(value.value), 1) if isinstance(value, IntValueNode) else PAGE_SIZE_MAX
    return _DEFAULTS.get(node.name.value, PAGE_SIZE_DEFAULT)


class OneOperation(SchemaExtension):
    """A document with several operations must be told which one to execute (GraphQL 2021, 6.1)."""

    def on_parse(self) -> Iterator[None]:
        """Looks at the document when it is parsed; Strawberry 0.341 would execute the first operation."""
        yield
        document = self.execution_context.graphql_document
        # The public `operation_name` answers the first operation's name where the request has none.
        named = self.execution_context._provided_operation_name  # noqa: SLF001 - there is no other way
        if document is None or named is not None:
            return
        if sum(isinstance(node, OperationDefinitionNode) for node in document.definitions) > 1:
            raise GraphQLError(
                "The document has several operations. Name the one to execute as operationName."
            )


EXTENSIONS: tuple[Callable[[], SchemaExtension], ...] = (
    lambda: MaxTokensLimiter(max_token_count=TOKENS_MAX),
    OneOperation,
    lambda: AddValidationRules([SizeRule]),
)
"""What enforces all bounds; made anew for each request, because an extension holds the request's state."""
