"""The definition hash covers everything that shapes a tool's behaviour: what is approved is what is called."""

import copy
from typing import Any

import pytest

from domain.binding import HttpBinding
from domain.canonical import definition_hash
from domain.tool import ToolAnnotations, ToolDefinition

FULL: dict[str, Any] = {
    "name": "weather",
    "title": "Weather",
    "description": "Forecast of one city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "output_schema": {"type": "object", "properties": {"degrees": {"type": "number"}}},
    "annotations": {
        "title": "Forecast",
        "readOnlyHint": True,
        "destructiveHint": False,
        "idempotentHint": True,
        "openWorldHint": False,
    },
    "binding": {
        "type": "http",
        "url": "https://api.example.org/v1/{city}",
        "headers": {"Authorization": "Bearer secret://weather"},
        "timeout_s": 5.0,
        "method": "GET",
        "query": {"u": "units"},
    },
}

CHANGES: dict[str, Any] = {
    "name": "other",
    "title": "Other",
    "description": "Other",
    "input_schema": {"type": "object", "required": ["city"]},
    "output_schema": {"type": "object"},
    "annotations": None,
    "annotations.title": "Other",
    "annotations.readOnlyHint": False,
    "annotations.destructiveHint": True,
    "annotations.idempotentHint": False,
    "annotations.openWorldHint": True,
    "binding": {"type": "unbound"},
    "binding.type": None,
    "binding.url": "https://api.example.org/v2/{city}",
    "binding.headers": {"Authorization": "Bearer secret://other"},
    "binding.timeout_s": 6.0,
    "binding.method": "POST",
    "binding.query": {"u": "unit"},
}


def hashed(definition: dict[str, Any]) -> str:
    return definition_hash(ToolDefinition.model_validate(definition).content())


def test_the_hash_of_a_full_definition_never_changes() -> None:
    """Approvals and records name it for ever."""
    assert hashed(FULL) == "v1:sha256:ef173a595fb04de95b9bedb8ef65338b485600c35aec5ef4c73ea298d9739965"


def test_every_field_is_here() -> None:
    """A field that is added to the model is added to this table too."""
    fields = set(ToolDefinition.model_fields)
    fields |= {f"annotations.{field}" for field in ToolAnnotations.model_fields}
    fields |= {f"binding.{field}" for field in HttpBinding.model_fields}
    assert fields == set(CHANGES)


@pytest.mark.parametrize("field", sorted(set(CHANGES) - {"binding.type"}))
def test_any_change_changes_the_hash(field: str) -> None:
    """Also when the field is left out."""
    changed, left_out = copy.deepcopy(FULL), copy.deepcopy(FULL)
    *above, last = field.split(".")
    for definition in (changed, left_out):
        target = definition[above[0]] if above else definition
        if definition is changed:
            target[last] = CHANGES[field]
        else:
            del target[last]
    assert hashed(changed) != hashed(FULL)
    if field not in ("name", "input_schema", "binding", "binding.url"):
        assert hashed(left_out) != hashed(FULL)
