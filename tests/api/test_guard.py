"""The layer around every transport: Host, Origin, body size, correlation ids, and what fails unexpectedly."""

import asyncio
import logging
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.routing import Route

from api.app import create_app
from api.extension import Extension
from api.guard import BODY_BYTES_MAX
from api.rest.routes import rest_routes
from infra.runtime import Runtime
from tests.api.conftest import Server, Unchanged, static_tool

EVERY_SURFACE = (
    "/v1/tools",
    "/livez",
    "/metrics",
    "/openapi.json",
    "/graphql",
    "/mcp",
    "/mcp/default",
    "/nowhere",
)


@pytest.mark.parametrize("path", EVERY_SURFACE)
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8080", ""])
async def test_a_foreign_host_is_refused_everywhere(client: httpx2.AsyncClient, path: str, host: str) -> None:
    """DNS rebinding: the page's own name, resolved to this machine, comes as Host, with Origin to match."""
    answer = await client.get(path, headers={"Host": host, "Origin": f"http://{host}"})
    assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")


@pytest.mark.parametrize("path", EVERY_SURFACE)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "file://", "http://127.0.0.1:1"])
async def test_a_foreign_origin_is_refused_everywhere(
    client: httpx2.AsyncClient, path: str, origin: str
) -> None:
    """A page that guessed the address has its own origin."""
    answer = await client.get(path, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_origin")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example", "Origin": "http://evil.example"}, b"421"),
        ({"Host": "127.0.0.1", "Origin": "http://evil.example"}, b"403"),
        ({"Host": "127.0.0.1", "Origin": "null"}, b"403"),
        ({"Host": "127.0.0.1"}, b"101"),
    ],
)
async def test_a_websocket_handshake_is_guarded_too(
    server: Server, headers: dict[str, str], status: bytes
) -> None:
    """Middleware for HTTP alone would let it pass; the refusal comes before the handshake."""
    address = urlsplit(server.base_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    handshake = {
        **headers,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "chronicle.v1",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in handshake.items())
    writer.write(f"GET /v1/ws HTTP/1.1\r\n{lines}\r\n".encode())
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert answer.split()[1] == status


async def test_our_own_origin_and_none_are_let_in(server: Server, client: httpx2.AsyncClient) -> None:
    """Programs send no Origin, our own pages send ours."""
    for headers in (
        {},
        {"Origin": server.base_url},
        {"Origin": server.base_url.replace("127.0.0.1", "localhost")},
    ):
        assert (await client.get("/livez", headers=headers)).status_code == 200
    port = urlsplit(server.base_url).port
    assert (await client.get("/livez", headers={"Host": f"localhost:{port}"})).status_code == 200


async def test_a_body_that_announces_too_much_is_refused(
    client: httpx2.AsyncClient, namespace: str, unchanged: Unchanged
) -> None:
    """413, although it is written to the end by a client that does not look at the answer before."""
    body = {"namespace": namespace, "definition": static_tool(description="x" * BODY_BYTES_MAX)}
    async with unchanged():
        answer = await client.post("/v1/tools", json=body)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_body_that_grows_too_large_is_refused(
    client: httpx2.AsyncClient, unchanged: Unchanged
) -> None:
    """Without a length the bytes are counted."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"reason":"'
        for _ in range(40):
            yield b"x" * (64 * 1024)
        yield b'"}'

    async with unchanged():
        answer = await client.post(
            "/v1/tools", content=chunks(), headers={"Content-Type": "application/json"}
        )
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_body_at_the_bound_is_read(client: httpx2.AsyncClient, unchanged: Unchanged) -> None:
    """The bound itself is allowed: the refusal is the model's, not the guard's."""
    frame = b'{"reason":"' + b'"}'
    body = frame[:11] + b"x" * (BODY_BYTES_MAX - len(frame)) + frame[11:]
    async with unchanged():
        answer = await client.post("/v1/tools", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


@pytest.mark.parametrize("sent", ["", "with blank", "x" * 129, "ü"])
async def test_an_unusable_correlation_id_is_replaced(client: httpx2.AsyncClient, sent: str) -> None:
    """A fresh one comes back instead."""
    answer = await client.get("/livez", headers={b"X-Correlation-Id": sent.encode()})
    assert answer.headers.get_list("X-Correlation-Id") != [sent]
    assert len(answer.headers["X-Correlation-Id"]) == 36


async def test_the_correlation_id_and_trace_context_are_kept_with_the_event(
    client: httpx2.AsyncClient, namespace: str
) -> None:
    """What the caller sent is in the answer, in problems, and in the log."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Correlation-Id": "order-66", "traceparent": trace}
    body = {"namespace": namespace, "definition": static_tool()}
    answer = await client.post("/v1/tools", json=body, headers=headers)
    assert answer.headers["X-Correlation-Id"] == "order-66"
    [event] = (await client.get(f"{answer.headers['Location']}/history")).json()["events"]
    assert (event["correlationid"], event["traceparent"]) == ("order-66", trace)
    problem = await client.post("/v1/tools", json=body, headers=headers)
    assert problem.json()["trace_id"] == "order-66"


def failing(_runtime: Runtime) -> Extension:
    """A route with a defect."""

    async def fail(_request: object) -> None:
        raise ValueError("password=hunter2")

    return Extension([Route("/fail", fail)], "public")


async def test_a_defect_answers_a_problem_and_is_logged(
    server: Server, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The caller gets the trace id and nothing of the exception; the log has both."""
    caplog.set_level(logging.ERROR)
    transport = httpx2.ASGITransport(create_app(server.runtime, [failing]), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=server.base_url) as inside:
        answer = await inside.get("/fail", headers={"X-Correlation-Id": "t-1"})
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["trace_id"]) == ("internal_error", "t-1")
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    logged = caplog.text + "".join(capsys.readouterr())
    assert "t-1" in logged
    assert "hunter2" in logged


async def test_extensions_live_as_long_as_the_application(server: Server) -> None:
    """Each extension's context is entered at the start and left at the end."""
    steps: list[str] = []

    class Context:
        async def __aenter__(self) -> None:
            steps.append("in")

        async def __aexit__(self, *_: object) -> None:
            steps.append("out")

    app = create_app(server.runtime, [rest_routes, lambda _: Extension([], "public", Context)])
    async with app.router.lifespan_context(app):
        assert steps == ["in"]
    assert steps == ["in", "out"]


async def test_raw_requests_without_a_host_are_refused(server: Server) -> None:
    """HTTP/1.0 knows no Host; two of them leave open which one counts."""
    address = urlsplit(server.base_url)
    for request in (
        b"GET /livez HTTP/1.0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(request)
        status = await reader.readline()
        writer.close()
        await writer.wait_closed()
        assert status.split()[1] in (b"421", b"400")
