"""`chronicle serve`: the program itself, from the bound socket to "flushed, stopped"."""

import asyncio
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from api.cli.listener import Listener, listening, run_file
from api.cli.output import EXIT_FAILED, EXIT_INTERRUPTED, JsonOption, Output, fail, run
from infra.logs import set_up_logs
from infra.settings import Settings

WEBSOCKET_MESSAGE_BYTES_MAX = 64 * 1024
READINESS_POLL_S = 0.02


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on  [env: CHRONICLE_HOST]")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; if busy, the next free one  [env: CHRONICLE_PORT]"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Start MCP Chronicle on this machine, with everything it needs inside."""
    output = Output(json=json)
    started = perf_counter()

    async def action() -> int:
        given = {"host": host, "port": port}
        settings = Settings.load(**{name: value for name, value in given.items() if value is not None})
        set_up_logs(settings.log_level, settings.log_format)
        try:
            return await _serve(output, settings, started)
        except Exception as error:  # noqa: BLE001 - the program's outer edge, whose status is 1 whatever the error
            fail(output, error, settings.data_dir)
            return EXIT_FAILED

    run(output, action)


async def _serve(output: Output, wanted: Settings, started: float) -> int:
    from api.cli.drain import StopSignals  # noqa: PLC0415 - other commands start faster without the web server

    with listening(wanted.host, wanted.port) as listener, StopSignals() as signals:
        # The settings again, because what they allow as Host and Origin follows from the port.
        settings = Settings.load(host=wanted.host, port=listener.port)
        try:
            await _run(output, settings, listener, signals, started)
        except asyncio.CancelledError:
            if not signals.count:
                raise
    output.line("flushed, stopped")
    output.record({"event": "stopped"})
    return EXIT_INTERRUPTED if signals.interrupted else 0


async def _run(output: Output, settings: Settings, listener: Listener, signals: Any, started: float) -> None:
    import uvicorn  # noqa: PLC0415 - as in _serve

    from api.app import create_app  # noqa: PLC0415 - as in _serve
    from api.cli.drain import GRACEFUL_S, DrainingServer, EndingStreams  # noqa: PLC0415 - as in _serve
    from infra.bootstrap import open_runtime  # noqa: PLC0415 - as in _serve

    async with open_runtime(settings) as runtime:
        # Not before: where the data directory has another owner, nothing is served on any port.
        _note_where(output, listener)
        app = create_app(runtime)
        streams = EndingStreams(app)
        config = uvicorn.Config(
            streams,
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws_max_size=WEBSOCKET_MESSAGE_BYTES_MAX,
            timeout_graceful_shutdown=GRACEFUL_S,
        )
        server = DrainingServer(config, streams)

        async def announce() -> None:
            await server.listens.wait()
            while not (await runtime.health()).ready:  # noqa: ASYNC110 - health is asked for, it announces nothing
                await asyncio.sleep(READINESS_POLL_S)
            _announce(output, settings, listener, _surfaces(app), perf_counter() - started)

        with run_file(settings.data_dir, listener.url):
            signals.serves(server)
            try:
                async with asyncio.TaskGroup() as tasks:
                    announcement = tasks.create_task(announce())
                    await server.serve(sockets=[listener.socket])
                    announcement.cancel()
            finally:
                signals.serves(None)


def _note_where(output: Output, listener: Listener) -> None:
    if listener.port != listener.wanted_port and listener.wanted_port:
        output.note(f"Port {listener.wanted_port} is in use; listening on port {listener.port} instead.")
    if not listener.is_local:
        output.note(
            f"Warning: {listener.host} can be reached from other machines. Every request needs the administrator "
            "key, and it travels unencrypted: put TLS in front."
        )


def _surfaces(app: Any) -> set[str]:
    """The paths that the application really answers, for a banner without a line that is not true."""
    return {str(getattr(route, "path", "")) for route in app.routes}


def _announce(
    output: Output, settings: Settings, listener: Listener, paths: set[str], seconds: float
) -> None:
    from importlib.metadata import version  # noqa: PLC0415 - loads slowly

    url, socket_url = listener.url, listener.url.replace("http://", "ws://", 1)
    search = "elasticsearch" if settings.elasticsearch_url else "sqlite + tantivy"
    log = "redis" if settings.redis_url else "valkey"
    mode = "embedded mode" if not (settings.redis_url or settings.elasticsearch_url) else "servers"
    data = _shown(settings.data_dir)
    lines = [
        ("/v1", "REST", f"{url}/v1", "docs /docs   OpenAPI /openapi.json" if "/docs" in paths else ""),
        ("/graphql", "GraphQL", f"{url}/graphql", ""),
        (
            "/v1/ws",
            "Live",
            f"{socket_url}/v1/ws",
            "AsyncAPI /asyncapi.json" if "/asyncapi.json" in paths else "",
        ),
        ("/mcp", "MCP", f"{url}/mcp", ""),
        ("/metrics", "Metrics", f"{url}/metrics", ""),
    ]
    there = [
        line for line in lines if any(path == line[0] or path.startswith(f"{line[0]}/") for path in paths)
    ]
    output.line(f"chronicle {version('mcp-chronicle')}  {mode} (data: {data}, {log} + {search})")
    for _, name, address, more in there:
        output.line(f"  {name:<9} {address:<34}{more}".rstrip())
    output.line(f"  Admin key in {_shown(settings.admin_key_file)} (0600)")
    output.line(f"Ready in {seconds:.1f} s. Ctrl-C to stop.")
    output.record(
        {
            "event": "ready",
            "url": url,
            "surfaces": {name.lower(): address for _, name, address, _ in there},
            "data_dir": str(settings.data_dir),
            "admin_key_file": str(settings.admin_key_file),
            "seconds": round(seconds, 2),
        }
    )


def _shown(path: Path) -> str:
    text = str(path)
    return text if path.is_absolute() or text.startswith(".") else f"./{text}"
