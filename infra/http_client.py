"""The one way out: every request to an endpoint that a definition names goes through `GuardedClient`.

Guarantees: a host is resolved once for each hop, every one of its addresses is checked, and the connection goes to an
address that was checked, while SNI, certificate and Host stay the name's; redirects are followed by hand and each hop
is checked anew; time, size, redirects and connections are bounded; no environment proxy is used; a failure of any
kind is RemoteFailure, whose message names the host and the reason and no header, query or path.

Connections are not kept. Whether a host may have private addresses is a policy of the namespace that asks, so a
connection that one namespace opened must not serve another.
"""

import asyncio
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Self

import anyio
import httpcore2
import httpx2

from commands.ports import RemoteResponse
from domain.errors import RemoteFailure
from infra.address_rules import Address, is_named, literal_address, require_allowed
from infra.http_hop import REDIRECT_STATUSES, Hop

BODY_BYTES_MAX = 4 * 1024 * 1024
"""Of a response's body, as sent and as decoded. A larger one is a failure."""

REDIRECTS_MAX = 5
CONNECTIONS_MAX = 64
"""Open at once; further requests wait for their turn, on their own deadline."""

REQUESTS_MAX = 512
"""Under way at once, the waiting ones included; a further one is refused."""

ADDRESSES_TRIED_MAX = 4
CONNECT_TIMEOUT_S = 5.0
"""For one address, TLS included, so that a dead one leaves time for the next."""

RESOLVER_THREADS_MAX = 8

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, for a port. Raises OSError."""


class GuardedClient:
    """RemoteClient on httpcore2, the engine of httpx2, whose network layer can be replaced.

    `resolve` is the name service (the system's if None), `ssl_context` what certificates are verified against.
    """

    def __init__(
        self,
        *,
        resolve: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS_MAX, thread_name_prefix="resolve")
        self._resolve = resolve or self._system_addresses
        self._ssl_context = ssl_context or httpx2.create_ssl_context()
        self._body_bytes_max = body_bytes_max
        self._connections = asyncio.Semaphore(CONNECTIONS_MAX)
        self._under_way = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give up the threads that resolve names; what still hangs in one is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None,
        timeout_s: float,
        private_hosts: Sequence[str],
    ) -> RemoteResponse:
        """One request, redirects included, within `timeout_s`. Raises RemoteFailure.

        Headers that belong to the connection (Host, Content-Length, Accept-Encoding and the like) are ours.
        """
        hop = Hop.first(method, url, headers, content)
        if self._under_way >= REQUESTS_MAX:
            raise RemoteFailure(
                f"{REQUESTS_MAX} remote requests are under way, which is the most. Try again later."
            )
        self._under_way += 1
        try:
            async with asyncio.timeout(timeout_s), self._connections:
                return await self._follow(hop, frozenset(private_hosts))
        except TimeoutError:
            raise RemoteFailure(f"'{hop.host}' gave no complete answer within {timeout_s:g} s.") from None
        finally:
            self._under_way -= 1

    async def _follow(self, hop: Hop, private_hosts: Collection[str]) -> RemoteResponse:
        for _ in range(REDIRECTS_MAX + 1):
            answer = await self._exchange(hop, await self._checked_addresses(hop, private_hosts))
            if isinstance(answer, RemoteResponse):
                return answer
            hop = answer
        raise RemoteFailure(
            f"The request was redirected more than {REDIRECTS_MAX} times, last to '{hop.host}'."
        )

    async def _exchange(self, hop: Hop, addresses: Sequence[Address]) -> RemoteResponse | Hop:
        """The answer, or the hop that it redirects to."""
        try:
            async with self._sent(hop, addresses) as response:
                location = _header(response, b"location")
                if response.status in REDIRECT_STATUSES and location:
                    return hop.redirected(response.status, location)
                body = b"" if hop.method == "HEAD" else await self._body(hop, response)
                return RemoteResponse(response.status, _header(response, b"content-type"), body)
        except (
            httpcore2.TimeoutException,
            httpcore2.NetworkError,
            httpcore2.ProtocolError,
            OSError,
        ) as error:
            # The text of a protocol error quotes what was sent, so it is not passed on, not even as the cause.
            raise RemoteFailure(_reason(hop, error)) from None

    @asynccontextmanager
    async def _sent(self, hop: Hop, addresses: Sequence[Address]) -> AsyncIterator[httpcore2.Response]:
        network = _PinnedNetwork(addresses)
        pool = httpcore2.AsyncConnectionPool(
            ssl_context=self._ssl_context, max_connections=1, network_backend=network
        )
        url = httpcore2.URL(
            scheme=hop.url.raw_scheme, host=hop.host.encode(), port=hop.port, target=hop.url.raw_path
        )
        try:
            async with pool.stream(
                hop.method,
                url,
                headers=_encoded_headers(hop),
                content=hop.content,
                extensions={"timeout": {"connect": CONNECT_TIMEOUT_S}},
            ) as response:
                yield response
        finally:
            with anyio.CancelScope(shield=True):
                await network.aclose()
                await pool.aclose()

    async def _body(self, hop: Hop, response: httpcore2.Response) -> bytes:
        coding = _header(response, b"content-encoding").strip().lower()
        if coding not in ("", "identity", "gzip", "x-gzip"):
            raise RemoteFailure(f"'{hop.host}' encoded its answer in a way that was not asked for.")
        decode = _Gzip(self._body_bytes_max + 1) if "gzip" in coding else None
        body, received = bytearray(), 0
        async for chunk in response.aiter_stream():
            received += len(chunk)
            try:
                body += decode.feed(chunk, len(body)) if decode else chunk
            except zlib.error:
                raise RemoteFailure(f"The answer of '{hop.host}' is not valid gzip.") from None
            if max(received, len(body)) > self._body_bytes_max:
                raise RemoteFailure(
                    f"The answer of '{hop.host}' is larger than {self._body_bytes_max} bytes, which is the most."
                )
        if decode and received and not decode.complete:
            raise RemoteFailure(f"The answer of '{hop.host}' is cut short.")
        return bytes(body)

    async def _checked_addresses(self, hop: Hop, private_hosts: Collection[str]) -> Sequence[Address]:
        """The host's addresses, each of which may be connected to. One that may not condemns them all."""
        literal = literal_address(hop.host)
        addresses = [literal] if literal else await self._addresses_of(hop)
        named = is_named(hop.host, hop.port, private_hosts)
        for address in addresses:
            require_allowed(hop.host, address, named=named)
        return addresses

    async def _addresses_of(self, hop: Hop) -> list[Address]:
        try:
            found = await self._resolve(hop.host, hop.port)
            addresses = [ip_address(address) for address in dict.fromkeys(found)]
        except TimeoutError:
            raise
        except (OSError, ValueError):
            raise RemoteFailure(f"The host name '{hop.host}' cannot be resolved.") from None
        if not addresses:
            raise RemoteFailure(f"The host name '{hop.host}' has no address.")
        return addresses

    async def _system_addresses(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _getaddrinfo, host, port)


class _PinnedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to given addresses, whatever the name, and knows its streams.

    A handshake that is cancelled leaves its stream to the garbage collector, so they are closed here.
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses[:ADDRESSES_TRIED_MAX]
        self._network = httpcore2.AnyIOBackend()
        self._streams: list[httpcore2.AsyncNetworkStream] = []

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the name was resolved before, and is not resolved again
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception = httpcore2.ConnectError("no address")
        for address in self._addresses:
            try:
                stream = await self._network.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
                continue
            self._streams.append(stream)
            return stream
        raise failure

    async def aclose(self) -> None:
        """Close every connection that was opened, in whatever state it is."""
        for stream in self._streams:
            await stream.aclose()


class _Gzip:
    """Decodes gzip (RFC 1952, several members too) to a bound: never more than asked for is in memory."""

    def __init__(self, decoded_max: int) -> None:
        self._decoded_max = decoded_max
        self._member = zlib.decompressobj(wbits=31)

    @property
    def complete(self) -> bool:
        return self._member.eof

    def feed(self, chunk: bytes, decoded: int) -> bytes:
        """What `chunk` decodes to, at most up to the bound, of which `decoded` bytes are there already."""
        out = bytearray()
        while chunk and decoded + len(out) < self._decoded_max:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=31)
            out += self._member.decompress(chunk, self._decoded_max - decoded - len(out))
            chunk = self._member.unused_data or self._member.unconsumed_tail
        return bytes(out)


def _getaddrinfo(host: str, port: int) -> list[str]:
    return [str(sockaddr[0]) for *_, sockaddr in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _encoded_headers(hop: Hop) -> list[tuple[bytes, bytes]]:
    ours = [("host", hop.host_header), ("accept-encoding", "gzip"), ("connection", "close")]
    if hop.content is None and hop.method in ("POST", "PUT", "PATCH"):
        ours.append(("content-length", "0"))
    try:
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in (*ours, *hop.headers)]
    except UnicodeError:
        raise RemoteFailure(
            f"A header for '{hop.host}' holds a character that no header can carry."
        ) from None


def _header(response: httpcore2.Response, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in response.headers if key.lower() == name), "")


def _reason(hop: Hop, error: Exception) -> str:
    # The pool cuts the cause off; the context stays.
    cause: BaseException | None = error
    while cause and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    match error:
        case _ if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate of '{hop.host}' is not valid: {cause.verify_message}."
        case _ if cause:
            return f"No TLS connection to '{hop.host}' came about."
        case httpcore2.ConnectTimeout():
            return f"'{hop.host}' did not accept a connection within {CONNECT_TIMEOUT_S:g} s."
        case httpcore2.ConnectError():
            return f"'{hop.host}' does not accept connections on port {hop.port}."
        case httpcore2.LocalProtocolError():
            return f"The request for '{hop.host}' holds a character that HTTP cannot carry."
        case httpcore2.RemoteProtocolError():
            return f"'{hop.host}' did not answer in HTTP, or broke off its answer."
        case _:
            return f"The connection to '{hop.host}' broke off."
