"""Sending what `http_request.py` built: secrets are put in at the last moment, under the namespace's policy.

They are taken out of the answer again: an endpoint that echoes its request must not hand them to an agent.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from commands.http_request import OutgoingRequest
from commands.ports import RemoteClient, RemoteResponse, Secrets
from domain.binding import SECRET_REFERENCE

REDACTED_LENGTH_MIN = 4
"""Characters of the shortest secret that is taken out of answers."""


class RemoteEndpoint:
    """The guarded client and the secrets, together."""

    def __init__(self, client: RemoteClient, secrets: Secrets) -> None:
        self._client = client
        self._secrets = secrets

    async def send(
        self, request: OutgoingRequest, *, private_hosts: Sequence[str], timeout_s: float
    ) -> RemoteResponse:
        """Send within the smaller of both time limits. Raises RemoteFailure."""
        used: dict[str, str] = {}
        response = await self._client.request(
            request.method,
            self._url(request.url, used),
            headers={name: self._resolved(value, used) for name, value in request.headers.items()},
            content=request.content,
            timeout_s=min(request.timeout_s, timeout_s),
            private_hosts=private_hosts,
        )
        return replace(response, body=_without(used, response.body))

    def _url(self, url: str, used: dict[str, str]) -> str:
        parts = urlsplit(url)
        if "secret:" not in parts.query and "secret%3A" not in parts.query:
            return url
        query = [(name, self._resolved(value, used)) for name, value in parse_qsl(parts.query, True)]
        return parts._replace(query=urlencode(query)).geturl()

    def _resolved(self, text: str, used: dict[str, str]) -> str:
        for reference in SECRET_REFERENCE.finditer(text):
            used[reference[0]] = self._secrets.resolve(reference[0])
        return self._secrets.resolve(text)


def _without(used: Mapping[str, str], body: bytes) -> bytes:
    # As it was sent, and as JSON and a URL write it. What is shorter is a word that answers hold anyway.
    for reference, secret in used.items():
        if len(secret) >= REDACTED_LENGTH_MIN:
            for form in {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}:
                body = body.replace(form.encode(errors="surrogateescape"), reference.encode())
    return body
