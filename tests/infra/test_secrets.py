"""Secrets are looked up when they are used, by names that cannot leave their directory."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from domain.errors import RemoteFailure
from infra.secrets import SECRET_BYTES_MAX, SecretStore


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "secrets"
    path.mkdir()
    return path


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def test_a_reference_is_replaced_wherever_it_stands(directory: Path) -> None:
    """From the environment, from a file, several in one text; the environment wins."""
    write(directory / "from-file", b"file value\n")
    write(directory / "my-api.key", b"not this one")
    store = SecretStore(directory, {"CHRONICLE_SECRET_MY_API_KEY": "k1\n"})
    assert store.resolve("Bearer secret://my-api.key") == "Bearer k1"
    assert store.resolve("secret://from-file:secret://my-api.key") == "file value:k1"
    assert store.resolve("no reference") == "no reference"


def test_a_rotated_secret_is_seen_at_the_next_call(directory: Path) -> None:
    """Nothing is kept, so that rotation needs no restart."""
    environment = {"CHRONICLE_SECRET_A": "one"}
    store = SecretStore(directory, environment)
    write(directory / "b", b"one")
    assert store.resolve("secret://a secret://b") == "one one"
    environment["CHRONICLE_SECRET_A"] = "two"
    write(directory / "b", b"two\r\n")
    assert store.resolve("secret://a secret://b") == "two two"


@pytest.mark.parametrize(
    "reference",
    ["secret://missing", "secret://..", "secret://.", "secret://.hidden", "secret://", "secret://../outside",
     "secret:///etc/passwd", "secret://%2e%2e", "secret://" + "a" * 65, "secret://folder"],
)  # fmt: skip
def test_what_is_no_secret_is_refused_by_name(directory: Path, reference: str) -> None:
    """Unknown names, hidden files, directories, ways out of the directory, and names that are too long."""
    write(directory.parent / "outside", b"s3cret")
    write(directory / ".hidden", b"s3cret")
    write(directory / ("a" * 64), b"s3cret")
    (directory / "folder").mkdir()
    with pytest.raises(RemoteFailure, match="secret://"):
        SecretStore(directory, {}).resolve(f"x {reference}")


@pytest.mark.parametrize("content", [b"", b"\n", b"s3cret\xff", b"s3cret" + b"x" * SECRET_BYTES_MAX])
def test_a_value_that_cannot_be_meant_is_refused_and_not_shown(directory: Path, content: bytes) -> None:
    """Empty, not text, or too large."""
    write(directory / "odd", content)
    with pytest.raises(RemoteFailure, match="secret://odd") as refusal:
        SecretStore(directory, {}).resolve("secret://odd")
    assert "s3cret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_the_largest_secret_is_whole(directory: Path) -> None:
    """A cut value would be a wrong one."""
    write(directory / "large", b"x" * SECRET_BYTES_MAX + b"\r\n")
    assert SecretStore(directory, {}).resolve("secret://large") == "x" * SECRET_BYTES_MAX


def test_a_pipe_does_not_hold_up_the_loop(directory: Path) -> None:
    """Opening a pipe that nobody writes to would wait for ever."""
    os.mkfifo(directory / "pipe", 0o600)
    with pytest.raises(RemoteFailure, match="not a file"):
        SecretStore(directory, {}).resolve("secret://pipe")


def test_a_file_that_others_can_read_is_warned_of_once(directory: Path) -> None:
    """Orchestrators mount secrets that way, so it is no failure."""
    write(directory / "open", b"s3cret", 0o644)
    write(directory / "closed", b"s3cret")
    store = SecretStore(directory, {})
    with capture_logs() as lines:
        for _ in range(2):
            store.resolve("secret://open secret://closed")
    assert [line["name"] for line in lines] == ["open"]
    assert "s3cret" not in str(lines)
