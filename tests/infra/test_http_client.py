"""The guarded client against real endpoints on the loopback, with a name service that the tests control."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest

from commands.ports import RemoteResponse
from domain.errors import RemoteFailure
from infra.http_client import REDIRECTS_MAX, GuardedClient
from tests.support.certificates import Authority
from tests.support.peer import Received, answer, running_peer


class Names:
    """A name service: each name's answers in turn, the last one for ever."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(lists) for name, lists in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self.answers[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    async with GuardedClient() as guarded:
        yield guarded


async def fetch(
    client: GuardedClient,
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    timeout_s: float = 10.0,
    private_hosts: Sequence[str] = ("127.0.0.1",),
) -> RemoteResponse:
    return await client.request(
        method, url, headers=headers or {}, content=content, timeout_s=timeout_s, private_hosts=private_hosts
    )


async def test_a_request_and_its_answer(client: GuardedClient) -> None:
    """Method, target, headers and content arrive as given; status, type and bytes come back as they are."""
    body = "grün".encode("latin-1")
    async with running_peer(answer(201, body, content_type="text/plain; charset=latin-1")) as peer:
        response = await fetch(
            client,
            f"{peer.url}/a%2Fb?q=1",
            method="POST",
            headers={"X-Key": "k", "Host": "evil"},
            content=b"{}",
        )
    assert response == RemoteResponse(201, "text/plain; charset=latin-1", body)
    request = peer.received[0]
    assert (request.method, request.target, request.body) == ("POST", "/a%2Fb?q=1", b"{}")
    assert request.headers["host"] == f"127.0.0.1:{peer.port}"
    assert request.headers["x-key"] == "k"


@pytest.mark.parametrize(
    "url",
    [
        "http://ok@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}@example.org/",
        "http://user:secret@example.org/",
        "http://evil.example\\@127.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://017700000001:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://[2002:7f00:1::]:{port}/",
        "http://127。0。0。1:{port}/",
        "http://127.0.0.1.:{port}/",
        "http://localhost:{port}/",
        "http://LOCALHOST:{port}/",
        "ftp://127.0.0.1:{port}/",
        "file:///etc/passwd",
        "unix:///run/docker.sock",
        "http+unix://%2Frun%2Fdocker.sock/",
        "http:///x",
        "//127.0.0.1:{port}/",
        "http://127.0.0.1:{port}/a\r\nX-Injected: 1",
        "http://127.0.0.1:99999/",
    ],
)
async def test_a_url_that_means_something_else_is_refused(client: GuardedClient, url: str) -> None:
    """Nothing is sent, whatever the spelling, when no policy names the host."""
    async with running_peer(answer()) as peer:
        with pytest.raises(RemoteFailure) as refusal:
            await fetch(client, url.format(port=peer.port), private_hosts=())
    assert peer.connections == 0
    assert "secret" not in refusal.value.message


async def test_a_policy_opens_the_named_port_alone(client: GuardedClient) -> None:
    """`host:port` in private_hosts does not open the host's other ports."""
    async with running_peer(answer()) as peer, running_peer(answer()) as other:
        assert (await fetch(client, peer.url, private_hosts=[f"127.0.0.1:{peer.port}"])).status == 200
        with pytest.raises(RemoteFailure, match="loopback"):
            await fetch(client, other.url, private_hosts=[f"127.0.0.1:{peer.port}"])
    assert other.connections == 0


async def test_one_private_address_condemns_a_name() -> None:
    """A name with a public and a private address is refused before a connection is tried."""
    names = Names(mixed_example=[["1.1.1.1", "127.0.0.1"]])
    async with running_peer(answer()) as peer, GuardedClient(resolve=names) as client:
        with pytest.raises(RemoteFailure, match=r"'mixed\.example' has a loopback address"):
            await fetch(client, f"http://mixed.example:{peer.port}/", private_hosts=())
    assert peer.connections == 0


async def test_a_name_is_resolved_once_and_the_checked_address_is_used() -> None:
    """An answer that flips between the check and the connection has nothing to flip; the Host stays the name."""
    names = Names(flip_example=[["127.0.0.1"], ["169.254.169.254"]])
    async with running_peer(answer(200, b"checked")) as peer, GuardedClient(resolve=names) as client:
        url = f"http://flip.example:{peer.port}/"
        assert (await fetch(client, url, private_hosts=["flip.example"])).body == b"checked"
        assert names.asked == ["flip.example"]
        assert peer.received[0].headers["host"] == f"flip.example:{peer.port}"
        with pytest.raises(RemoteFailure, match="link-local"):
            await fetch(client, url, private_hosts=["flip.example"])
    assert peer.connections == 1


async def test_a_connection_of_one_namespace_does_not_serve_another() -> None:
    """Keeping connections would lend one policy's private host to all."""
    names = Names(shared_example=[["127.0.0.1"]])
    async with running_peer(answer()) as peer, GuardedClient(resolve=names) as client:
        url = f"http://shared.example:{peer.port}/"
        await fetch(client, url, private_hosts=["shared.example"])
        with pytest.raises(RemoteFailure, match="loopback"):
            await fetch(client, url, private_hosts=[])
    assert peer.connections == 1


async def test_the_next_address_is_tried_when_one_refuses() -> None:
    """A name with two addresses works while one of them does."""
    names = Names(two_example=[["127.0.0.2", "127.0.0.1"]])
    async with running_peer(answer()) as peer, GuardedClient(resolve=names) as client:
        response = await fetch(client, f"http://two.example:{peer.port}/", private_hosts=["two.example"])
    assert response.status == 200


async def test_names_that_do_not_resolve() -> None:
    """No such name, no address, nonsense from the name service: a failure that names the host."""

    async def broken(host: str, port: int) -> Sequence[str]:
        if host == "none.example":
            return []
        if host == "garbage.example":
            return ["garbage"]
        raise OSError("no such name")

    async with GuardedClient(resolve=broken) as client:
        for host in ("none.example", "garbage.example", "missing.example"):
            with pytest.raises(RemoteFailure, match=f"'{host}'"):
                await fetch(client, f"http://{host}/secret?key=secret")


async def test_the_environments_proxy_is_not_used(
    client: GuardedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would resolve the name again, and connect where it likes."""
    async with running_peer(answer(200, b"direct")) as peer, running_peer(answer(200, b"proxy")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert (await fetch(client, peer.url)).body == b"direct"


async def test_headers_that_cannot_be_sent_are_refused_without_being_quoted(client: GuardedClient) -> None:
    """A line break would be a header, or a request, of the caller's choice."""
    async with running_peer(answer()) as peer:
        for value in ("s3cret\r\nX-Injected: 1", "s3cret\nx", "s3cret\x00", "s3cret-ü"):
            with pytest.raises(RemoteFailure) as refusal:
                await fetch(client, peer.url, headers={"Authorization": value})
            assert "s3cret" not in str(refusal.value)
            assert refusal.value.__cause__ is None
    assert peer.received == []


async def test_certificates_are_verified_against_the_name(authority: Authority) -> None:
    """The connection goes to an address, and the certificate must be the name's all the same."""
    names = Names(good_example=[["127.0.0.1"]], bad_example=[["127.0.0.1"]])
    tls = authority.server_context("good.example")
    async with (
        running_peer(answer(200, b"tls"), tls) as peer,
        GuardedClient(resolve=names, ssl_context=authority.client_context()) as client,
        GuardedClient(resolve=names) as stranger,
    ):
        good, bad = f"https://good.example:{peer.port}/", f"https://bad.example:{peer.port}/"
        assert (await fetch(client, good, private_hosts=["good.example"])).body == b"tls"
        with pytest.raises(RemoteFailure, match=r"certificate of 'bad\.example'"):
            await fetch(client, bad, private_hosts=["bad.example"])
        with pytest.raises(RemoteFailure, match=r"certificate of 'good\.example'"):
            await fetch(stranger, good, private_hosts=["good.example"])
    assert len(peer.received) == 1


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(Path(tmp_path_factory.mktemp("authority")))


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000,
    ],
    ids=["nothing", "nonsense", "half a body", "a broken chunk", "an endless header"],
)
async def test_a_peer_that_breaks_off_or_talks_nonsense(client: GuardedClient, garbage: bytes) -> None:
    """Half an answer is no answer."""

    async def behave(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(garbage)

    async with running_peer(behave) as peer:
        with pytest.raises(RemoteFailure, match=r"'127\.0\.0\.1'"):
            await fetch(client, f"{peer.url}/path?key=s3cret")


async def test_a_port_where_nobody_listens(client: GuardedClient) -> None:
    """A service that is down is named with its port."""
    async with running_peer(answer()) as peer:
        pass
    with pytest.raises(RemoteFailure, match=f"does not accept connections on port {peer.port}"):
        await fetch(client, peer.url)


def test_the_trust_store_is_a_verifying_one() -> None:
    """Without a context of its own, the client verifies certificates and names."""
    context = GuardedClient()._ssl_context
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert REDIRECTS_MAX == 5
