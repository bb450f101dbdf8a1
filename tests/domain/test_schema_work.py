"""A schema is bounded when it is registered, because validation holds the event loop."""

from time import perf_counter
from typing import Any

import pytest

from domain.schema import VALUE_DEPTH_MAX, compile_schema, too_deep, value_depth_max

REF_A = {"$ref": "#/$defs/a"}


def with_defs(**defs: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": REF_A}, "$defs": defs}


def bomb(levels: int) -> dict[str, Any]:
    """Each definition applies the one before it twice."""
    defs: dict[str, Any] = {"a0": {"type": "string"}}
    for level in range(1, levels + 1):
        before = {"$ref": f"#/$defs/a{level - 1}"}
        defs[f"a{level}"] = {"anyOf": [{"allOf": [before, before]}]}
    return {"type": "object", "properties": {"x": {"$ref": f"#/$defs/a{levels}"}}, "$defs": defs}


@pytest.mark.parametrize("levels", [12, 24, 34, 300])
def test_a_schema_that_multiplies_is_refused(levels: int) -> None:
    """At once: counting must not take the time that it saves."""
    started = perf_counter()
    with pytest.raises(ValueError, match="expand to more than"):
        compile_schema(bomb(levels))
    assert perf_counter() - started < 1


def test_some_reuse_is_accepted() -> None:
    """References are there to be used."""
    assert value_depth_max(bomb(5)) == VALUE_DEPTH_MAX


@pytest.mark.parametrize(
    "schema",
    [
        with_defs(a={"allOf": [REF_A]}),
        with_defs(a={"not": REF_A}),
        with_defs(a={"if": REF_A}),
        with_defs(a={"dependentSchemas": {"p": REF_A}}),
        with_defs(a={"$ref": "#/$defs/b"}, b={"anyOf": [True, REF_A]}),
        {"type": "object", "$ref": "#"},
        {"type": "object", "$dynamicAnchor": "m", "allOf": [{"$dynamicRef": "#m"}]},
        {"$id": "https://example.org/s", "type": "object", "allOf": [{"$ref": "s"}]},
    ],
)
def test_a_schema_that_refers_to_itself_in_place_is_refused(schema: dict[str, Any]) -> None:
    """Nothing would end it."""
    with pytest.raises(ValueError, match="refers to itself"):
        compile_schema(schema)


@pytest.mark.parametrize(
    "inner",
    [
        {"properties": {"left": REF_A, "right": REF_A}},
        {"items": REF_A},
        {"prefixItems": [REF_A, REF_A], "items": REF_A},
        {"anyOf": [{"type": "array", "items": REF_A}, {"type": "string"}]},
        {"properties": {"a": REF_A}, "additionalProperties": REF_A},
        {"oneOf": [{"properties": {"and": {"items": REF_A}}}, {"properties": {"or": {"items": REF_A}}}]},
        {"patternProperties": {"^x": REF_A}},
        {"contains": REF_A},
    ],
)
def test_recursion_into_the_value_is_accepted(inner: dict[str, Any]) -> None:
    """It ends where the value ends, and each inner value is met by one schema."""
    assert value_depth_max(with_defs(a=inner)) == VALUE_DEPTH_MAX
    compile_schema(with_defs(a=inner))


def test_a_value_met_in_many_ways_may_be_less_deep() -> None:
    """Two alternatives with the same member double the work on each level; two hundred are refused."""
    alternatives = [{"properties": {"type": {"const": n}, "child": REF_A}} for n in range(200)]
    twice = value_depth_max(with_defs(a={"oneOf": alternatives[:2]}))
    assert 8 < twice < 20
    with pytest.raises(ValueError, match="too many ways"):
        compile_schema(with_defs(a={"oneOf": alternatives}))


def test_the_work_that_is_accepted_is_quick() -> None:
    """Whatever the bounds let through is validated while a caller waits."""
    schema = with_defs(a={"allOf": [{"properties": {"child": REF_A}}, {"properties": {"child": REF_A}}]})
    depth = value_depth_max(schema)
    value: Any = 1
    for _ in range(depth - 2):
        value = {"child": value}
    validator = compile_schema(schema)
    started = perf_counter()
    assert too_deep({"x": value}, depth, "") == []
    assert validator.is_valid({"x": value})
    assert perf_counter() - started < 0.5
    assert too_deep({"x": {"child": value}}, depth, "/arguments")[0].pointer == "/arguments"


def test_the_number_of_schemas_is_bounded() -> None:
    """In the schema itself and in its definitions."""
    many = {f"p{n}": {"type": "string"} for n in range(2_000)}
    with pytest.raises(ValueError, match="more than 2000"):
        compile_schema({"type": "object", "properties": many})
    compile_schema({"type": "object", "properties": dict(list(many.items())[:1_900])})


def test_a_long_chain_of_references_is_followed() -> None:
    """Without Python's own recursion."""
    chain = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(900)}
    schema = {"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": {**chain, "d900": {}}}
    assert value_depth_max(schema) == VALUE_DEPTH_MAX
