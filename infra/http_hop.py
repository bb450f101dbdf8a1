"""One hop of a remote request: what is sent where, and what a redirect makes of it (RFC 9110, section 15.4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import httpx2

from domain.errors import RemoteFailure

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})

_PORTS = {"http": 80, "https": 443}

# These belong to the connection, which is ours: a caller's value would contradict it.
_CONNECTION_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What another origin may see. Any other header may hold a credential, whatever it is called.
_SAFE_HEADERS = frozenset({"accept", "accept-language", "content-type", "user-agent"})
_USER_AGENT = "mcp-chronicle"


@dataclass(frozen=True, slots=True)
class Hop:
    """A request to one origin. `host` is lower-case ASCII, without brackets and without a final dot."""

    method: str
    url: httpx2.URL
    host: str
    port: int
    headers: tuple[tuple[str, str], ...]
    content: bytes | None

    @classmethod
    def first(cls, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Self:
        """The caller's request. Raises RemoteFailure for a URL that is not requested."""
        kept = {
            name.lower(): value for name, value in headers.items() if name.lower() not in _CONNECTION_HEADERS
        }
        kept.setdefault("user-agent", _USER_AGENT)
        try:
            parsed = httpx2.URL(url)
        except (httpx2.InvalidURL, UnicodeError):
            raise RemoteFailure("The URL to request is malformed.") from None
        return cls._to(parsed, method.upper(), tuple(kept.items()), content)

    @classmethod
    def _to(
        cls, url: httpx2.URL, method: str, headers: tuple[tuple[str, str], ...], content: bytes | None
    ) -> Self:
        if url.scheme not in _PORTS:
            raise RemoteFailure("Only http:// and https:// URLs are requested.")
        if url.userinfo:
            raise RemoteFailure("A URL that holds a user or password is not requested.")
        host = url.raw_host.decode("ascii").lower().removesuffix(".")
        return cls(method, url, host, url.port or _PORTS[url.scheme], headers, content)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.url.scheme, self.host, self.port

    @property
    def host_header(self) -> str:
        """The authority as the Host header carries it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.url.scheme] else f"{host}:{self.port}"

    def redirected(self, status: int, location: str) -> Self:
        """The hop after a redirect. Raises RemoteFailure for a target that is not requested.

        303 turns any method but HEAD into GET, 301 and 302 turn POST into GET, 307 and 308 keep method and content.
        """
        try:
            url = self.url.join(location).copy_with(fragment=None)
        except (httpx2.InvalidURL, UnicodeError, ValueError):
            raise RemoteFailure(f"'{self.host}' redirected to a malformed URL.") from None
        method, content, headers = self.method, self.content, self.headers
        if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
            method, content = "GET", None
            headers = tuple((name, value) for name, value in headers if not name.startswith("content-"))
        target = self._to(url, method, headers, content)
        if self.url.scheme == "https" and url.scheme == "http":
            raise RemoteFailure(f"'{self.host}' redirected from https to http, which is not followed.")
        if target.origin == self.origin:
            return target
        safe = tuple((name, value) for name, value in headers if name in _SAFE_HEADERS)
        return self._to(url, method, safe, content)
