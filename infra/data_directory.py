"""The data directory is looked at before anything is opened in it, so that what is wrong with it is one sentence."""

import tempfile
from pathlib import Path

from infra.settings import ConfigurationError


def prepare_data_directory(directory: Path) -> None:
    """Make the directory, and prove that files can be made in it and in what it holds. Raises ConfigurationError."""
    at = directory
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for at in (directory, *sorted(path for path in directory.iterdir() if path.is_dir())):
            with tempfile.TemporaryFile(dir=at):
                pass
    except FileExistsError as error:
        raise _unusable(directory, at, "it is a file, not a directory") from error
    except OSError as error:
        raise _unusable(directory, at, error.strerror or str(error)) from error


def _unusable(directory: Path, at: Path, problem: str) -> ConfigurationError:
    where = f"'{directory}'" if at == directory else f"'{directory}' ('{at.name}' in it)"
    return ConfigurationError(
        f"The data directory {where} cannot be used: {problem}. "
        "Make it a directory that this user may write to, or name another one in CHRONICLE_DATA_DIR."
    )
