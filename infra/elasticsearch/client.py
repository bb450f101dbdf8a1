"""The connection to Elasticsearch: settings, bounded retries, and errors in sentences without any credential.

Every request goes through `Cluster.call`: it repeats what is worth repeating (refused connections, 429, 502, 503) a few
times with jitter, and turns what is left into the errors of `domain.errors`. All our requests may be repeated: writes
carry versions. It never calls `client.info()`, which needs rights that an index user lacks.
"""

from __future__ import annotations

import random
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

import anyio
from elasticsearch import (
    ApiError,
    AsyncElasticsearch,
    AuthenticationException,
    AuthorizationException,
    ConnectionTimeout,
    NotFoundError,
    TransportError,
)
from elasticsearch import ConnectionError as ConnectionFailed

from domain.errors import ChronicleError, Unavailable

ATTEMPTS_MAX = 4
RETRY_DELAY_S = 0.1
"""Before the first repetition; it doubles, and half of it is random, so that clients do not come back together."""
RETRY_STATUS = frozenset({429, 502, 503})
REQUEST_TIMEOUT_S = 10.0
CONNECTIONS_MAX = 32
REASON_LENGTH_MAX = 500

PREFIX = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
API_KEY = re.compile(r"[!-~]+")


class IndexRemoved(Unavailable):
    """The physical index was there and is not any more: it was replaced by a rebuild, or deleted by hand."""


class RequestRefused(ChronicleError):
    """Elasticsearch understood the request and refuses it for good; trying again will not help."""

    code = "request_refused"


@dataclass(frozen=True, slots=True)
class ElasticsearchSettings:
    """Where Elasticsearch is and who we are there.

    `url` may carry `user:password@`; `api_key` is the encoded key, and goes before a password. `prefix` begins the name
    of every index, so several deployments can share one cluster. Neither secret shows in the representation.
    """

    url: str = field(repr=False)
    api_key: str | None = field(default=None, repr=False)
    prefix: str = "chronicle"
    request_timeout_s: float = REQUEST_TIMEOUT_S
    shards: int = 1
    replicas: int = 0

    def __post_init__(self) -> None:
        if not PREFIX.fullmatch(self.prefix):
            raise ValueError(
                f"'{self.prefix}' cannot begin the name of an index. Use 1 to 64 characters of a-z, 0-9, _ and -, "
                "the first one a letter or a digit."
            )
        if self.api_key is not None and not API_KEY.fullmatch(self.api_key):
            raise ValueError(
                "The API key of Elasticsearch is not usable. Take the `encoded` value that creating it answered, "
                "without blanks and line ends."
            )
        _ = self.address

    @property
    def address(self) -> str:
        """The URL without user and password: what messages may show. Raises ValueError for anything but HTTP(S)."""
        parts = self._parts
        host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"

    @property
    def basic_auth(self) -> tuple[str, str] | None:
        """User and password of the URL, None if it has none or there is an API key."""
        parts = self._parts
        if self.api_key is not None or parts.username is None:
            return None
        return unquote(parts.username), unquote(parts.password or "")

    @property
    def _parts(self) -> SplitResult:
        # `from None` and no URL in the message: it may hold a password, and the original error repeats parts of it.
        problem = ValueError(
            "The URL of Elasticsearch is not usable. Write it as http://HOST:PORT or https://HOST:PORT, with "
            "user:password@ before the host if needed; percent-encode characters such as / # ? @ in a password."
        )
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise problem from None
        if not usable or parts.query or parts.fragment:
            raise problem
        return parts


class Response(Protocol):
    """What the client's methods answer, as far as we read it."""

    @property
    def body(self) -> Any: ...


class Cluster:
    """An open connection; make it with `open_cluster`."""

    def __init__(self, settings: ElasticsearchSettings, client: AsyncElasticsearch) -> None:
        self.settings = settings
        self._client = client

    async def call(self, purpose: str, request: Callable[[AsyncElasticsearch], Awaitable[Response]]) -> Any:
        """The decoded body of what `request` answers. `purpose` completes "could not ..." in messages.

        Raises Unavailable (IndexRemoved when the index is not there) or RequestRefused.
        """
        delay_s = RETRY_DELAY_S
        for _ in range(ATTEMPTS_MAX - 1):
            try:
                return (await request(self._client)).body
            except (ConnectionFailed, ApiError) as error:
                if isinstance(error, ApiError) and error.status_code not in RETRY_STATUS:
                    raise self._explained(purpose, error) from None
            except TransportError as error:
                raise self._explained(purpose, error) from None
            await anyio.sleep(jittered(delay_s))
            delay_s *= 2
        try:
            return (await request(self._client)).body
        except (TransportError, ApiError) as error:
            raise self._explained(purpose, error) from None

    async def ping(self) -> None:
        """Whether our indices can be read and written now. Raises Unavailable saying what is wrong."""
        health = await self.call(
            "ask for the health of the indices",
            lambda client: client.cluster.health(index=f"{self.settings.prefix}-*"),
        )
        if health["status"] == "red":
            raise Unavailable(
                f"Elasticsearch at {self.settings.address} answers, but an index '{self.settings.prefix}-*' lost its "
                "primary shard (status red). Ask GET /_cluster/allocation/explain for the cause."
            )

    def _explained(self, purpose: str, error: TransportError | ApiError) -> ChronicleError:
        who = f"Elasticsearch at {self.settings.address}"
        setting = "CHRONICLE_ELASTICSEARCH_URL"
        match error:
            case ConnectionTimeout():
                return Unavailable(
                    f"{who} did not answer within {self.settings.request_timeout_s:g} s: could not {purpose}. "
                    "Look at its load and its log."
                )
            case TransportError():
                return Unavailable(
                    f"{who} cannot be reached ({self._clean(str(error.message))}): could not {purpose}. "
                    f"Check that it runs and that {setting} names it."
                )
            case AuthenticationException():
                return Unavailable(
                    f"{who} does not accept our credentials (401): could not {purpose}. Check the user and password "
                    f"in {setting}, or CHRONICLE_ELASTICSEARCH_API_KEY."
                )
            case AuthorizationException():
                return Unavailable(
                    f"{who} knows our credentials, but they lack the rights (403): could not {purpose}. Grant all "
                    f"privileges on the indices '{self.settings.prefix}-*' and 'monitor' on the cluster."
                )
            case NotFoundError() if error_type(error.body) == "index_not_found_exception":
                return IndexRemoved(f"{who} has no such index: could not {purpose}.")
            case _:
                pass
        detail = f"{error.status_code}, {self._clean(reason_of(error.body) or str(error.message))}"
        if error.status_code in RETRY_STATUS or error.status_code >= 500:
            return Unavailable(
                f"{who} is not able to serve ({detail}): could not {purpose}. Try again later."
            )
        return RequestRefused(f"{who} refused the request ({detail}): could not {purpose}.")

    def _clean(self, text: str) -> str:
        """`text`, short and without our secrets, should a proxy or a server repeat them."""
        for secret in (self.settings.api_key, *(self.settings.basic_auth or ())[1:]):
            if secret:
                text = text.replace(secret, "***")
        return text[:REASON_LENGTH_MAX]


@asynccontextmanager
async def open_cluster(settings: ElasticsearchSettings) -> AsyncIterator[Cluster]:
    """Connect lazily: nothing is sent before the first request, so a cluster that is down fails there and not here."""
    client = AsyncElasticsearch(
        settings.address,
        basic_auth=_encoded(settings.basic_auth),
        api_key=settings.api_key,
        request_timeout=settings.request_timeout_s,
        connections_per_node=CONNECTIONS_MAX,
        max_retries=0,  # `Cluster.call` repeats, with jitter
        retry_on_timeout=False,
    )
    try:
        yield Cluster(settings, client)
    finally:
        await client.close()


def _encoded(user_and_password: tuple[str, str] | None) -> str | None:
    # The client would encode a pair as ASCII, and shows the password in its error where that fails.
    return b64encode(":".join(user_and_password).encode()).decode() if user_and_password else None


def jittered(delay_s: float) -> float:
    """Between half of the delay and all of it."""
    return delay_s * (0.5 + random.random() / 2)  # noqa: S311 - spreads load, guards nothing


def error_type(body: object) -> str:
    """Elasticsearch's name of the error in a response body or a bulk item; empty if there is none."""
    error = body.get("error") if isinstance(body, Mapping) else None
    return str(error.get("type", "")) if isinstance(error, Mapping) else ""


def reason_of(body: object) -> str:
    """Elasticsearch's own sentence on the error, with that of its innermost cause; empty if there is none."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return ""
    reasons = [str(error.get("reason", ""))]
    while isinstance(error.get("caused_by"), Mapping):
        error = error["caused_by"]
    innermost = str(error.get("reason", ""))
    return "; ".join(dict.fromkeys(reason for reason in (*reasons, innermost) if reason))
