"""The analyser splits, folds and bounds; the flat text holds what a tool is found by."""

from dataclasses import replace

import pytest

from projections.analysis import (
    TOKEN_LENGTH_MAX,
    TOKENS_PER_DOCUMENT_MAX,
    TOKENS_PER_QUERY_MAX,
    prose,
    query_tokens,
    words,
)
from projections.fulltext import NAME_WEIGHT, fulltext_document
from tests.projections.entries import entry, tool


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listOpenIssues list_open-issues.v2", "list open issu list open issu v2"),
        ("HTTPServer2Go sha256 S3Bucket", "http server2 go sha256 s3 bucket"),
        ("Crème BRÛLÉE Straße ﬁle Ёлка", "creme brule strass file елка"),
        ("使用必应 x 力 タワー がぎ", "使用 用必 必应 x 力 タワ ワー がぎ"),
        ("the who_is_on", "the who is on"),
        ('a"b\\c*d:e (f) \x00\ud800', "a b c d e f"),
    ],
)
def test_words(text: str, expected: str) -> None:
    """Identifiers are split, case and accents folded, English stemmed, scripts without blanks paired."""
    assert list(words(text)) == expected.split()


def test_stop_words_count_only_where_they_must() -> None:
    """Not in sentences, not in queries with other words; alone they are all there is."""
    assert list(prose("the tools of the trade")) == ["tool", "trade"]
    assert query_tokens("turn it on, turn") == ["turn"]
    assert query_tokens("on") == ["on"]


def test_everything_is_bounded() -> None:
    """Long words are cut, and long texts and queries end at their bounds."""
    assert list(words("x" * 100)) == ["x" * TOKEN_LENGTH_MAX]
    assert len(query_tokens(" ".join(f"w{n}" for n in range(500)))) == TOKENS_PER_QUERY_MAX
    long = tool("long", 1, description=" ".join(f"w{n}" for n in range(9000)))
    assert len(fulltext_document(long)["text"].split()) == TOKENS_PER_DOCUMENT_MAX


def test_the_flat_text_has_every_part() -> None:
    """Names by weight, server, parameters with their descriptions; odd schemas are no obstacle."""
    schema = {
        "type": "object",
        "properties": {"maxAge": {"description": "Oldest"}, "any": True, "odd": {"description": 7}},
    }
    one = tool("get", 1, server="Hub", title="Title", description="Prose", input_schema=schema)
    found = fulltext_document(one)["text"].split()
    assert found.count("get") == NAME_WEIGHT
    assert set(found) >= {"hub", "titl", "prose", "max", "age", "oldest", "ani", "odd"}
    resource = entry("resource", "db://main/users", {"name": "Users", "uri": "db://main/users"}, 2)
    assert set(fulltext_document(resource)["text"].split()) == {"user", "db", "main"}
    prompt = entry("prompt", "p", {"name": "p", "arguments": [{"name": "tone", "description": "Voice"}]}, 3)
    assert {"tone", "voic"} <= set(fulltext_document(prompt)["text"].split())


def test_what_is_only_proposed_is_found_by_its_proposal() -> None:
    """A person who approves looks for it."""
    proposed = replace(tool("t", 1), definition=None, definition_hash=None, served_revision=None)
    assert fulltext_document(proposed)["text"].split() == ["t"] * NAME_WEIGHT
    assert fulltext_document(proposed)["status"] == "proposed"
