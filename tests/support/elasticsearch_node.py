"""A real Elasticsearch on this machine, for the tests and for `./justw elasticsearch`.

The distribution is the one that Elastic publishes for plugin authors' tests; Maven fetches it once into the cache
folder. A node runs on free ports of the loopback address, in a temporary folder that goes when it stops, and dies
with its parent process. It needs a full JDK of version 21 or later (Elasticsearch wants jdk.incubator.vector, which
cut-down runtimes lack).
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = "9.5.0"
ARTIFACT = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
NOBODY = 65534

CONFIGURATION = """\
cluster.name: chronicle-test
node.name: n1
network.host: 127.0.0.1
http.port: {http_port}
transport.port: {transport_port}
discovery.type: single-node
xpack.security.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
path.data: {work}/data
path.logs: {work}/logs
"""


class NodeUnavailableError(Exception):
    """This machine cannot run the node; the message says what is missing and how to get it."""


def cache_folder() -> Path:
    """Where the unpacked distribution is kept, whether or not it is there."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "mcp-chronicle" / f"elasticsearch-{VERSION}"


def why_not_ready() -> str | None:
    """What keeps a node from starting without a download, or None when all is there."""
    if not (cache_folder() / "bin" / "elasticsearch").is_file():
        return "no Elasticsearch in the cache: `./justw elasticsearch` fetches it once (needs Maven)"
    return None if find_jdk() else "no JDK of version 21 or later found: install one, or set ES_JAVA_HOME"


def find_jdk() -> Path | None:
    """The newest full JDK of version 21 or later, or None."""
    homes = [Path(os.environ[name]) for name in ("ES_JAVA_HOME", "JAVA_HOME") if os.environ.get(name)]
    for pattern in ("/usr/lib/jvm/*", "/Library/Java/JavaVirtualMachines/*/Contents/Home"):
        homes += sorted(Path("/").glob(pattern.lstrip("/")))
    usable = [(version, home) for home in homes if (version := _jdk_version(home)) >= 21]
    return max(usable, key=lambda found: found[0])[1] if usable else None


def _jdk_version(home: Path) -> int:
    """The JDK's major version; 0 for no JDK, or for one without the module that Elasticsearch wants."""
    try:
        release = (home / "release").read_text(encoding="utf-8")
    except OSError:
        return 0
    version = re.search(r'^JAVA_VERSION="(\d+)', release, re.MULTILINE)
    complete = "jdk.incubator.vector" in release and (home / "bin" / "java").exists()
    return int(version.group(1)) if version and complete else 0


def fetch() -> Path:
    """The unpacked distribution, fetched with Maven unless the cache holds it."""
    folder = cache_folder()
    if (folder / "bin" / "elasticsearch").is_file():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise NodeUnavailableError("Maven is missing; it fetches Elasticsearch. On Debian: apt install maven")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        command = [maven, "-q", "-B", MAVEN_COPY, f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={scratch}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NodeUnavailableError(
                f"Maven could not fetch {ARTIFACT}:\n{(done.stdout + done.stderr)[-4000:]}"
            )
        with zipfile.ZipFile(next(Path(scratch).glob("*.zip"))) as archive:
            archive.extractall(scratch)
        unpacked = next(path for path in Path(scratch).iterdir() if path.is_dir())
        for program in (unpacked / "bin").iterdir():
            program.chmod(0o755)
        try:
            unpacked.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    return folder


@contextmanager
def running_node() -> Iterator[str]:
    """Start a node, give its URL, and stop it at the end. Fetches the distribution when it is not cached."""
    distribution = fetch()
    jdk = find_jdk()
    if jdk is None:
        raise NodeUnavailableError("no JDK of version 21 or later found: install one, or set ES_JAVA_HOME")
    work = Path(tempfile.mkdtemp(prefix="chronicle-es-"))
    try:
        process, url = _launch(distribution, jdk, work)
        try:
            _wait_until_healthy(process, url, work / "output.log")
            yield url
        finally:
            _stop(process)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _launch(distribution: Path, jdk: Path, work: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the program on a copy of the distribution, readable whatever the rights of the cache folder."""
    home = work / "home"
    shutil.copytree(distribution, home)
    for name in ("data", "logs", "tmp"):
        (work / name).mkdir()
    http_port, transport_port = _free_ports()
    text = CONFIGURATION.format(http_port=http_port, transport_port=transport_port, work=work)
    (home / "config" / "elasticsearch.yml").write_text(text, encoding="utf-8")
    command = [str(home / "bin" / "elasticsearch")]
    if os.geteuid() == 0:  # it refuses to run as root
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(work)], check=True)
        command = [
            "setpriv",
            f"--reuid={NOBODY}",
            f"--regid={NOBODY}",
            "--clear-groups",
            *_mortal(),
            *command,
        ]
    elif shutil.which("setpriv"):
        command = ["setpriv", *_mortal(), *command]
    environment = {"PATH": os.environ["PATH"], "HOME": str(work), "ES_JAVA_HOME": str(jdk)}
    environment |= {"ES_JAVA_OPTS": "-Xms512m -Xmx512m", "ES_TMPDIR": str(work / "tmp")}
    with (work / "output.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=work,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in a terminal reaches us alone, and we stop it
        )
    return process, f"http://127.0.0.1:{http_port}"


def _mortal() -> list[str]:
    # The launcher gets SIGTERM when its parent dies, and stops the server.
    return ["--pdeathsig", "TERM"] if sys.platform == "linux" else []


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_cluster/health", timeout=2) as response:  # noqa: S310 - always http
                if json.load(response)["status"] in {"green", "yellow"}:
                    return
        except (OSError, urllib.error.URLError, ValueError, KeyError):
            time.sleep(0.2)
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:])
    raise NodeUnavailableError(
        f"Elasticsearch did not answer at {url} within {START_TIMEOUT_S:.0f} s:\n{tail}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()


def main() -> None:
    """Run a node in the foreground and print its URL; `--fetch` only fills the cache."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--fetch", action="store_true", help="fetch the distribution and stop")
    arguments = parser.parse_args()
    try:
        if arguments.fetch:
            sys.stdout.write(f"Elasticsearch {VERSION} is in {fetch()}\n")
            return
        with running_node() as url:
            sys.stdout.write(f"Elasticsearch {VERSION} answers at {url}   Ctrl-C stops it.\n")
            sys.stdout.write(f"  CHRONICLE_ELASTICSEARCH_URL={url} ./justw run\n")
            sys.stdout.flush()
            while True:
                time.sleep(3600)
    except NodeUnavailableError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.stdout.write("stopped\n")


if __name__ == "__main__":
    main()
