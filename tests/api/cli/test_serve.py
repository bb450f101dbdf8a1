"""`chronicle serve`: starting, saying where it is, refusing, and ending in order."""

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.api.cli.program import COMMAND, TIMEOUT_S, chronicle, environment, running


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_in_order(data_dir: Path, number: signal.Signals, status: int) -> None:
    """Status 0, or 130 after Ctrl-C; everything flushed, run.json gone; the next start finds the log as it was."""
    with running(data_dir) as program:
        facts = json.loads((data_dir / "run.json").read_text(encoding="utf-8"))
        assert (facts["pid"], facts["url"]) == (program.process.pid, program.url)
        done = program.stop(number)
    assert (done.status, done.result) == (status, {"event": "stopped"})
    assert not (data_dir / "run.json").exists()
    replayed = chronicle(data_dir, "replay", "--json")
    assert (replayed.status, replayed.result["definitions"]) == (0, {"namespace": {"active": 1}})


def test_an_open_stream_is_ended_and_does_not_delay_the_end(data_dir: Path) -> None:
    """The reader sees a stream that ended, not a broken one, and the program does not wait for it."""
    with running(data_dir) as program:
        tail = subprocess.Popen(
            [*COMMAND, "events", "tail", "--from-start", "--json"],
            env=environment(data_dir),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert tail.stdout is not None
        try:
            assert json.loads(tail.stdout.readline())["type"] == "io.mcp-chronicle.namespace.created.v1"
            done = program.stop()
            _, err = tail.communicate(timeout=TIMEOUT_S)
        finally:
            tail.kill()
    assert done.status == 0
    assert "Cancel" not in done.err
    assert (tail.returncode, "The server ended the stream" in err) == (5, True)


def test_a_busy_port_is_left_for_the_next_free_one(data_dir: Path) -> None:
    """Somebody else's port is not fought over; the new one is said and written down."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        wanted = other.getsockname()[1]
        with running(data_dir, "--port", str(wanted)) as program:
            port = int(program.url.rpartition(":")[2])
            assert wanted < port <= wanted + 20
            assert chronicle(data_dir, "events", "tail", "--no-follow").status == 0
            done = program.stop()
    assert f"Port {wanted} is in use; listening on port {port} instead." in done.err


def test_a_data_directory_has_one_owner(data_dir: Path) -> None:
    """The second start is refused in one sentence that names the first, whose run.json stays."""
    with running(data_dir) as program:
        port = program.url.rpartition(":")[2]
        second = chronicle(data_dir, "serve", "--port", port, "--json")
        assert "listening" not in second.err
        assert (second.status, second.result["error"]["code"]) == (1, "directory_in_use")
        assert str(program.process.pid) in second.err
        assert "Traceback" not in second.err
        facts = json.loads((data_dir / "run.json").read_text(encoding="utf-8"))
        assert facts["pid"] == program.process.pid


@pytest.mark.parametrize(
    ("arguments", "more", "words"),
    [
        (["--host", "203.0.113.1"], {}, "Cannot listen on 203.0.113.1"),
        ([], {"CHRONICLE_DURABILITY": "never"}, "CHRONICLE_DURABILITY"),
        ([], {"CHRONICLE_REDIS_URL": "redis://127.0.0.1:9"}, "cannot be reached"),
    ],
)
def test_what_cannot_start_says_why(
    data_dir: Path, arguments: list[str], more: dict[str, str], words: str
) -> None:
    """Status 1 and one sentence, never a traceback."""
    done = chronicle(data_dir, "serve", "--port", "0", *arguments, more=more)
    assert done.status == 1
    assert words in done.err
    assert "Traceback" not in done.err


def test_the_banner_names_only_what_is_there(data_dir: Path) -> None:
    """People copy addresses from it."""
    with subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], env=environment(data_dir), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not (lines and lines[-1].startswith("Ready in")):
            lines.append(process.stdout.readline())
            assert lines[-1], "it ended before it was ready"
        process.terminate()
        rest, _ = process.communicate(timeout=TIMEOUT_S)
    text = "".join(lines)
    assert lines[0].startswith("chronicle ")
    assert "/v1\n" in text or "/v1 " in text
    assert f"Admin key in {data_dir}/admin.key (0600)" in text
    assert "chr_" not in text
    assert rest.endswith("flushed, stopped\n")
