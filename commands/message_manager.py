"""The Message Manager: the one pipeline that every request of every transport passes.

authorise → validate → idempotency → deadline → dispatch → outcome metrics. Transports translate and decide nothing.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, TypeVar
from uuid import uuid4

from pydantic import BaseModel, ValidationError

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
from domain.errors import ChronicleError, DeadlineExceeded, Fault, Forbidden, InvalidInput, OutcomeUnknown
from domain.recorded import Appended, IdempotencyClaim

ModelT = TypeVar("ModelT", bound=BaseModel)


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
                return await operation.handler(context, command)
        except TimeoutError as error:
            took = f"'{operation.name}' took longer than its deadline of {request.deadline_s:g} s"
            if operation.mode == "command":
                raise OutcomeUnknown(f"{took}. It may have happened: repeat it with the same key.") from error
            raise DeadlineExceeded(f"{took}.") from error


def validate(model: type[ModelT], value: Any) -> ModelT:
    """`value` as the model. Raises InvalidInput with a JSON Pointer for each fault, and without any value."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [
            Fault(_pointer(value, details["loc"], details["type"]), _sentence(details["msg"]))
            for details in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidInput(f"The request does not fit '{model.__name__}'.", faults) from None


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


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")


def _claim(request: Request) -> IdempotencyClaim | None:
    key = request.idempotency_key
    if key is None:
        return None
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
