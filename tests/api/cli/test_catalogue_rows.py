"""How rows of catalogue files become requests: names, schemas, provenance, and everything that is no row."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from api.cli.catalogue_rows import (
    LINE_BYTES_MAX,
    ApplyRequest,
    Line,
    Repeats,
    RowKind,
    RowReader,
    RowRejected,
    read_lines,
)

TOOL = {"id": "s/t", "name": "t", "description": "d", "input_schema": None, "server": "s"}


def line_of(row: Any, number: int = 1) -> Line:
    raw = row if isinstance(row, bytes) else json.dumps(row).encode()
    return Line(Path("rows.jsonl"), number, raw)


def read_all(*rows: Any, kind: RowKind = "auto") -> list[ApplyRequest]:
    lines = [line_of(row, number) for number, row in enumerate(rows, 1)]
    reader = RowReader(kind)
    reader.survey(lines)
    return [reader.read(line) for line in lines]


def read_one(row: Any, kind: RowKind = "auto") -> ApplyRequest:
    return read_all(row, kind=kind)[0]


def test_a_tool_row_becomes_an_unbound_tool_with_its_provenance() -> None:
    """The name comes from server and name; where it was found is kept, as text, and what is null is left out."""
    row = TOOL | {"source": "mcpm", "license": None, "category": 7, "server": "My Server", "name": "get/it"}
    request = read_one(row)
    assert request.body("default") == {
        "namespace": "default",
        "definition": {
            "name": "My-Server__get-it",
            "description": "d",
            "input_schema": {"type": "object"},
            "binding": {"type": "unbound"},
        },
        "provenance": {
            "id": "s/t",
            "server": "My Server",
            "source": "mcpm",
            "category": "7",
            "name": "get/it",
        },
        "reason": "Imported from a catalogue.",
    }


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (None, {"type": "object"}),
        ({}, {"type": "object"}),
        ({"properties": {}}, {"type": "object", "properties": {}}),
        ({"type": "object", "required": ["a"]}, {"type": "object", "required": ["a"]}),
        ({"a": {"type": "string"}}, {"type": "object", "properties": {"a": {"type": "string"}}}),
        (
            {"properties": {"type": "string"}},
            {"type": "object", "properties": {"properties": {"type": "string"}}},
        ),
        (
            {"properties": {"type": {"type": "string"}}},
            {"type": "object", "properties": {"type": {"type": "string"}}},
        ),
    ],
)
def test_a_schema_becomes_an_object_schema(schema: Any, expected: Any) -> None:
    """Nothing, a schema without a type, and the bare map of the parameters that some catalogues have."""
    assert read_one(TOOL | {"input_schema": schema}).definition["input_schema"] == expected


def test_pairs_with_the_same_slugs_all_get_a_hash_whatever_their_order() -> None:
    """Else the name of a tool would depend on which of the two the file names first."""
    rows = [TOOL | {"server": server} for server in ("a b", "a/b", "c")]
    names = [
        {request.provenance["server"]: request.key for request in read_all(*order)}
        for order in itertools.permutations(rows)
    ]
    assert all(found == names[0] for found in names)
    assert names[0]["c"] == "c__t"
    assert len(set(names[0].values())) == 3
    assert all(names[0][server].startswith("a-b__t-") for server in ("a b", "a/b"))


def test_a_prompt_does_not_make_a_tool_ambiguous() -> None:
    """Kinds have their own names."""
    rows = [TOOL | {"server": "a b"}, {"server": "a/b", "name": "t", "arguments": []}]
    assert [request.key for request in read_all(*rows)] == ["a-b__t", "a-b__t"]


def test_a_prompt_row_keeps_its_arguments_and_has_no_messages() -> None:
    """Fields that we do not know are left out; the catalogue holds no messages."""
    arguments = [{"name": "page", "description": None, "required": True, "type": "string"}]
    request = read_one({"server": "s", "name": "edit page", "description": "d", "arguments": arguments})
    assert (request.kind, request.key) == ("prompt", "s__edit-page")
    assert request.definition == {
        "name": "s__edit-page",
        "description": "d",
        "arguments": [{"name": "page", "required": True}],
    }


@pytest.mark.parametrize("empty", [None, ""])
def test_a_resource_row_leaves_out_what_is_empty(empty: str | None) -> None:
    """In the wild, empty text stands for no type and no annotations."""
    row = {
        "server": "s",
        "uri": "x://list",
        "name": "List",
        "mimeType": empty,
        "annotations": empty,
        "size": 0,
    }
    request = read_one(row)
    assert (request.kind, request.key) == ("resource", "x://list")
    assert request.definition == {"uri": "x://list", "name": "List", "binding": {"type": "unbound"}}


def test_a_uri_with_braces_is_a_template() -> None:
    """RFC 3986 allows no braces in a URI."""
    definition = read_one(
        {"server": "s", "uri": "x://{id}", "name": "One", "mimeType": "text/plain"}
    ).definition
    assert definition["uri_template"] == "x://{id}"
    assert "uri" not in definition
    assert definition["mime_type"] == "text/plain"


@pytest.mark.parametrize(
    ("row", "kind", "reason"),
    [
        (b'{"name": ', "auto", "not JSON"),
        (b"\xff\xfe", "auto", "not JSON"),
        (b"[1]", "auto", "no object"),
        ({"name": "t"}, "auto", "'server'"),
        ({"server": "s", "name": 3}, "auto", "'name'"),
        ({"server": "s", "name": " "}, "auto", "'name'"),
        ({"uri": "x://y", "server": "s"}, "auto", "'name'"),
        (TOOL, "resource", "'uri'"),
        (TOOL | {"input_schema": [1]}, "auto", "neither an object nor null"),
        (TOOL | {"arguments": "x"}, "prompt", "no list of objects"),
        (TOOL | {"arguments": ["x"]}, "prompt", "no list of objects"),
    ],
)
def test_what_is_no_row_is_rejected_with_its_reason(row: Any, kind: RowKind, reason: str) -> None:
    """Bad lines stop nothing: the survey passes them, and reading says what is wrong."""
    with pytest.raises(RowRejected, match=reason):
        read_one(row, kind)


def test_lines_are_numbered_and_a_huge_one_is_not_held(tmp_path: Path) -> None:
    """The line after a huge one keeps its number, blank lines are no rows, and the last line needs no end."""
    file = tmp_path / "rows.jsonl"
    huge = b"x" * (3 * LINE_BYTES_MAX)
    file.write_bytes(b"one\n \r\n" + huge + b"\nfour\n" + b"y" * LINE_BYTES_MAX + b"\nsix\n\n")
    lines = list(read_lines([file]))
    assert [line.number for line in lines] == [1, 3, 4, 5, 6]
    assert [line.raw is None for line in lines] == [False, True, False, False, False]
    assert lines[2].raw == b"four\n"
    assert lines[4].raw == b"six\n"
    with pytest.raises(RowRejected, match="longer than"):
        RowReader().read(lines[1])


def test_an_equal_row_is_a_repeat_and_a_different_one_is_rejected() -> None:
    """Two rows of one name would revise each other in every run; the first one counts, and the reason names it."""
    first, again, other = read_all(TOOL, TOOL, TOOL | {"description": "another"})
    repeats = Repeats()
    assert not repeats.is_repeat(line_of(TOOL, 1), first)
    assert repeats.is_repeat(line_of(TOOL, 2), again)
    with pytest.raises(RowRejected, match=r"Line 1 of rows\.jsonl has the name 's__t'"):
        repeats.is_repeat(line_of(TOOL, 3), other)


def test_one_uri_of_two_servers_is_rejected_the_second_time() -> None:
    """A URI names one resource in its namespace."""
    row = {"uri": "x://y", "name": "Y"}
    rows = [row | {"server": "a"}, row | {"server": "b"}]
    first, second = read_all(*rows)
    repeats = Repeats()
    assert not repeats.is_repeat(line_of(rows[0], 1), first)
    with pytest.raises(RowRejected, match="has the URI 'x://y'"):
        repeats.is_repeat(line_of(rows[1], 2), second)


def test_a_row_that_nests_too_deep_is_rejected() -> None:
    """What can be read cannot always be written; that is the row's fault, and ends nothing."""
    deep = b'{"server": "s", "name": "t", "input_schema": ' + b'{"a":' * 300 + b"{}" + b"}" * 301
    with pytest.raises(RowRejected, match="cannot be sent"):
        Repeats().is_repeat(line_of(deep), read_one(deep))
