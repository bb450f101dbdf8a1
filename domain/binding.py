"""What stands behind a definition: an HTTP request, or nothing yet. Credentials appear only as `secret://name`.

An HTTP binding says where each argument goes: `{name}` in the URL's path takes one (percent-encoded), `query` names
others, and the rest is the JSON body, or the query for methods without one.
"""

import re
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator, model_validator

from domain.definition import DefinitionModel

URL_LENGTH_MAX = 2048
HEADERS_MAX = 32
TIMEOUT_S_MAX = 300.0

SECRET_REFERENCE = re.compile(r"secret://([A-Za-z0-9_.-]{1,64})")
"""A reference to a secret, resolved only when a request is made."""

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")

# A name is read as words: `X-Auth-Token-V2` and `authToken` hold the word "token", `X-Author` and `X-Keyboard` none.
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_CREDENTIAL_WORD = re.compile(
    r".*authorization|.*authentication|x?o?auth|.*tokens?|.*secrets?|.*password|passwd|passphrase|pwd|"
    r".*credentials?|jwt|bearer|.*session|.*sessionid|sid|sig|.*signature"
)
_CREDENTIAL_NAME = re.compile(
    r"(set )?cookie2?|.*keys?|(.* )?(api|access|secret|private|auth) ?key( .*)?|.*key ?id"
)

_REFERENCE = SECRET_REFERENCE.pattern
_SCHEME_AND_REFERENCE = re.compile(rf"[A-Za-z][A-Za-z-]{{0,31}} +{_REFERENCE}")
_COOKIE = rf"[A-Za-z0-9!#$%&'*+.^_`|~-]{{1,128}}={_REFERENCE}"
_COOKIES_OF_REFERENCES = re.compile(rf"{_COOKIE}(; *{_COOKIE})*")
_SCHEME_WITH_CREDENTIAL = re.compile(r"\s*(bearer|basic)\s", re.IGNORECASE)


def carries_credential(name: str) -> bool:
    """Whether a header or query parameter of this name is taken to hold a credential."""
    lower = [word.lower() for word in _WORD.findall(name)] + re.findall("[a-z0-9]+", name.lower())
    spaced = " ".join(re.findall("[a-z0-9]+", name.lower()))
    camel = " ".join(word.lower() for word in _WORD.findall(name))
    return any(_CREDENTIAL_WORD.fullmatch(word) for word in lower) or any(
        _CREDENTIAL_NAME.fullmatch(words) for words in (spaced, camel)
    )


class UnboundBinding(DefinitionModel):
    """Known from a catalogue, with no endpoint: listed and searchable, and a use says that there is none."""

    type: Literal["unbound"]


class HttpRequestBinding(DefinitionModel):
    """The part that tool and resource bindings share: where the request goes and with which headers."""

    type: Literal["http"]
    url: str = Field(max_length=URL_LENGTH_MAX)
    headers: dict[str, str] = Field(default_factory=dict, max_length=HEADERS_MAX)
    timeout_s: float = Field(default=30.0, gt=0, le=TIMEOUT_S_MAX)

    @property
    def path_parameters(self) -> list[str]:
        """The names in braces in the URL's path, in order."""
        return _PLACEHOLDER.findall(urlsplit(self.url).path)

    @field_validator("url")
    @classmethod
    def _url_is_plain_http(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            # The library's message would repeat a part of the URL, which may be a password.
            raise ValueError("not a URL: its host or its port cannot be read") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("use an absolute http:// or https:// URL")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a URL must hold no user or password; put a secret:// reference into a header")
        if parts.fragment:
            raise ValueError("a URL to request has no fragment")
        if any(mark in parts.netloc + parts.query for mark in "{}"):
            raise ValueError("{name} may stand in the path only; use `query` for parameters")
        for name, value in parse_qsl(parts.query.replace(";", "&")):
            _refuse_literal_credential("query parameter", name, value)
        if any(ord(character) <= 0x20 or ord(character) == 0x7F for character in url):
            raise ValueError("a URL holds no blanks and no control characters; percent-encode them")
        return url

    @field_validator("headers")
    @classmethod
    def _headers_are_safe(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name[:64]!r} is not a header name")
            if name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
                raise ValueError(f"the header '{name}' is set by the HTTP client")
            if any(ord(character) < 0x20 or ord(character) >= 0x7F for character in value):
                raise ValueError(f"the value of '{name}' holds a character that a header cannot carry")
            _refuse_literal_credential("header", name, value)
        return headers


class HttpBinding(HttpRequestBinding):
    """A tool that is one HTTP request. `query` maps parameter names to the names of the arguments they take."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    query: dict[str, str] = Field(default_factory=dict, max_length=HEADERS_MAX)

    @model_validator(mode="after")
    def _an_argument_has_one_place(self) -> "HttpBinding":
        twice = sorted(set(self.query.values()) & set(self.path_parameters))
        if twice:
            raise ValueError(f"{twice} go to the path already and cannot go to the query as well")
        return self


def _refuse_literal_credential(place: str, name: str, value: str) -> None:
    scheme_given = bool(_SCHEME_WITH_CREDENTIAL.match(value))
    if (scheme_given or carries_credential(name)) and not _is_reference(name.lower(), value, scheme_given):
        raise ValueError(
            f"the {place} '{name}' holds a literal credential; definitions are kept for ever and read by many, "
            "so let the value be a reference such as secret://my-key, and nothing else but an authentication scheme "
            "before it"
        )


def _is_reference(name: str, value: str, scheme_given: bool) -> bool:
    if SECRET_REFERENCE.fullmatch(value):
        return True
    if name == "cookie":
        return bool(_COOKIES_OF_REFERENCES.fullmatch(value))
    takes_scheme = scheme_given or name in ("authorization", "proxy-authorization")
    return takes_scheme and bool(_SCHEME_AND_REFERENCE.fullmatch(value))
