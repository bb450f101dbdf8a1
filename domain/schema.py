"""JSON Schema: checking that a schema is one, and compiling it into a validator that fetches nothing."""

from typing import Any

import jsonschema_rs

from domain.errors import Fault

FAULTS_MAX = 20
"""Faults reported for one value; more would not help anybody."""

SCHEMA_DEPTH_MAX = 64
"""Levels of nesting that a schema may have."""

MASK = "the value"
"""Stands for the value itself in messages: arguments may hold secrets."""


def _refuse_to_fetch(uri: str) -> Any:
    raise ValueError(f"'{uri}' is elsewhere, and schemas are never fetched; include it under $defs")


def compile_schema(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """A reusable validator.

    Raises ValueError, saying where and why, if `schema` is not a JSON Schema, nests too deep or refers elsewhere.
    """
    if _depth(schema) > SCHEMA_DEPTH_MAX:
        raise ValueError(f"the schema is nested deeper than {SCHEMA_DEPTH_MAX} levels")
    try:
        return jsonschema_rs.validator_for(schema, retriever=_refuse_to_fetch, mask=MASK)
    except jsonschema_rs.ValidationError as error:
        raise ValueError(
            f"not a JSON Schema at '{pointer_of(error.instance_path)}': {error.message}"
        ) from error


def faults_of(validator: jsonschema_rs.Validator, value: Any, prefix: str) -> list[Fault]:
    """What is wrong with `value`, at most FAULTS_MAX faults, each with a JSON Pointer that starts with `prefix`."""
    faults: list[Fault] = []
    for error in validator.iter_errors(value):
        faults.append(Fault(prefix + pointer_of(error.instance_path), error.message))
        if len(faults) == FAULTS_MAX:
            break
    return faults


def pointer_of(path: list[str | int]) -> str:
    """The JSON Pointer (RFC 6901) of a path of keys and indices."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _depth(value: Any, level: int = 1) -> int:
    if level > SCHEMA_DEPTH_MAX or not isinstance(value, dict | list):
        return level
    children = value.values() if isinstance(value, dict) else value
    return max((_depth(child, level + 1) for child in children), default=level)
