"""`chronicle serve` on data that it cannot use: it ends soon, and says what is wrong and what helps."""

from pathlib import Path
from time import monotonic

from tests.api.cli.program import chronicle, running

SOON_S = 30.0
"""Far less than the registry is waited for."""


def test_a_damaged_record_ends_the_start(data_dir: Path) -> None:
    """Trying again would not help: the message names the position and the way out."""
    with running(data_dir) as program:
        program.stop()
    (file,) = (data_dir / "log" / "appendonlydir").glob("*.incr.aof")
    content = bytearray(file.read_bytes())
    at = content.index(b"namespace.created")
    for index in range(at, at + 5):
        content[index] ^= 0xFF
    file.write_bytes(content)
    # It is the log's only event, whose hash the watermark would miss first.
    (watermark,) = (data_dir / "log").glob("watermark-*.json")
    watermark.unlink()
    started = monotonic()
    done = chronicle(data_dir, "serve", "--port", "0", "--json")
    assert monotonic() - started < SOON_S
    assert (done.status, done.result["error"]["code"]) == (1, "checksum_mismatch")
    assert "The record at position 1-" in done.result["error"]["message"]
    assert "Restore it from a backup." in done.result["error"]["message"]


def test_a_data_directory_that_is_a_file_is_refused(data_dir: Path) -> None:
    """One sentence, and no trace of the program's insides."""
    file = data_dir / "file"
    file.touch()
    for command in (("serve", "--port", "0"), ("replay",)):
        done = chronicle(file, *command, "--json")
        assert (done.status, done.result["error"]["code"]) == (1, "configuration"), done.err
        assert "is a file, not a directory" in done.result["error"]["message"]
