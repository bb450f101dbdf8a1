"""The schema: the queries that are written, and the fields that the operation table makes."""

from collections.abc import Iterable, Sequence
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import create_type, merge_types
from strawberry.types import ExecutionContext

from api.graphql.generated import generated_fields
from api.graphql.limits import EXTENSIONS
from api.graphql.queries import Query
from api.graphql.types import ENTRY_TYPES
from commands.operations import Operation
from domain.errors import shortened


class ChronicleSchema(strawberry.Schema):
    """A schema that leaves the reporting of errors to the endpoint, which knows which of them are ours."""

    def process_errors(
        self,
        errors: list[GraphQLError],
        execution_context: ExecutionContext | None = None,  # noqa: ARG002 - the signature is the library's
    ) -> None:
        """Cut what quotes a document at length. By default every refused request would be logged with a traceback."""
        for error in errors:
            error.message = shortened(error.message)


def build_schema(rows: Iterable[Operation]) -> ChronicleSchema:
    """The schema over the rows of an operation table."""
    queries, mutations = generated_fields(rows)
    types: Sequence[Any] = tuple(ENTRY_TYPES.values())
    return ChronicleSchema(
        query=merge_types("Query", (Query, create_type("GeneratedQuery", queries))) if queries else Query,
        mutation=create_type("Mutation", mutations, description="Every command of the product.")
        if mutations
        else None,
        types=types,
        extensions=EXTENSIONS,
        config=StrawberryConfig(disable_field_suggestions=True),
    )
