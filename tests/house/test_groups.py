"""The rules of tests/conftest.py: counts by group, and no silent skip under CI."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SKIPPED = """
import pytest

@pytest.mark.{mark}
def test_that_skips():
    pytest.skip("the program is missing")
"""


def run_pytest(folder: Path, mark: str, *, ci: bool) -> subprocess.CompletedProcess[str]:
    """A run of pytest, in a folder of its own with our conftest.py, over one test that skips."""
    group = folder / "house"
    group.mkdir()
    (folder / "conftest.py").write_text(
        (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (group / "test_one.py").write_text(SKIPPED.format(mark=mark), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  promtool:\n  slow:\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CI": "true" if ci else ""}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:valkey",
        "-p",
        "no:cacheprovider",
        "-rs",
        str(folder),
    ]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_skip_prints_its_reason_and_is_counted(tmp_path: Path) -> None:
    """A developer without the tool sees what was left out and why."""
    done = run_pytest(tmp_path, "promtool", ci=False)
    assert done.returncode == 0, done.stdout
    assert "the program is missing" in done.stdout
    assert "group house: passed 0, failed 0, skipped 1" in done.stdout
    assert "group promtool: passed 0, failed 0, skipped 1" in done.stdout


@pytest.mark.parametrize(("mark", "status"), [("promtool", 1), ("slow", 0)])
def test_under_ci_a_skip_of_a_required_test_is_a_failure(tmp_path: Path, mark: str, status: int) -> None:
    """CI never passes by leaving out what it has to run; other skips stay skips."""
    done = run_pytest(tmp_path, mark, ci=True)
    assert done.returncode == status, done.stdout
    if status:
        assert "CI must run every test marked promtool" in done.stdout
