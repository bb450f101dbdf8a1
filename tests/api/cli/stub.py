"""A server that behaves badly in the way that a test asks for."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

Answer = tuple[int, dict[str, str], object]


def settings_for(url: str, folder: Path) -> dict[str, str]:
    """The variables of a command that asks the stub, with a key that looks like one."""
    key = folder / "key"
    key.write_text("chr_" + "k" * 43, encoding="ascii")
    return {"CHRONICLE_URL": url, "CHRONICLE_ADMIN_KEY_FILE": str(key)}


@contextmanager
def stub(answer_put: Callable[[], Answer]) -> Iterator[str]:
    """A server that answers every GET with an empty page, and each PUT with what `answer_put` says."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(200, {}, {"items": []})

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._answer(*answer_put())

        def _answer(self, status: int, headers: dict[str, str], value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            for name, text in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
