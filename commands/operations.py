"""One row for each operation of the product: name, input, scope, handler. Every transport dispatches through it.

A route, field, method or socket operation that names no row here does not exist; a row without a scope cannot be made.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from commands.request import Context
from domain.principal import Scope

Mode: TypeAlias = Literal["command", "query", "call", "stream"]
"""A command changes the log, a query reads, a call executes or renders, a stream goes on until the caller stops."""

Addressing: TypeAlias = Literal["none", "new", "existing"]
"""Whether the request is about nothing in particular, something that need not exist yet, or something that does."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of the table."""

    name: str
    summary: str
    mode: Mode
    addressing: Addressing
    scope: Scope
    input: type[BaseModel]
    handler: Callable[[Context, Any], Awaitable[Any]]


class OperationTable:
    """The rows by name. Two rows of one name are a programming error."""

    def __init__(self, rows: Iterable[Operation]) -> None:
        self._rows: dict[str, Operation] = {}
        for row in rows:
            if row.name in self._rows:
                raise ValueError(f"two operations are named {row.name}")
            self._rows[row.name] = row

    def __getitem__(self, name: str) -> Operation:
        return self._rows[name]

    @property
    def rows(self) -> Mapping[str, Operation]:
        """All rows, by name."""
        return self._rows
