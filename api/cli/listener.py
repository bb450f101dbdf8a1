"""The socket that `serve` listens on, bound before anything else starts, and the file that tells where that is."""

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path

from infra.settings import ConfigurationError

PORTS_TRIED_MAX = 20
"""Ports after the wanted one that are tried when it is busy."""

RUN_FILE = "run.json"
_EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound socket; `wanted_port` is another than `port` where that one was busy."""

    socket: socket.socket
    host: str
    port: int
    wanted_port: int

    @property
    def url(self) -> str:
        """The URL for programs on this machine."""
        host = _EVERY_INTERFACE.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return ip_address(self.socket.getsockname()[0]).is_loopback


@contextmanager
def listening(host: str, port: int) -> Iterator[Listener]:
    """Bind `host` and `port`, or the next free port. Raises ConfigurationError if none can be had."""
    last = min(port + PORTS_TRIED_MAX, 65535) if port else 0
    bare = host.strip("[]")
    for candidate in range(port, last + 1):
        try:
            bound = _bound(bare, candidate)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            raise ConfigurationError(
                f"Cannot listen on {host} port {candidate}: {error.strerror}. Choose others (--host, --port)."
            ) from error
        with closing(bound):
            yield Listener(bound, bare, bound.getsockname()[1], port)
        return
    raise ConfigurationError(f"The ports {port} to {last} of {host} are all in use. Choose another (--port).")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        # A port whose last owner just ended is free again; Linux still refuses one that somebody listens on.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # From here on nobody else gets the port, and who connects early waits until the program answers.
        bound.listen()
    except BaseException:
        bound.close()
        raise
    return bound


@contextmanager
def run_file(data_dir: Path, url: str) -> Iterator[None]:
    """Keep `run.json` in the data directory while the program runs: its process id, URL and version."""
    path = data_dir / RUN_FILE
    draft = path.with_name(f"{RUN_FILE}.{os.getpid()}")
    facts = {"pid": os.getpid(), "url": url, "version": version("mcp-chronicle")}
    draft.write_text(json.dumps(facts) + "\n", encoding="utf-8")
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
