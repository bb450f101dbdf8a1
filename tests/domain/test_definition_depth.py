"""A definition is nested only as deep as everything that stores it can carry."""

from typing import Any

import orjson
import pytest

from domain.definition import DEFINITION_DEPTH_MAX
from domain.errors import InvalidInput
from domain.tool import ToolDefinition


def nested(levels: int) -> ToolDefinition:
    """A tool whose static answer is objects in objects; binding and definition are two levels more."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    binding = {"type": "static", "content": [], "structured_content": value}
    return ToolDefinition.model_validate(
        {"name": "t", "input_schema": {"type": "object"}, "binding": binding}
    )


def test_the_deepest_definition_can_be_stored_as_part_of_an_entry() -> None:
    """A read model's document holds it a few levels further down."""
    content = nested(DEFINITION_DEPTH_MAX - 2).content()
    assert orjson.dumps({"entry": {"proposals": [{"definition": content}]}})


@pytest.mark.parametrize("levels", [DEFINITION_DEPTH_MAX - 1, 250, 400])
def test_a_deeper_definition_is_refused(levels: int) -> None:
    """With a message, and not with an error of a library."""
    with pytest.raises(InvalidInput, match=f"deeper than {DEFINITION_DEPTH_MAX} levels"):
        nested(levels).content()
