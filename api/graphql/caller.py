"""One GraphQL request on its way to the Message Manager: who asks, and how many operations run at a time."""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast
from uuid import UUID

import strawberry
from strawberry.types.field import StrawberryField

from commands.message_manager import MessageManager
from commands.request import Request
from domain.entry import Kind
from domain.errors import Fault, InvalidInput
from domain.identity import aggregate_id
from domain.principal import Principal

OPERATIONS_AT_A_TIME = 8
"""Operations of one GraphQL request that run at the same time; the others wait for their turn."""

METADATA_KEY = "operations"


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """The context of every resolver."""

    messages: MessageManager
    principal: Principal
    deadline_s: float
    correlation_id: str = ""
    traceparent: str = ""
    turns: asyncio.Semaphore = dataclasses.field(
        default_factory=lambda: asyncio.Semaphore(OPERATIONS_AT_A_TIME)
    )

    async def handle(
        self,
        operation: str,
        value: Mapping[str, Any],
        *,
        target: UUID | None = None,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """Carry out one operation. Raises ChronicleError; pointers lead into `value`."""
        request = Request(
            operation=operation,
            input=dict(value),
            principal=self.principal,
            transport="graphql",
            target=target,
            expected_version=expected_version,
            idempotency_key=idempotency_key,
            correlation_id=self.correlation_id,
            traceparent=self.traceparent,
            deadline_s=self.deadline_s,
        )
        async with self.turns:
            return await self.messages.handle(request)


Info: TypeAlias = strawberry.Info[Caller, None]


def backed_by(*operations: str) -> dict[Any, Any]:
    """The metadata of a field: the rows of the operation table, and so the scopes, that it stands for."""
    return {METADATA_KEY: operations}


def field(description: str, *operations: str) -> Callable[[Callable[..., Any]], StrawberryField]:
    """A described field that stands for these operations; for none, it only shows what was fetched already."""

    def decorate(resolve: Callable[..., Any]) -> StrawberryField:
        made: StrawberryField = strawberry.field(
            resolver=resolve, description=description, metadata=backed_by(*operations)
        )
        return made

    return decorate


def given(**arguments: Any) -> dict[str, Any]:
    """The arguments that the caller gave; None is the same as not given."""
    return {name: value for name, value in arguments.items() if value is not None}


def parse_id(text: str, pointer: str = "/id") -> UUID:
    """An id as UUID. Raises InvalidInput."""
    try:
        return UUID(text)
    except ValueError:
        message = f"'{text[:64]}' is not an id."
        raise InvalidInput(message, [Fault(pointer, message)]) from None


def target_of(kind: str, id_: str | None, namespace: str | None, key: str | None) -> UUID:
    """What `id`, or `namespace` and `key`, name. Raises InvalidInput for neither and for both."""
    by_name = namespace is not None and (key is not None or kind == "namespace")
    if (id_ is not None) == by_name or (id_ is not None and (namespace or key)):
        ways = "namespace" if kind == "namespace" else "namespace and key"
        message = f"Name the {kind} by id, or by {ways}."
        raise InvalidInput(message, [Fault("", message)])
    if id_ is not None:
        return parse_id(id_)
    return aggregate_id(cast(Kind, kind), namespace or "", key or namespace or "")


def moved(error: InvalidInput, names: Mapping[str, str], elsewhere: str = "") -> InvalidInput:
    """The error with pointers into a field's arguments instead of the operation's input.

    `names` says which argument each part of the input came from; what is not in it stands below `elsewhere`.
    """

    def move(pointer: str) -> str:
        first, slash, rest = pointer.removeprefix("/").partition("/")
        return f"/{names[first]}{slash}{rest}" if first in names else f"{elsewhere}{pointer}"

    return InvalidInput(error.message, [Fault(move(fault.pointer), fault.message) for fault in error.faults])


def camel(name: str) -> str:
    """`snake_case` as `camelCase`."""
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)
