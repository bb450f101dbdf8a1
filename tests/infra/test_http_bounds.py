"""Bounds of the guarded client: the deadline, the size of a body, and what is left behind when one is reached."""

import asyncio
import gzip
import os
import time
import zlib
from collections.abc import AsyncIterator, Sequence

import pytest

from commands.ports import RemoteResponse
from domain.errors import RemoteFailure
from infra.http_client import BODY_BYTES_MAX, GuardedClient
from tests.support.peer import Behaviour, Received, answer, head, running_peer

MIB = 1024 * 1024


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    async with GuardedClient() as guarded:
        yield guarded


async def fetch(client: GuardedClient, url: str, timeout_s: float = 10.0) -> RemoteResponse:
    return await client.request(
        "GET", url, headers={}, content=None, timeout_s=timeout_s, private_hosts=["127.0.0.1"]
    )


def never() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def hang(_: Received, writer: asyncio.StreamWriter) -> None:
    await never()


async def hang_in_the_body(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(head(200, content_length="10") + b"12345")
    await never()


async def drip(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(head(200, content_length="100000"))
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.02)  # this is the dripping, nothing waits for it


async def interim_for_ever(_: Received, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)  # as above


@pytest.mark.parametrize("behave", [hang, hang_in_the_body, drip, interim_for_ever])
async def test_the_deadline_holds_whatever_the_peer_does(client: GuardedClient, behave: Behaviour) -> None:
    """It is one deadline for everything: bytes that trickle in do not extend it. The connection is closed."""
    async with running_peer(behave) as peer:
        began = time.monotonic()
        with pytest.raises(RemoteFailure, match=r"'127\.0\.0\.1' gave no complete answer within 0\.3 s"):
            await fetch(client, peer.url, timeout_s=0.3)
        assert time.monotonic() - began < 0.8
        await peer.closed.wait()


async def test_the_deadline_covers_the_name_service() -> None:
    """A resolver that hangs is left behind."""

    async def hanging(host: str, port: int) -> Sequence[str]:
        await never()
        return []

    async with GuardedClient(resolve=hanging) as client:
        began = time.monotonic()
        with pytest.raises(RemoteFailure, match=r"within 0\.2 s"):
            await fetch(client, "http://slow.example/", timeout_s=0.2)
        assert time.monotonic() - began < 0.7


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_hanging_tls_handshake_is_closed(client: GuardedClient, cancelled: bool) -> None:
    """At the deadline or when the caller gives up, in the state where the libraries leave the socket open."""
    accepted, closed = asyncio.Event(), asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        accepted.set()
        await reader.read()
        closed.set()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        call = asyncio.ensure_future(fetch(client, url, timeout_s=30 if cancelled else 0.3))
        await accepted.wait()
        if cancelled:
            call.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else RemoteFailure):
            await call
        await closed.wait()


async def test_cancellation_closes_the_connection(client: GuardedClient) -> None:
    """A caller that gives up leaves no request behind, and stays cancelled."""
    arrived = asyncio.Event()

    async def note_and_hang(_: Received, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await never()

    async with running_peer(note_and_hang) as peer:
        call = asyncio.ensure_future(fetch(client, peer.url))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await peer.closed.wait()


async def test_a_body_without_end_is_cut_early(client: GuardedClient) -> None:
    """The peer has ten gigabytes to send, and gets rid of little more than the bound."""
    sent = 0

    async def pour(_: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(head(200, connection="close"))
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with running_peer(pour) as peer:
        with pytest.raises(RemoteFailure, match=f"larger than {BODY_BYTES_MAX}"):
            await fetch(client, peer.url)
        await peer.closed.wait()
    assert sent < BODY_BYTES_MAX + 32 * MIB  # the sockets' buffers


async def test_a_gzip_bomb_is_cut_early() -> None:
    """A gigabyte of zeros in one megabyte is never decoded as a whole."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(256)) + packer.flush()
    async with (
        running_peer(answer(200, bomb, content_encoding="gzip")) as peer,
        GuardedClient(body_bytes_max=MIB) as client,
    ):
        with pytest.raises(RemoteFailure, match=f"larger than {MIB}"):
            await fetch(client, peer.url)


async def test_the_size_bound_is_exact() -> None:
    """The largest body is taken, plain or packed, and one byte more is not."""
    async with GuardedClient(body_bytes_max=1000) as client:
        for size, fits in ((1000, True), (1001, False)):
            plain = os.urandom(size // 2) + bytes(size - size // 2)
            for encoding, body in (("identity", plain), ("gzip", gzip.compress(plain))):
                async with running_peer(answer(200, body, content_encoding=encoding)) as peer:
                    if fits:
                        assert (await fetch(client, peer.url)).body == plain
                    else:
                        with pytest.raises(RemoteFailure, match="larger than 1000"):
                            await fetch(client, peer.url)


async def test_gzip_of_several_members_and_of_nothing(client: GuardedClient) -> None:
    """RFC 1952 allows members in a row; an answer without content may name a coding all the same."""
    for body, decoded in ((gzip.compress(b"one") + gzip.compress(b"two"), b"onetwo"), (b"", b"")):
        async with running_peer(answer(200, body, content_encoding="gzip")) as peer:
            assert (await fetch(client, peer.url)).body == decoded


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (gzip.compress(b"x" * 1000)[:-9], "gzip", "cut short"),
        (b"not gzip at all", "gzip", "not valid gzip"),
        (b"x", "br", "not asked for"),
        (b"x", "gzip, gzip", "not asked for"),
    ],
    ids=["cut short", "not gzip", "brotli", "twice"],
)
async def test_an_encoding_that_is_wrong(
    client: GuardedClient, body: bytes, encoding: str, reason: str
) -> None:
    """A damaged body is a failure, never a part that is taken for the whole."""
    async with running_peer(answer(200, body, content_encoding=encoding)) as peer:
        with pytest.raises(RemoteFailure, match=reason):
            await fetch(client, peer.url)
