"""The fields that come from the operation table: every command, and every call, without a line for any of them.

The field of `tool.roll_back` is `toolRollBack`. A command is a mutation; a call that only reads (its scope says so) is
a query, any other a mutation. `input` has the fields of the row's model; what is no plain value or list of texts is
JSON, the same JSON as in REST. What a command changes is named beside it, by `id` or by `namespace` and `key`.
"""

import types
from collections.abc import Awaitable, Callable, Iterable, Mapping
from inspect import Parameter, Signature
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

import strawberry
from pydantic import BaseModel
from strawberry.scalars import JSON
from strawberry.types.field import StrawberryField

from api.graphql.answers import CommandAnswer, RenderedPrompt, ToolAnswer
from api.graphql.caller import Info, backed_by, camel, given, moved, parse_id, target_of
from commands.operations import Operation
from domain.errors import InvalidInput

_PLAIN = frozenset({str, int, bool, float, list[str]})
_CALL_ANSWERS: Mapping[str, Any] = {"tool.call": ToolAnswer, "prompt.render": RenderedPrompt}

Fields: TypeAlias = list[StrawberryField]
Inputs: TypeAlias = dict[type[BaseModel], type]


def generated_fields(rows: Iterable[Operation]) -> tuple[Fields, Fields]:
    """The fields of Query and those of Mutation that the rows make."""
    queries: Fields = []
    mutations: Fields = []
    inputs: Inputs = {}
    for row in rows:
        if row.mode == "command":
            mutations.append(_command(row, inputs))
        elif row.mode == "call":
            reads = row.scope.endswith(":read")
            (queries if reads else mutations).append(_call(row, inputs))
    return queries, mutations


def field_name(operation: str) -> str:
    """The name of an operation's field."""
    return camel(operation.replace(".", "_"))


def _command(row: Operation, inputs: Inputs) -> StrawberryField:
    kind = row.name.partition(".")[0]
    existing = row.addressing == "existing"

    async def resolve(info: Info, **arguments: Any) -> CommandAnswer:
        target = None
        if existing:
            target = target_of(kind, arguments.get("id"), arguments.get("namespace"), arguments.get("key"))
        more = {name: arguments.get(name) for name in ("expected_version", "idempotency_key")}
        return CommandAnswer.of(
            await _handle(row, info, arguments.get("input"), given(target=target, **more))
        )

    about: dict[str, Any] = {}
    if existing:
        about = {"id": strawberry.ID, "namespace": str, "key": str, "expected_version": int}
        if kind == "namespace":
            del about["key"]
    return _field(row, resolve, CommandAnswer, {**about, "idempotency_key": str}, inputs)


def _call(row: Operation, inputs: Inputs) -> StrawberryField:
    answer = _CALL_ANSWERS.get(row.name)

    async def resolve(info: Info, **arguments: Any) -> Any:
        target = parse_id(arguments["id"]) if arguments.get("id") is not None else None
        result = await _handle(row, info, arguments.get("input"), given(target=target))
        return answer.of(result) if answer is not None else result

    return _field(row, resolve, answer or JSON, {"id": strawberry.ID}, inputs)


async def _handle(row: Operation, info: Info, value: Any, more: Mapping[str, Any]) -> Any:
    fields = {} if value is None else vars(value)
    plain = {name: field for name, field in fields.items() if field is not strawberry.UNSET}
    try:
        return await info.context.handle(row.name, plain, **more)
    except InvalidInput as error:
        raise moved(
            error, {name: f"input/{camel(name)}" for name in row.input.model_fields}, "/input"
        ) from error


def _field(
    row: Operation,
    resolve: Callable[..., Awaitable[Any]],
    answer: Any,
    optional: Mapping[str, Any],
    inputs: Inputs,
) -> StrawberryField:
    """A field with these optional arguments and the row's input, which may be left out if all of it may."""
    parameters = [Parameter("info", Parameter.POSITIONAL_OR_KEYWORD, annotation=Info)]
    arguments: dict[str, tuple[Any, Any]] = {
        name: (_or_none(type_), None) for name, type_ in optional.items()
    }
    if row.input.model_fields:
        input_type: Any = inputs.setdefault(row.input, _input_type(row.input))
        required = any(info.is_required() for info in row.input.model_fields.values())
        arguments["input"] = (input_type, Parameter.empty) if required else (_or_none(input_type), None)
    parameters += [
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=type_, default=default)
        for name, (type_, default) in arguments.items()
    ]
    resolve.__signature__ = Signature(parameters, return_annotation=answer)  # type: ignore[attr-defined]  # a function's
    field: StrawberryField = strawberry.field(
        resolver=resolve,
        name=field_name(row.name),
        description=f"{row.summary}. Needs the scope {row.scope}.",
        metadata=backed_by(row.name),
    )
    field.python_name = row.name.replace(".", "_")
    return field


def _input_type(model: type[BaseModel]) -> type:
    annotations: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        type_ = _graphql_type(info.annotation)
        annotations[name] = type_ if info.is_required() else _or_none(type_)
        defaults[name] = strawberry.field(
            description=info.description,
            **({} if info.is_required() else {"default": strawberry.UNSET}),
        )
    body = {"__annotations__": annotations, "__doc__": model.__doc__, **defaults}
    cls = types.new_class(f"{model.__name__}Input", (), {}, lambda namespace: namespace.update(body))
    return strawberry.input(cls, description=model.__doc__)


def _graphql_type(annotation: Any) -> Any:
    """The type of a model's field: a plain one, a list of texts, an optional one of these, or JSON."""
    if get_origin(annotation) is Annotated:
        return _graphql_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not types.NoneType]
        return _or_none(_graphql_type(parts[0]) if len(parts) == 1 else JSON)
    return annotation if annotation in _PLAIN else JSON


def _or_none(type_: Any) -> Any:
    return type_ | None if type_ is not JSON else Union[JSON, None]  # noqa: UP007 - a scalar knows no `|`
