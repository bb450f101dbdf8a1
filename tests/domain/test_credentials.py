"""Definitions are kept for ever and read by many, so a credential in one is a reference and nothing else."""

from typing import Any

import pytest
from pydantic import ValidationError

from domain.binding import carries_credential
from domain.tool import ToolDefinition
from tests.domain.given import tool

URL = "https://api.example.org/v1/items"
LITERAL = "hunter2"

CREDENTIAL_NAMES = (
    "Authorization Proxy-Authorization X-Authorization X-Authentication X-Auth "
    "X-AUTH-TOKEN X-Auth-Token-V2 X-Amz-Security-Token authToken accessToken access_token "
    "token token[] APIToken X-Api-Key X-Api-Key-Id apiKey apikey api_key_id "
    "X-Client-Secret passwd pwd password db_password X-JWT Bearer Session session_id "
    "sessionId X-Session-Id sig signature auth X-Amz-Signature X-Hub-Signature-256 Cookie "
    "Set-Cookie X-Amz-Credential"
)

OTHER_NAMES = (
    "X-Keyboard X-Author Accept User-Agent Content-Type X-Authority author design assign "
    "X-Request-Id X-Signal secretary page q X-Tokenizer WWW-Authenticate X-Keystone "
    "Passage"
)


def accepted(**fields: Any) -> bool:
    """Whether a tool with this HTTP binding may be registered; a refusal must not repeat the credential."""
    binding = {"type": "http", "url": URL, **fields}
    try:
        ToolDefinition.model_validate(tool(binding=binding))
    except ValidationError as refusal:
        messages = [error["msg"] for error in refusal.errors(include_input=False, include_url=False)]
        assert LITERAL not in str(messages)
        return False
    return True


@pytest.mark.parametrize("name", CREDENTIAL_NAMES.split())
def test_names_that_hold_a_credential(name: str) -> None:
    """In a header or in the URL's query, whatever its spelling."""
    assert carries_credential(name)
    assert not accepted(url=f"{URL}?{name}={LITERAL}")
    assert accepted(url=f"{URL}?{name}=secret://a")
    if "[" not in name:
        assert not accepted(headers={name: LITERAL})
        assert name == "Set-Cookie" or accepted(headers={name: "secret://a"})


@pytest.mark.parametrize("name", OTHER_NAMES.split())
def test_names_that_hold_none(name: str) -> None:
    """A part of a word is no word."""
    assert not carries_credential(name)
    assert accepted(headers={name: "text/plain"})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("Authorization", "Bearer secret://a", True),
        ("Authorization", "secret://a", True),
        ("Proxy-Authorization", "Basic secret://a", True),
        ("Authorization", f"Bearer {LITERAL} secret://a", False),
        ("Authorization", f"Bearer secret://a {LITERAL}", False),
        ("Authorization", f"Bearer secret://a;{LITERAL}", False),
        ("Authorization", f"{LITERAL}:secret://a", False),
        ("Authorization", f"{LITERAL} secret://a", False),
        ("Authorization", "", False),
        ("X-Api-Key", "Key secret://a", False),
        ("X-Auth", "Bearer secret://a", True),
        ("X-Anything", f"Bearer {LITERAL}", False),
        ("X-Anything", f"basic {LITERAL}", False),
        ("X-Anything", "Bearer secret://a", True),
        ("Cookie", "session=secret://a", True),
        ("Cookie", "session=secret://a; csrf=secret://b", True),
        ("Cookie", f"session=secret://a; csrf={LITERAL}", False),
        ("Cookie", f"session={LITERAL}", False),
        ("Cookie", f"{LITERAL}; session=secret://a", False),
    ],
)
def test_a_reference_stands_alone(name: str, value: str, allowed: bool) -> None:
    """Only a scheme's name, or a cookie's, goes with it."""
    assert accepted(headers={name: value}) is allowed


@pytest.mark.parametrize(
    "query",
    [f"a=1;token={LITERAL}", f"a=1&token={LITERAL}", f"%74oken={LITERAL}", f"token=secret://a{LITERAL}!"],
)
def test_no_spelling_of_a_query_hides_a_credential(query: str) -> None:
    """Some servers take a semicolon for an ampersand."""
    assert not accepted(url=f"{URL}?{query}")


def test_a_url_that_cannot_be_read_is_not_repeated() -> None:
    """What stands where the port should be may be a password."""
    assert not accepted(url=f"https://user:{LITERAL}/")


@pytest.mark.parametrize("name", ["X-Foo\n", "host\n", "\nX-Foo", "X-Foo\r", ""])
def test_a_header_name_has_no_line_end(name: str) -> None:
    """It would begin another header, or slip past the list of the client's own headers."""
    assert not accepted(headers={name: "a"})
