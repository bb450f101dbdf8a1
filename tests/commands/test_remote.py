"""Secrets go out with a request, and do not come back with the answer."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from commands.http_request import OutgoingRequest
from commands.ports import RemoteResponse
from commands.remote import RemoteEndpoint
from infra.secrets import SecretStore

SECRET = 's3cr"t/äö'


class Echo:
    """An endpoint that answers what it was sent, as such endpoints do in their error pages."""

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
        self.sent = dict(headers)
        body = f'{url} {headers["x-api-key"]} {{"key": "s3cr\\"t/\\u00e4\\u00f6"}}'
        return RemoteResponse(500, "text/plain", body.encode())


@pytest.fixture
def secrets(tmp_path: Path) -> SecretStore:
    """A store with one secret."""
    return SecretStore(tmp_path, {"CHRONICLE_SECRET_WEATHER": SECRET})


async def test_an_echoed_secret_is_a_reference_again(secrets: SecretStore) -> None:
    """Raw, percent-encoded and as JSON writes it."""
    client = Echo()
    request = OutgoingRequest(
        "GET", "https://api.example.org/?k=secret://weather", {"x-api-key": "secret://weather"}, None, 5.0
    )
    response = await RemoteEndpoint(client, secrets).send(request, private_hosts=(), timeout_s=5.0)
    assert client.sent["x-api-key"] == SECRET
    text = response.body.decode()
    assert "s3cr" not in text
    assert text.count("secret://weather") == 3
