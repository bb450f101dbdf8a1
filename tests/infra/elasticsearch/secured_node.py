"""A real Elasticsearch with a password, on a folder that survives SIGKILL: for credentials and durability."""

import base64
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import elasticsearch_node as plain

PASSWORD = "geheim/ä@1"  # what must be percent-encoded in a URL
SECURITY = """\
xpack.security.enabled: true
xpack.security.autoconfiguration.enabled: false
xpack.security.http.ssl.enabled: false
xpack.security.transport.ssl.enabled: false
"""


class SecuredNode:
    """The node's folder, and the program that may run on it; user `elastic`, `PASSWORD`."""

    def __init__(self, work: Path, distribution: Path, jdk: Path) -> None:
        self._work = work
        self._home = work / "home"
        shutil.copytree(distribution, self._home)
        for name in ("data", "logs", "tmp"):
            (work / name).mkdir()
        self._port, transport_port = plain._free_ports()
        text = plain.CONFIGURATION.format(http_port=self._port, transport_port=transport_port, work=work)
        text = text.replace("xpack.security.enabled: false\n", SECURITY)
        (self._home / "config" / "elasticsearch.yml").write_text(text, encoding="utf-8")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(work),
            "ES_JAVA_HOME": str(jdk),
            "ES_JAVA_OPTS": "-Xms512m -Xmx512m",
            "ES_TMPDIR": str(work / "tmp"),
        }
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{plain.NOBODY}:{plain.NOBODY}", str(work)], check=True)
        keystore = str(self._home / "bin" / "elasticsearch-keystore")
        self._run([keystore, "create"])
        self._run([keystore, "add", "-x", "-f", "bootstrap.password"], PASSWORD)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the program and wait until it answers."""
        log = self._work / "output.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self._as_nobody([str(self._home / "bin" / "elasticsearch")], *plain._mortal()),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + plain.START_TIMEOUT_S
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise plain.NodeUnavailableError(log.read_text(encoding="utf-8", errors="replace")[-4000:])
            time.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL to the program and to its launcher."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _healthy(self) -> bool:
        token = base64.b64encode(f"elastic:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(  # noqa: S310 - always http
            f"{self.address}/_cluster/health?wait_for_status=yellow&timeout=1s",
            headers={"Authorization": f"Basic {token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=5):  # noqa: S310 - always http
                return True
        except (OSError, urllib.error.URLError):
            return False

    def _run(self, command: list[str], typed: str = "") -> None:
        subprocess.run(
            self._as_nobody(command),
            env=self._environment,
            input=typed.encode(),
            capture_output=True,
            check=True,
        )

    def _as_nobody(self, command: list[str], *options: str) -> list[str]:
        if os.geteuid() == 0:  # it refuses to run as root
            who = (f"--reuid={plain.NOBODY}", f"--regid={plain.NOBODY}", "--clear-groups")
            return ["setpriv", *who, *options, *command]
        return ["setpriv", *options, *command] if options and shutil.which("setpriv") else command


@contextmanager
def secured_node() -> Iterator[SecuredNode]:
    """A node that runs until the end of the block."""
    distribution, jdk = plain.fetch(), plain.find_jdk()
    if jdk is None:
        raise plain.NodeUnavailableError("no JDK of version 21 or later found")
    work = Path(tempfile.mkdtemp(prefix="chronicle-es-secured-"))
    node: SecuredNode | None = None
    try:
        node = SecuredNode(work, distribution, jdk)
        node.start()
        yield node
    finally:
        if node is not None:
            node.kill()
        shutil.rmtree(work, ignore_errors=True)
