"""Headers of requests and answers: entity tags, idempotency keys and links.

An entity tag (RFC 9110 section 8.8.3) is `"v<version>"`, where version counts the changes of one definition or
namespace.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.datastructures import Headers
from starlette.requests import Request

from api.errors import BadHeader, PreconditionFailed
from domain.errors import VersionRequired

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_TAGS = re.compile(rf"\s*{_TAG.pattern}\s*(,\s*{_TAG.pattern}\s*)*")
_VERSION = re.compile(r"v([1-9][0-9]{0,9})")


def etag(version: int) -> str:
    """The strong entity tag of a version."""
    return f'"v{version}"'


def if_match(headers: Headers) -> int | None:
    """The version that a change is based on, None without the header.

    Raises BadHeader for what is no entity tag or more than one, PreconditionFailed for a tag that can match nothing,
    and VersionRequired for `*`, which names no version.
    """
    text = _one(headers, "If-Match")
    if text is None:
        return None
    if text == "*":
        raise VersionRequired('If-Match: * names no version. Send the ETag of what you read, such as "v3".')
    if not _TAGS.fullmatch(text):
        raise BadHeader(
            f"If-Match is '{text[:100]}', which is no entity tag. Send one such as \"v3\", with the quotes."
        )
    tags = _TAG.findall(text)
    if len(tags) > 1:
        raise BadHeader("If-Match names several versions. A change is based on one: send its ETag alone.")
    weak, opaque = tags[0]
    version = _VERSION.fullmatch(opaque)
    if weak or not version:
        raise PreconditionFailed(
            f"If-Match is {text[:100]}, which matches no version"
            f'{" because it is weak" if weak else ""}. Send the ETag of what you read, such as "v3".'
        )
    return int(version[1])


def refuse_conditions(headers: Headers, way_out: str) -> None:
    """Raise BadHeader for a condition on a request that has none: it would be promised and not kept."""
    for name in ("If-Match", "If-None-Match"):
        if name in headers:
            raise BadHeader(f"{name} has no meaning here. {way_out}")


def not_modified(headers: Headers, tag: str) -> bool:
    """Whether If-None-Match says that the caller has this version (weak comparison). Raises BadHeader."""
    text = ", ".join(headers.getlist("If-None-Match")).strip()
    if not text:
        return False
    if text == "*":
        return True
    if not _TAGS.fullmatch(text):
        raise BadHeader(f"If-None-Match is '{text[:100]}', which is no list of entity tags such as \"v3\".")
    return any(f'"{opaque}"' == tag for _, opaque in _TAG.findall(text))


def idempotency_key(headers: Headers) -> str | None:
    """The caller's Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07), None without one."""
    key = _one(headers, "Idempotency-Key")
    if key is not None and not (key and key.isascii() and key.isprintable()):
        raise BadHeader("Idempotency-Key holds 1 to 256 printable ASCII characters, such as a UUID.")
    return key


def next_link(request: Request, changed: Mapping[str, str]) -> str:
    """`Link: <…>; rel="next"` (RFC 8288): this request with some query parameters changed."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in changed]
    return f'<{request.scope["path"]}?{urlencode([*kept, *changed.items()])}>; rel="next"'


def _one(headers: Headers, name: str) -> str | None:
    values = headers.getlist(name)
    if len(values) > 1:
        raise BadHeader(f"{name} is there {len(values)} times; send it once.")
    return values[0].strip() if values else None
