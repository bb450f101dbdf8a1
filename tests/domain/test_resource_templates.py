"""How a URI is matched with a template, and which templates can be matched at all."""

import re
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.resource import URI_LENGTH_MAX, ResourceDefinition, match_template


def definition(**address: str) -> ResourceDefinition:
    binding = {"type": "static", "text": "hello"}
    return ResourceDefinition.model_validate({"name": "A", "binding": binding, **address})


@pytest.mark.parametrize("template", ["x:{a}{b}", "x:{a}{b}{c}{d}{e}!", "x:{a}/{b}{c}", "x:{a}\n", "x:{a} b"])
def test_templates_that_are_refused(template: str) -> None:
    """Between two values something must say where the first ends."""
    with pytest.raises(ValidationError):
        definition(uri_template=template)


@pytest.mark.parametrize("template", ["x:{a}/{b}", "x:{a}{?b,c}", "x:{a}{/b}", "x:{+a}", "x:{a}-{b}"])
def test_templates_that_are_accepted(template: str) -> None:
    """The other expressions of RFC 6570 bring their own mark."""
    assert definition(uri_template=template).key == template


@pytest.mark.parametrize("uri", ["x:\n", "x:a\n", "x\n:a", "x:a\x00"])
def test_a_uri_has_no_line_end(uri: str) -> None:
    """Nor any other control character."""
    with pytest.raises(ValidationError):
        definition(uri=uri)


@pytest.mark.parametrize(
    ("template", "uri", "values"),
    [
        ("a://{x}", "a://1", {"x": "1"}),
        ("a://{x}", "a://", None),
        ("a://{x}", "b://1", None),
        ("a://{x}", "a://1?q", None),
        ("a://{x}.json", "a://1.json.json", {"x": "1.json"}),
        ("a://{x}.json", "a://.json", None),
        ("a://{x}-{y}", "a://1-2-3", {"x": "1", "y": "2-3"}),
        ("a://{x}-{y}", "a://--3", {"x": "-", "y": "3"}),
        ("a://{x}-{y}-", "a://1-2-", {"x": "1", "y": "2"}),
        ("a://{x}-{y}-", "a://1-", None),
        ("a://{x}/{y}", "a://1/2/3", None),
        ("a://{x}", "a://%2F%3f", {"x": "/?"}),
        ("a://{x}{y}", "a://12", None),
        ("a://{+x}/{y}", "a://{+x}/1", None),
        ("a://plain", "a://plain", None),
    ],
)
def test_a_value_is_the_shortest_that_fits(template: str, uri: str, values: dict[str, str] | None) -> None:
    """The last one takes what is left."""
    assert match_template(template, uri) == values


@given(
    st.lists(st.sampled_from(["-", "--", "a", "/", "-/", ".a"]), min_size=1, max_size=3),
    st.text("-a/.b", max_size=12),
)
def test_a_uri_matches_when_some_choice_of_values_does(literals: list[str], rest: str) -> None:
    """Not going back loses no match: a search of all choices finds none where this finds none."""
    names = [f"v{number}" for number in range(len(literals) + 1)]
    template = "x:" + "".join(f"{{{name}}}{text}" for name, text in zip(names, [*literals, ""], strict=True))
    pattern = "x:" + "".join(f"([^/?#]+){re.escape(text)}" for text in [*literals, ""])
    assert (match_template(template, "x:" + rest) is None) == (re.fullmatch(pattern, "x:" + rest) is None)


def test_matching_takes_linear_time() -> None:
    """The event loop waits for it, and whoever sends the URI chooses how long."""
    started = perf_counter()
    assert match_template("x:{a}{b}{c}{d}{e}!", "x:" + "a" * 150) is None
    template = "x:" + "".join(f"{{v{number}}}a" for number in range(300)) + "!"
    assert match_template(template, "x:" + "a" * (URI_LENGTH_MAX - 2)) is None
    assert perf_counter() - started < 0.5


def test_a_uri_is_bounded_before_it_is_matched() -> None:
    """A longer one names nothing that could be registered."""
    assert match_template("x:{a}", "x:" + "a" * (URI_LENGTH_MAX - 2)) is not None
    assert match_template("x:{a}", "x:" + "a" * (URI_LENGTH_MAX - 1)) is None
