"""A data directory that cannot be used is refused in a sentence that says why and what to do."""

import errno
import tempfile
from pathlib import Path
from typing import Any

import pytest

from infra.data_directory import prepare_data_directory
from infra.settings import ConfigurationError


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """With the directories above it; and it stays empty."""
    directory = tmp_path / "a" / "b"
    prepare_data_directory(directory)
    prepare_data_directory(directory)
    assert (list(directory.iterdir()), directory.stat().st_mode & 0o777) == ([], 0o700)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_is_no_directory(tmp_path: Path, name: str) -> None:
    """Neither it nor what would be below it."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"not a directory|Not a directory") as caught:
        prepare_data_directory(tmp_path / name)
    assert "CHRONICLE_DATA_DIR" in caught.value.message


def test_what_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory inside may belong to somebody else: one made by an earlier start as root, for instance."""
    (tmp_path / "log").mkdir()
    real = tempfile.TemporaryFile

    def refuse(*arguments: Any, dir: Path, **named: Any) -> Any:  # noqa: A002 - the library's name
        if dir.name == "log":  # permissions would not stop a test that runs as root
            raise OSError(errno.EROFS, "Read-only file system")
        return real(*arguments, dir=dir, **named)

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(ConfigurationError, match=r"'log' in it\) cannot be used: Read-only file system"):
        prepare_data_directory(tmp_path)
