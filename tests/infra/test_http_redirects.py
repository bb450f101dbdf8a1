"""Redirects are followed by hand: a few, re-checked at each hop, with what RFC 9110 says about method and content."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from commands.ports import RemoteResponse
from domain.errors import RemoteFailure
from infra.http_client import REDIRECTS_MAX, GuardedClient
from infra.http_hop import Hop
from tests.support.peer import Behaviour, Received, answer, head, running_peer


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    async with GuardedClient() as guarded:
        yield guarded


def redirect_to(location: str, status: int = 302) -> Behaviour:
    """Redirects everything but /end, which it answers."""

    async def behave(received: Received, writer: asyncio.StreamWriter) -> None:
        if received.target.startswith("/end"):
            writer.write(head(200, content_length="3") + b"end")
        else:
            writer.write(head(status, location=location, content_length="0"))

    return behave


async def follow(
    client: GuardedClient,
    url: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
) -> RemoteResponse:
    return await client.request(
        method, url, headers=headers or {}, content=content, timeout_s=10, private_hosts=["127.0.0.1"]
    )


@pytest.mark.parametrize(
    ("status", "method", "then", "kept"),
    [
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (303, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (303, "HEAD", "HEAD", None),
        (301, "PUT", "PUT", True),
        (302, "DELETE", "DELETE", True),
        (307, "POST", "POST", True),
        (308, "POST", "POST", True),
    ],
)
async def test_method_and_content_after_a_redirect(
    client: GuardedClient, status: int, method: str, then: str, kept: bool | None
) -> None:
    """RFC 9110, section 15.4; what describes the content goes with it."""
    content = None if method == "HEAD" else b"content"
    async with running_peer(redirect_to("/end", status)) as peer:
        await follow(client, peer.url, method, {"Content-Type": "text/x", "Authorization": "k"}, content)
    first, last = peer.received
    assert (first.method, last.method, last.body) == (method, then, b"content" if kept else b"")
    assert kept is None or ("content-type" in last.headers) == kept
    assert last.headers["authorization"] == "k"


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:{port}/end",
        "http://localhost:{port}/end",
        "http://2130706433:{port}/end",
        "http://user@127.0.0.1:{port}/end",
        "//0:{port}/end",
        "file:///etc/passwd",
        "http://[/",
    ],
)
async def test_each_hop_is_checked_again(client: GuardedClient, location: str) -> None:
    """A public endpoint must not be able to point us inwards."""
    async with running_peer(answer()) as inner:
        async with running_peer(redirect_to(location.format(port=inner.port))) as peer:
            with pytest.raises(RemoteFailure):
                await follow(client, peer.url)
        assert len(peer.received) == 1
    assert inner.connections == 0


async def test_another_origin_sees_no_credential(client: GuardedClient) -> None:
    """Another port is another origin. Any header may hold a secret, so that only harmless ones go along."""
    headers = {"Authorization": "s3cret", "Cookie": "s3cret", "X-Custom": "s3cret", "Accept": "text/plain"}
    async with (
        running_peer(answer(200, b"other")) as other,
        running_peer(redirect_to(f"{other.url}/x", 307)) as peer,
    ):
        response = await follow(client, peer.url, "POST", headers, b"content")
    assert response.body == b"other"
    assert peer.received[0].headers["x-custom"] == "s3cret"
    request = other.received[0]
    assert (request.method, request.body, request.headers["accept"]) == ("POST", b"content", "text/plain")
    assert "s3cret" not in str(request.headers)
    assert request.headers["host"] == f"127.0.0.1:{other.port}"


async def test_a_number_of_redirects_is_followed_and_one_more_is_not(client: GuardedClient) -> None:
    """A circle of redirects ends, before the deadline."""

    async def count_down(received: Received, writer: asyncio.StreamWriter) -> None:
        left = int(received.target[1:])
        location = {"location": f"/{left - 1}"} if left else {}
        writer.write(head(302 if left else 200, content_length="0", **location))

    async with running_peer(count_down) as peer:
        assert (await follow(client, f"{peer.url}/{REDIRECTS_MAX}")).status == 200
        with pytest.raises(RemoteFailure, match=f"more than {REDIRECTS_MAX} times"):
            await follow(client, f"{peer.url}/{REDIRECTS_MAX + 1}")
    assert len(peer.received) == 2 * (REDIRECTS_MAX + 1)


@pytest.mark.parametrize("status", [300, 302, 304])
async def test_without_a_place_to_go_the_answer_is_the_answer(client: GuardedClient, status: int) -> None:
    """A 3xx that redirects nowhere is handed over as it is."""
    async with running_peer(answer(status)) as peer:
        assert (await follow(client, peer.url)).status == status


def test_https_is_not_left_for_http() -> None:
    """What was promised to be private is not sent in the clear."""
    hop = Hop.first("GET", "https://a.example/x?key=s3cret", {"X": "y"}, None)
    with pytest.raises(RemoteFailure, match=r"'a\.example' redirected from https to http") as refusal:
        hop.redirected(302, "http://a.example/")
    assert "s3cret" not in refusal.value.message
    assert hop.redirected(302, "https://A.example.:443/z").headers == hop.headers
    assert hop.redirected(302, "https://b.example/").headers == (("user-agent", "mcp-chronicle"),)


def test_a_fragment_is_not_sent_and_a_relative_target_is_joined() -> None:
    """RFC 9110, section 10.2.2."""
    hop = Hop.first("GET", "http://a.example/one/two", {}, None).redirected(302, "../three?q#part")
    assert str(hop.url) == "http://a.example/three?q"
