"""The HTTP client of the running program, for the command line: where it is, the key, and its errors as ours.

What a server says with a problem document (RFC 9457) is raised as the domain error of that meaning, so that a command's
exit status follows from it. Nothing is sent anywhere but to the one URL: redirects are not followed.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2

from domain.errors import (
    ChronicleError,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from infra.admin_key import KEY_PATTERN
from infra.settings import ConfigurationError, Settings

RETRIES_MAX = 6
"""Repeats of one request that met a busy server or a lost connection. All requests that are repeated may be."""

BACKOFF_S_MIN, BACKOFF_S_MAX = 0.1, 3.0
CONNECT_TIMEOUT_S = 5.0
PROBLEM_BYTES_MAX = 64 * 1024
FAULTS_SHOWN_MAX = 3

_LATER = frozenset({429, 502, 503, 504})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class ServerFailed(ChronicleError):
    """The server answered that it failed, or answered what no server of this product answers."""

    code = "server_failed"


def running_url(settings: Settings) -> str:
    """Where the program is: CHRONICLE_URL, else what the running one wrote into the data directory, else a guess."""
    if "url" not in settings.model_fields_set:
        try:
            facts = json.loads((settings.data_dir / "run.json").read_text(encoding="utf-8"))
            return str(facts["url"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
    return settings.url


def read_key(settings: Settings) -> str:
    """The administrator key. Raises ConfigurationError if the file holds none."""
    path = settings.admin_key_file
    try:
        key = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(
            f"The administrator key file {path} cannot be read: {reason}. The first `chronicle serve` writes it; "
            "name another one with CHRONICLE_ADMIN_KEY_FILE, or its data directory with CHRONICLE_DATA_DIR."
        ) from error
    if not KEY_PATTERN.fullmatch(key):
        raise ConfigurationError(
            f"The file {path} holds no administrator key. Name the right one with CHRONICLE_ADMIN_KEY_FILE."
        )
    return key


@asynccontextmanager
async def open_api(settings: Settings, *, connections: int = 4) -> "AsyncIterator[ApiClient]":
    """A client of the running program, which need not run yet. Raises ConfigurationError where there is no key."""
    url = running_url(settings)
    async with httpx2.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {read_key(settings)}"},
        timeout=httpx2.Timeout(settings.request_deadline_s + 5.0, connect=CONNECT_TIMEOUT_S),
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        # A company's proxy knows nothing of this machine's loopback address.
        trust_env=urlsplit(url).hostname not in _LOOPBACK,
    ) as client:
        yield ApiClient(client, url, settings)


class ApiClient:
    """Requests with their retries and errors. All methods raise ChronicleError alone."""

    def __init__(self, client: httpx2.AsyncClient, url: str, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self.url = url

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, retries: int = 0) -> Any:
        """The JSON of a GET."""
        return await self._request("GET", path, params=params, content=None, retries=retries)

    async def probe(self, path: str) -> None:
        """Ask a health check once. Raises what it answers if that is no success."""
        await self.text(path)

    async def text(self, path: str) -> str:
        """The text of a GET, asked once."""
        try:
            response = await self._client.get(path)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error
        if response.status_code >= 400:
            raise self._error(response)
        return response.text

    async def put(self, path: str, body: bytes) -> Any:
        """The JSON that a PUT of a JSON body answers. It is repeated, so it must be a request that may be."""
        return await self._request("PUT", path, params=None, content=body, retries=RETRIES_MAX)

    async def lines(self, path: str, params: Sequence[tuple[str, str]]) -> AsyncIterator[str]:
        """The lines of an endless answer, as they come."""
        timeout = httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S)
        headers = {"Accept": "application/x-ndjson"}
        try:
            async with self._client.stream(
                "GET", path, params=tuple(params), headers=headers, timeout=timeout
            ) as response:
                if response.status_code >= 400:
                    await response.aread()
                    raise self._error(response)
                async for line in response.aiter_lines():
                    yield line
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error

    async def _request(
        self, method: str, path: str, *, params: Mapping[str, str] | None, content: bytes | None, retries: int
    ) -> Any:
        headers = {"Content-Type": "application/json"} if content is not None else None
        backoff = BACKOFF_S_MIN
        for attempt in range(retries + 1):
            last = attempt == retries
            try:
                response = await self._client.request(
                    method, path, params=params, content=content, headers=headers
                )
            except httpx2.TransportError as error:
                if last:
                    raise self._unreachable(error) from error
                await asyncio.sleep(backoff)
            else:
                if response.status_code < 400:
                    return self._decoded(response)
                if last or response.status_code not in _LATER:
                    raise self._error(response)
                await asyncio.sleep(max(backoff, _retry_after(response)))
            backoff = min(backoff * 2, BACKOFF_S_MAX)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _decoded(self, response: httpx2.Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            raise ServerFailed(
                f"{self.url} answered no JSON: is it MCP Chronicle? Check CHRONICLE_URL."
            ) from error

    def _unreachable(self, error: httpx2.TransportError) -> Unavailable:
        why = str(error) or type(error).__name__
        return Unavailable(
            f"MCP Chronicle does not answer at {self.url} ({why}). Start it with `chronicle serve`, or name the right "
            "address with CHRONICLE_URL."
        )

    def _error(self, response: httpx2.Response) -> ChronicleError:
        code, message = _problem(response)
        status = response.status_code
        error: ChronicleError
        match status:
            case 401:
                error = Unauthenticated(
                    f"{self.url} refused the key in {self._settings.admin_key_file}. {message}"
                )
            case 403:
                error = Forbidden(message)
            case 404:
                error = NotFound(message)
            case 409 | 412:
                error = Conflict(message)
            case 400 | 413 | 422:
                error = InvalidInput(message)
            case _ if status in _LATER:
                error = Unavailable(f"{self.url} is not available now ({status}): {message}")
            case _:
                error = ServerFailed(f"{self.url} answered {status}: {message}")
        if code:
            error.code = code
        return error


def _problem(response: httpx2.Response) -> tuple[str, str]:
    """Code and sentence of a problem document, with its first faults; of anything else the status' words."""
    try:
        problem = json.loads(response.content[:PROBLEM_BYTES_MAX])
        message = str(problem.get("detail") or problem["title"])
        faults = [
            f"{fault['pointer'] or '/'}: {fault['message']}"
            for fault in problem.get("errors", [])
            if fault["message"] != message  # a single fault may be what the problem says already
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", f"{response.reason_phrase or 'an error'}, without a problem document."
    more = f" (and {len(faults) - FAULTS_SHOWN_MAX} more)" if len(faults) > FAULTS_SHOWN_MAX else ""
    return str(problem.get("code", "")), " ".join(
        [message, "; ".join(faults[:FAULTS_SHOWN_MAX]) + more]
    ).strip()


def _retry_after(response: httpx2.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text), BACKOFF_S_MAX) if text.isdecimal() else 0.0
