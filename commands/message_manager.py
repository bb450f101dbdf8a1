"""The Message Manager: the one pipeline that every request of every transport passes.

authorise → validate → idempotency → deadline → dispatch → outcome metrics. Transports translate and decide nothing.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, TypeVar
from uuid import uuid4

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from commands.operations import Operation, OperationTable
from commands.ports import EventStore, RequestMetrics
from commands.request import (
    CORRELATION_ID_LENGTH_MAX,
    IDEMPOTENCY_KEY_LENGTH_MAX,
    CommandResult,
    Context,
    Request,
)
from domain.canonical import canonical_json
from domain.errors import (
    ChronicleError,
    Conflict,
    DeadlineExceeded,
    Fault,
    Forbidden,
    InvalidInput,
    OutcomeUnknown,
)
from domain.recorded import Appended, IdempotencyClaim

ModelT = TypeVar("ModelT", bound=BaseModel)

_CHARACTERS = re.compile(r"\^(?:\[([^]^\\]+)\])?\[([^]^\\]+)\]\{(\d+),(\d+)\}\$")


class MessageManager:
    """Takes requests, answers results, raises ChronicleError for everything that a caller should hear of."""

    def __init__(
        self,
        operations: OperationTable,
        store: EventStore,
        result_of: Callable[[Appended], Awaitable[CommandResult]],
        metrics: RequestMetrics,
    ) -> None:
        self.operations = operations
        self._store = store
        self._result_of = result_of
        self._metrics = metrics

    async def handle(self, request: Request) -> Any:
        """Carry out one request. The result is what the operation's handler answers."""
        started = perf_counter()
        outcome = "internal_error"
        try:
            result = await self._handle(self.operations[request.operation], request)
        except ChronicleError as error:
            outcome = error.code
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        else:
            outcome = "ok"
            return result
        finally:
            self._metrics.observe_request(
                request.operation, request.transport, outcome, perf_counter() - started
            )

    async def _handle(self, operation: Operation, request: Request) -> Any:
        if operation.scope not in request.principal.scopes:
            raise Forbidden(
                f"'{operation.name}' needs the scope '{operation.scope}', which this key does not hold."
            )
        _check_json(request.input)
        command = validate(operation.input, request.input)
        context = Context(
            principal=request.principal,
            target=request.target,
            expected_version=request.expected_version,
            idempotency=_claim(request),
            command_id=str(uuid4()),
            correlation_id=_correlation_id(request.correlation_id),
            traceparent=request.traceparent,
            deadline_s=request.deadline_s,
        )
        try:
            async with asyncio.timeout(request.deadline_s):
                if context.idempotency is not None and operation.mode == "command":
                    earlier = await self._store.recall(context.idempotency)
                    if earlier is not None:
                        return await self._result_of(earlier)
                return await self._dispatch(operation, context, command)
        except TimeoutError as error:
            took = f"'{operation.name}' took longer than its deadline of {request.deadline_s:g} s"
            if operation.mode == "command":
                raise OutcomeUnknown(f"{took}. It may have happened: repeat it with the same key.") from error
            raise DeadlineExceeded(f"{took}.") from error

    async def _dispatch(self, operation: Operation, context: Context, command: BaseModel) -> Any:
        try:
            return await operation.handler(context, command)
        except Conflict:
            # It may conflict with its own twin, which was sent at the same time with the same key.
            earlier = (
                await self._store.recall(context.idempotency) if context.idempotency is not None else None
            )
            if earlier is None:
                raise
            return await self._result_of(earlier)


def validate(model: type[ModelT], value: Any) -> ModelT:
    """`value` as the model. Raises InvalidInput with a JSON Pointer for each fault, and without any value."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [
            Fault(_pointer(value, details["loc"], details["type"]), _sentence(model, details))
            for details in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidInput("The request is not valid.", faults) from None


def _check_json(value: Any) -> None:
    """Raise InvalidInput for what some transport's parser lets through and JSON cannot carry on."""
    try:
        orjson.dumps(value)
    except TypeError as error:
        raise InvalidInput(f"The request holds a value that cannot be kept as JSON: {error}.") from None


def _pointer(value: Any, location: tuple[str | int, ...], fault: str) -> str:
    # Pydantic puts names of union members into its locations; only parts that lead into the value are kept.
    pointer = ""
    for index, part in enumerate(location):
        inside = isinstance(value, dict) and part in value
        if isinstance(value, list) and isinstance(part, int) and part < len(value):
            inside = True
        missing = fault == "missing" and index == len(location) - 1
        if inside or missing:
            pointer += "/" + str(part).replace("~", "~0").replace("/", "~1")
            value = value[part] if inside else None
    return pointer


def _sentence(model: type[BaseModel], details: ErrorDetails) -> str:
    """What pydantic found, in words that say what would be right, and without the value."""
    message, context = details["msg"], details.get("ctx", {})
    match details["type"]:
        case "missing":
            return "This field is required."
        case "extra_forbidden":
            return "There is no such field here."
        case "union_tag_invalid":
            return f"{context['discriminator']} must be one of: {context['expected_tags']}."
        case "union_tag_not_found":
            return f"{context['discriminator']} must be one of: {_tags(model, details['loc'])}."
        case "string_pattern_mismatch":
            return _allowed_characters(context["pattern"]) or message
        case _ if message.startswith("Input should "):
            return f"It must {message.removeprefix('Input should ')}."
        case _:
            return message.removeprefix("Value error, ")


def _tags(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """The values that tell the members of a union apart; pydantic does not name them where none is given."""
    schema = model.model_json_schema()
    fields = [part.get("properties", {}) for part in (schema, *schema.get("$defs", {}).values())]
    unions = [
        part[location[-1]]["discriminator"]["mapping"]
        for part in fields
        if "discriminator" in part.get(location[-1], {})
    ]
    return ", ".join(f"'{tag}'" for tag in sorted({tag for union in unions for tag in union}))


def _allowed_characters(pattern: str) -> str:
    """A sentence for a pattern of the form `^[first][others]{1,9}$`, where `[first]` may be missing; else nothing."""
    parts = _CHARACTERS.fullmatch(pattern)
    if parts is None:
        return ""
    first, others, least, most = parts.groups()
    if first is None:
        return f"Use {least} to {most} characters of {_spelled(others)}."
    return f"Begin with one of {_spelled(first)}; then {least} to {most} characters of {_spelled(others)} may follow."


def _spelled(characters: str) -> str:
    *names, last = re.findall(r".-.|.", characters)
    return f"{', '.join(names)} and {last}" if names else last


def _claim(request: Request) -> IdempotencyClaim | None:
    key = request.idempotency_key
    if key is None:
        return None
    if not key.isprintable():
        raise InvalidInput(
            "An idempotency key has printable characters only, so no line breaks, tabs or NUL."
        )
    if not 0 < len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX:
        raise InvalidInput(
            f"An idempotency key has 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} characters, not {len(key)}."
        )
    about = [str(request.target or ""), request.expected_version, request.input]
    return IdempotencyClaim(_digest([request.principal.id, request.operation, key]), _digest(about))


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _correlation_id(text: str) -> str:
    return text if 0 < len(text) <= CORRELATION_ID_LENGTH_MAX and text.isprintable() else str(uuid4())
