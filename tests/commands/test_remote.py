"""Secrets go out with a request, and do not come back with the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from commands.http_request import OutgoingRequest, tool_request, tool_result
from commands.ports import RemoteResponse
from commands.remote import RemoteEndpoint
from domain.binding import HttpBinding
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
        self.url = url
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


async def test_a_reference_in_an_argument_is_a_mere_text(secrets: SecretStore) -> None:
    """Whoever may call a tool must not be able to read a secret by naming it."""
    binding = HttpBinding(type="http", method="GET", url="https://api.example.org/x?k=secret://weather")
    client = Echo()
    request = tool_request(binding, {"q": "secret://weather", "list": ["secret://weather"]})
    request = replace(request, headers={"x-api-key": "none"})
    await RemoteEndpoint(client, secrets).send(request, private_hosts=(), timeout_s=5.0)
    query = parse_qsl(urlsplit(client.url).query)
    assert query == [("k", SECRET), ("q", "secret://weather"), ("list", "secret://weather")]


@pytest.mark.parametrize(
    ("body", "structured"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'{"a": 123456789012345678901234567890}', {"a": 1.2345678901234568e29}),
        (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", None),
        (b"[1]", None),
    ],
)
def test_an_answer_that_cannot_be_written_again_is_answered_as_text(body: bytes, structured: object) -> None:
    """Whatever a back end answers, every transport can pass it on."""
    result = tool_result(RemoteResponse(200, "application/json", body))
    assert not result.is_error
    assert result.structured_content == structured
    assert orjson.dumps(result.content)
    assert orjson.dumps(result.structured_content)


@pytest.mark.parametrize("body", [b'{"a": "\\ud800"}', b'{"\\ud800": 1}', b'{"a": NaN}', b"{", b"[" * 5000])
def test_an_answer_that_is_no_json_is_a_tool_error(body: bytes) -> None:
    """It announced JSON and answered something else."""
    assert tool_result(RemoteResponse(200, "application/json", body)).is_error
