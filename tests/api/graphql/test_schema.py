"""The schema against the operation table and against the committed document."""

import os
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from api.graphql.caller import METADATA_KEY
from api.graphql.generated import field_name
from api.graphql.schema import ChronicleSchema, build_schema
from api.graphql.types import DefinitionKind, Kind, Status
from commands.operations import Operation
from commands.request import CommandResult, Context
from domain import entry
from domain.principal import EVERY_SCOPE
from tests.api.conftest import Server

SDL = Path(__file__).parents[3] / "docs" / "schema.graphql"
UPDATE = "CHRONICLE_TEST_UPDATE_DOCUMENTS"


def schema_of(server: Server) -> ChronicleSchema:
    """The schema that the product serves."""
    return build_schema(server.runtime.messages.operations.rows.values())


async def test_the_committed_document_is_the_schema(server: Server) -> None:
    """A changed schema changes docs/schema.graphql in the same commit."""
    text = schema_of(server).as_str() + "\n"
    if os.environ.get(UPDATE):
        SDL.write_text(text, encoding="utf-8")
    assert SDL.read_text(encoding="utf-8") == text, f"run this test with {UPDATE}=1 and commit the change"


async def test_every_field_that_does_something_declares_its_scope(server: Server) -> None:
    """Every field of Query and Mutation, and any other that asks the Message Manager, names rows of the table."""
    rows = server.runtime.messages.operations.rows
    schema = schema_of(server)
    seen = 0
    for name, type_ in schema.schema_converter.type_map.items():
        for field in getattr(type_.definition, "fields", ()):
            if field.base_resolver is None:
                assert name not in ("Query", "Mutation"), field.name
                continue
            operations = field.metadata.get(METADATA_KEY, ())
            asks = field.base_resolver.info_parameter is not None
            assert bool(operations) == asks, f"{name}.{field.name} declares no operation"
            assert all(rows[operation].scope in EVERY_SCOPE for operation in operations)
            seen += asks
    assert seen > len([row for row in rows.values() if row.mode == "command"])


async def test_every_command_and_call_has_its_field(server: Server) -> None:
    """No row of the table is missing, and a call that only reads is a query."""
    schema = schema_of(server)
    assert schema._schema.query_type is not None
    assert schema._schema.mutation_type is not None
    fields = {"Query": schema._schema.query_type.fields, "Mutation": schema._schema.mutation_type.fields}
    rows = server.runtime.messages.operations.rows.values()
    commands = {field_name(row.name) for row in rows if row.mode == "command"}
    assert set(fields["Mutation"]) == commands | {"toolCall"}
    assert {"resourceRead", "promptRender"} <= set(fields["Query"])


def test_a_new_row_appears_by_itself() -> None:
    """A command that nobody here knows has its mutation, with its model as input."""

    class Paint(BaseModel):
        colour: str
        coats: int = 1
        where: dict[str, str] | None = None

    async def paint(context: Context, command: Paint) -> CommandResult:
        raise NotImplementedError

    row = Operation("tool.paint_over", "Paint a tool", "command", "existing", "tools:write", Paint, paint)
    text = build_schema([row]).as_str()
    assert "toolPaintOver(id: ID = null, namespace: String = null, key: String = null" in text
    assert "input PaintInput {\n  colour: String!\n  coats: Int\n  where: JSON\n}" in text


def test_the_enumerations_are_those_of_the_domain() -> None:
    """A kind or status that is added there is added here."""
    assert tuple(Kind) == get_args(entry.Kind)
    assert tuple(DefinitionKind) == get_args(entry.DefinitionKind)
    assert tuple(Status) == get_args(entry.Status)
