"""`chronicle events verify` as a command, beside the program and without it."""

import socket
from pathlib import Path

from tests.api.cli.program import chronicle, running


def flipped(data_dir: Path) -> None:
    """Change one byte of an event in the append-only file, which the server itself does not notice."""
    for file in (data_dir / "log" / "appendonlydir").glob("*.incr.aof"):
        content = file.read_bytes()
        at = content.index(b'"name":"default"')
        file.write_bytes(content[: at + 8] + b"D" + content[at + 9 :])


def test_a_whole_log_and_a_damaged_one(data_dir: Path) -> None:
    """Exit 0 beside the running program and without it; exit 1 with the position once a byte was changed."""
    with running(data_dir) as program:
        done = chronicle(data_dir, "events", "verify", "--json")
        assert done.status == 0, done.err
        assert done.result["whole"] is True
        assert done.result["events"] >= 1
        assert program.stop().status == 0
    assert chronicle(data_dir, "events", "verify", "--json").result["whole"] is True
    flipped(data_dir)
    done = chronicle(data_dir, "events", "verify", "--json")
    assert done.status == 1
    assert done.result["problem"]["code"] == "checksum_mismatch"
    assert done.result["problem"]["position"].startswith("1-")
    text = chronicle(data_dir, "events", "verify")
    assert text.status == 1
    assert "CRC32C" in text.out


def test_a_server_that_does_not_answer_is_no_damage(data_dir: Path) -> None:
    """It could not be looked at, which is another exit status."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{unused.getsockname()[1]}"
        assert chronicle(data_dir, "events", "verify", more={"CHRONICLE_REDIS_URL": url}).status == 5
