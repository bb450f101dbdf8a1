"""Ids and names are for ever: their values are written down here."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.canonical import canonical_json, definition_hash
from domain.errors import InvalidInput
from domain.identity import FEDERATED_NAME_LENGTH_MAX, aggregate_id, federated_name
from domain.recorded import Position


def test_an_aggregate_id_never_changes() -> None:
    """Stored ids would be orphaned by another rule."""
    assert aggregate_id("tool", "default", "weather") == UUID("b0522ca7-7909-5bfc-b20d-0bb66093857e")


def test_a_definition_hash_never_changes() -> None:
    """Approvals name it; key order and absent fields do not matter."""
    expected = "v1:sha256:51afce506371c37006b8711e83cc3f3f5307264f7b94677b25441054aa30bc76"
    assert definition_hash({"b": 1, "a": [True, None, 1.5, "é"]}) == expected
    assert definition_hash({"a": [True, None, 1.5, "é"], "b": 1}) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**60])
def test_numbers_that_json_cannot_carry_are_refused(value: float) -> None:
    """RFC 8785 is defined for IEEE doubles."""
    with pytest.raises(InvalidInput, match="canonical"):
        canonical_json([value])


@pytest.mark.parametrize(
    ("server", "tool", "name"),
    [
        ("weather", "forecast", "weather__forecast"),
        ("mcpm:bing-web-search", "search", "mcpm-bing-web-search__search"),
        ("toolsdk:@scope/pkg", "nasa/apod", "toolsdk-scope-pkg__nasa-apod"),
        ("Zürich  API", "${X}_make", "Zurich-API__X-_make"),
        ("a__b", "c", "a_b__c"),
    ],
)
def test_federated_names(server: str, tool: str, name: str) -> None:
    """Readable, and in the characters that model providers accept."""
    assert federated_name(server, tool) == name


def test_long_and_distinguished_names_end_in_a_hash() -> None:
    """Two long names with the same beginning stay apart."""
    one, two = federated_name("s" * 60, "tool_one"), federated_name("s" * 60, "tool_two")
    assert one != two
    assert {len(one), len(two)} == {FEDERATED_NAME_LENGTH_MAX}
    assert "__tool_one-" in one
    assert federated_name("server", "t" * 80).startswith("server__ttt")
    assert federated_name("s" * 80, "t" * 80).startswith("s" * 12 + "__ttt")
    assert federated_name("a:b", "c", distinguish=True) != federated_name("a/b", "c", distinguish=True)


@given(st.text(max_size=100), st.text(max_size=100))
def test_every_federated_name_is_legal(server: str, tool: str) -> None:
    """Whatever an upstream calls itself."""
    name = federated_name(server, tool)
    assert 0 < len(name) <= FEDERATED_NAME_LENGTH_MAX
    assert all(c.isascii() and (c.isalnum() or c in "_-") for c in name)


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "a-b", "1-2-3", "\u0661-\u0661", " 1-1"])
def test_what_is_no_position_is_refused(text: str) -> None:
    """A garbled cursor must not read from a wrong place."""
    with pytest.raises(InvalidInput):
        Position.parse(text)


def test_positions_compare_as_numbers() -> None:
    """9 comes before 10."""
    assert Position.parse("9-1") < Position.parse("10-1") < Position.parse("10-2")
