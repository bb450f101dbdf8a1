"""A running program for the tests that only ask it something."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.cli.program import Program, running


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty data directory. Not pytest's own one: the path of a unix socket must be short."""
    with tempfile.TemporaryDirectory(prefix="chr-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    """One program for the tests of a module; each uses names of its own."""
    with tempfile.TemporaryDirectory(prefix="chr-") as directory, running(Path(directory)) as started:
        yield started
