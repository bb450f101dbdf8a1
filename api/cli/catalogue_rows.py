"""Rows of a catalogue file (JSON Lines) as the bodies of apply requests. Pure but for reading the files.

A tool row is `{id, name, description, input_schema, server[, source, license, category]}`, a resource row has a `uri`,
a prompt row a list of `arguments`. Tools and prompts are named `<server slug>__<name slug>`; where two pairs of an
import have the same slugs, all of them get a hash, so names do not depend on the order of the rows. Nothing has an
endpoint: bindings are `unbound`, and a prompt has no messages.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, TypeAlias

import orjson

from domain.entry import DefinitionKind
from domain.identity import federated_name

RowKind: TypeAlias = Literal["auto", "tool", "resource", "prompt"]

LINE_BYTES_MAX = 1024 * 1024
"""A longer line is rejected without being held in memory; a request body has no more room either."""

IMPORT_REASON = "Imported from a catalogue."
_PROVENANCE = ("id", "server", "source", "license", "category", "name")
_EMPTY_SCHEMA = {"type": "object"}
_UNBOUND = {"type": "unbound"}


class RowRejected(Exception):
    """A row that is no definition; the message is its reason."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file; `raw` is None if it is longer than LINE_BYTES_MAX."""

    file: Path
    number: int
    raw: bytes | None


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """What a row asks for: the definition, known by `key` in its kind, with where it was found."""

    kind: DefinitionKind
    key: str
    definition: Mapping[str, Any]
    provenance: Mapping[str, str]

    def body(self, namespace: str) -> dict[str, Any]:
        """The request's JSON."""
        return {
            "namespace": namespace,
            "definition": self.definition,
            "provenance": self.provenance,
            "reason": IMPORT_REASON,
        }


def read_lines(files: Iterable[Path]) -> Iterator[Line]:
    """Every line of the files that is not blank, the last unterminated one included; blank ones have numbers too."""
    for path in files:
        with path.open("rb") as file:
            number = 0
            while chunk := file.readline(LINE_BYTES_MAX + 1):
                number += 1
                whole = len(chunk) <= LINE_BYTES_MAX or chunk.endswith(b"\n")
                if chunk.strip():
                    yield Line(path, number, chunk if whole else None)
                while not chunk.endswith(b"\n") and chunk:
                    chunk = file.readline(LINE_BYTES_MAX)


class RowReader:
    """Turns lines into requests. It has to `survey` all lines before it reads the first one."""

    def __init__(self, kind: RowKind = "auto") -> None:
        self._kind = kind
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}
        self._ambiguous: set[tuple[str, str]] = set()
        self.lines = 0

    def survey(self, lines: Iterable[Line]) -> None:
        """Find the names that several (server, name) pairs share."""
        for line in lines:
            self.lines += 1
            try:
                row = _decoded(line)
                kind = self._kind_of(row)
                if kind != "resource":
                    pair = _text(row, "server"), _text(row, "name")
                    short = kind, federated_name(*pair)
                    if self._pairs.setdefault(short, pair) != pair:
                        self._ambiguous.add(short)
            except RowRejected:
                continue  # `read` meets it again and says why

    def read(self, line: Line) -> ApplyRequest:
        """The request of a row. Raises RowRejected."""
        row = _decoded(line)
        provenance = {name: _words(row[name]) for name in _PROVENANCE if row.get(name) is not None}
        match self._kind_of(row):
            case "tool":
                key = self._name("tool", row)
                definition = {
                    "name": key,
                    "input_schema": _object_schema(row.get("input_schema")),
                    "binding": _UNBOUND,
                }
                return ApplyRequest("tool", key, definition | _described(row), provenance)
            case "prompt":
                key = self._name("prompt", row)
                definition = {"name": key, "arguments": _arguments(row.get("arguments"))}
                return ApplyRequest("prompt", key, definition | _described(row), provenance)
            case "resource":
                return ApplyRequest(
                    "resource", _text(row, "uri"), _resource(row) | _described(row), provenance
                )

    def _kind_of(self, row: Mapping[str, Any]) -> DefinitionKind:
        if self._kind != "auto":
            return self._kind
        if "uri" in row:
            return "resource"
        return "prompt" if "arguments" in row and "input_schema" not in row else "tool"

    def _name(self, kind: str, row: Mapping[str, Any]) -> str:
        server, name = _text(row, "server"), _text(row, "name")
        distinguish = (kind, federated_name(server, name)) in self._ambiguous
        return federated_name(server, name, distinguish=distinguish)


class Repeats:
    """The rows seen so far, so that one name is applied once: else two rows would revise each other for ever."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[Line, bytes]] = {}

    def is_repeat(self, line: Line, request: ApplyRequest) -> bool:
        """Whether an equal row came before. Raises RowRejected if another one has the same name or URI."""
        try:
            content = orjson.dumps([request.definition, request.provenance], option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError as error:
            raise RowRejected(f"The row cannot be sent: {error}.") from error
        digest = blake2b(content, digest_size=16).digest()
        place = Line(line.file, line.number, None)
        first, known = self._seen.setdefault((request.kind, request.key), (place, digest))
        if first == place:
            return False
        if known == digest:
            return True
        what = "URI" if request.kind == "resource" else "name"
        raise RowRejected(
            f"Line {first.number} of {first.file.name} has the {what} '{request.key[:200]}' with other content."
        )


def _decoded(line: Line) -> dict[str, Any]:
    if line.raw is None:
        raise RowRejected(f"The line is longer than {LINE_BYTES_MAX} bytes.")
    try:
        row = orjson.loads(line.raw)
    except orjson.JSONDecodeError as error:
        raise RowRejected(f"The line is not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise RowRejected("The line is JSON, but no object.")
    return row


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise RowRejected(f"The row has no '{name}', or one that is no text.")
    return value


def _words(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _described(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("title", "description") if row.get(name) is not None}


def _object_schema(schema: Any) -> Any:
    """The schema as MCP wants it. Some catalogues write the bare map of the parameters; that becomes `properties`."""
    if schema is None:
        return _EMPTY_SCHEMA
    if not isinstance(schema, dict):
        raise RowRejected("'input_schema' is neither an object nor null.")
    if schema and all(
        isinstance(part, dict) and isinstance(part.get("type"), str | list) for part in schema.values()
    ):
        return {"type": "object", "properties": schema}
    return schema if "type" in schema else {"type": "object", **schema}


def _arguments(arguments: Any) -> list[dict[str, Any]]:
    if not isinstance(arguments or [], list) or not all(isinstance(one, dict) for one in arguments or []):
        raise RowRejected("'arguments' is no list of objects.")
    known = ("name", "title", "description", "required")
    return [{name: one[name] for name in known if one.get(name) is not None} for one in arguments or []]


def _resource(row: Mapping[str, Any]) -> dict[str, Any]:
    uri = _text(row, "uri")
    # Braces are not allowed in a URI (RFC 3986), so this is a template (RFC 6570).
    address = {"uri_template" if "{" in uri else "uri": uri}
    optional = {"mime_type": row.get("mimeType"), "annotations": row.get("annotations")}
    return {
        **address,
        "name": _text(row, "name"),
        "binding": _UNBOUND,
        # Empty text stands for "none" in the wild.
        **{name: value for name, value in optional.items() if value not in (None, "")},
    }
