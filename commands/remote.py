"""Sending what `http_request.py` built: secrets are put in at the last moment, under the namespace's policy."""

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

from commands.http_request import OutgoingRequest
from commands.ports import RemoteClient, RemoteResponse, Secrets


class RemoteEndpoint:
    """The guarded client and the secrets, together."""

    def __init__(self, client: RemoteClient, secrets: Secrets) -> None:
        self._client = client
        self._secrets = secrets

    async def send(
        self, request: OutgoingRequest, *, private_hosts: Sequence[str], timeout_s: float
    ) -> RemoteResponse:
        """Send within the smaller of both time limits. Raises RemoteFailure."""
        return await self._client.request(
            request.method,
            self._with_secrets(request.url),
            headers={name: self._secrets.resolve(value) for name, value in request.headers.items()},
            content=request.content,
            timeout_s=min(request.timeout_s, timeout_s),
            private_hosts=private_hosts,
        )

    def _with_secrets(self, url: str) -> str:
        parts = urlsplit(url)
        if "secret:" not in parts.query and "secret%3A" not in parts.query:
            return url
        query = [(name, self._secrets.resolve(value)) for name, value in parse_qsl(parts.query, True)]
        return parts._replace(query=urlencode(query)).geturl()
