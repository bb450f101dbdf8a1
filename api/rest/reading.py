"""From a request to the input of an operation: bodies and query parameters as JSON values. The models judge them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import orjson
from pydantic import BaseModel
from starlette.requests import Request

from api.errors import MalformedJson, UnsupportedMediaType
from domain.errors import Fault, InvalidInput

JSON_DEPTH_MAX = 100
"""Levels of nesting in a body. The deepest thing that is accepted, a schema, has 64."""


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body, an empty one for no body.

    Raises UnsupportedMediaType, MalformedJson, BodyTooLarge, and InvalidInput for JSON that is no object.
    """
    body = await request.body()
    if not body:
        return {}
    _check_media_type(request)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(f"The body is not JSON: {error}.") from None
    # Each level has an opening bracket: with few of them, which is the rule, nothing need be walked through.
    if body.count(b"{") + body.count(b"[") > JSON_DEPTH_MAX and _deeper_than(value, JSON_DEPTH_MAX):
        raise MalformedJson(f"The body nests deeper than {JSON_DEPTH_MAX} levels.")
    if not isinstance(value, dict):
        message = "The body must be a JSON object."
        raise InvalidInput(message, [Fault("", message)])
    return value


def only_fields(value: dict[str, Any], allowed: frozenset[str]) -> dict[str, Any]:
    """`value` if it has no other fields. Raises InvalidInput with a pointer to each that is too many."""
    others = [name for name in value if name not in allowed]
    if others:
        raise InvalidInput(
            "The request has fields that do not belong here.",
            [
                Fault(f"/{_escaped(name)}", f"There is no such field here. {_instead(allowed)}")
                for name in others
            ],
        )
    return value


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter: its name, and the field of the input model that it fills."""

    name: str
    field: str
    whole_number: bool = False
    several: bool = False
    required: bool = False


def parameters(
    model: type[BaseModel],
    *,
    leave_out: frozenset[str] = frozenset(),
    required: frozenset[str] = frozenset(),
    names: Mapping[str, str] | None = None,
) -> tuple[Parameter, ...]:
    """A parameter for each field of a model; `names` gives some another name than their field's.

    `required` are fields that the model does not require, but a path on which nothing else says what is meant.
    """
    called = names or {}
    return tuple(
        Parameter(
            called.get(field, field),
            field,
            whole_number=int in _types(info.annotation),
            several=list in _types(info.annotation),
            required=info.is_required() or field in required,
        )
        for field, info in model.model_fields.items()
        if field not in leave_out
    )


def read_query(
    request: Request, known: tuple[Parameter, ...], also: Iterable[Parameter] = ()
) -> dict[str, Any]:
    """The query parameters as input. Raises InvalidInput for unknown ones, and for one given twice.

    Of several values, each may come by itself or all separated by commas. `any` as a status means no condition.
    `also` are parameters with which the path would have been read in another way: messages name them.
    """
    given: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        given.setdefault(name, []).append(value)
    values: dict[str, Any] = {}
    for parameter in known:
        texts = given.pop(parameter.name, None)
        if texts is None or (parameter.required and not "".join(texts).strip()):
            continue  # nothing but blanks is as good as missing
        if parameter.several:
            values[parameter.field] = [part for text in texts for part in text.split(",") if part]
            continue
        if len(texts) > 1:
            message = f"It is given {len(texts)} times; give it once."
            raise InvalidInput("The query is not valid.", [Fault(f"/{parameter.name}", message)])
        values[parameter.field] = _value(parameter, texts[0])
    instead = _instead({parameter.name for parameter in (*known, *also)})
    faults = [Fault(f"/{_escaped(name)}", f"There is no such parameter here. {instead}") for name in given]
    faults += [
        Fault(f"/{parameter.name}", "This parameter is required here.")
        for parameter in known
        if parameter.required and parameter.field not in values
    ]
    if faults:
        raise InvalidInput("The query is not valid.", faults)
    return values


def renamed(error: InvalidInput, known: tuple[Parameter, ...]) -> InvalidInput:
    """The error with its pointers naming parameters instead of fields."""
    names = {f"/{parameter.field}": f"/{parameter.name}" for parameter in known}
    faults = [Fault(names.get(fault.pointer, fault.pointer), fault.message) for fault in error.faults]
    return InvalidInput(error.message, faults)


def _instead(names: Collection[str]) -> str:
    if not names:
        return "None is read."
    *others, last = sorted(names)
    return f"Use {', '.join(others)} or {last}." if others else f"Use {last}."


def _value(parameter: Parameter, text: str) -> str | int | None:
    # Digits become a number; anything else stays text, and the model says what is wrong with it.
    if parameter.whole_number and text.isascii() and text.removeprefix("-").isdigit() and len(text) < 19:
        return int(text)
    if parameter.field == "status" and text == "any":
        return None
    return text


def _types(annotation: Any) -> set[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _types(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return {found for part in get_args(annotation) for found in _types(part)}
    return {origin or annotation}


def _check_media_type(request: Request) -> None:
    sent = request.headers.get("content-type", "")
    media_type, _, rest = sent.partition(";")
    media_type = media_type.strip().lower()
    charset = rest.lower().replace(" ", "").replace('"', "")
    known = media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    if not known or ("charset=" in charset and "charset=utf-8" not in charset):
        raise UnsupportedMediaType(
            f"The body's Content-Type is '{sent[:100]}'. Send JSON as application/json, in UTF-8."
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("The body has a Content-Encoding. Send it as it is.")


def _deeper_than(value: Any, levels: int) -> bool:
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        layer = [
            child
            for parent in layer
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
    return bool(layer)


def _escaped(name: str) -> str:
    return name[:100].replace("~", "~0").replace("/", "~1")
