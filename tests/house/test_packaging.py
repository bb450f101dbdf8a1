"""The wheel holds what the program needs, data files too."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "commands", "projections", "infra", "api")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout, built in a process of its own because the build reads the current folder."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from poetry.core.masonry.api import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=ROOT, check=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_every_file_of_the_five_packages(wheel: zipfile.ZipFile) -> None:
    """Files as data (functions, SQL, rules) are loaded from beside their module, so they must be shipped."""
    there = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and "secrets" not in path.parts
    }
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped == there


def test_the_wheel_installs_the_command(wheel: zipfile.ZipFile) -> None:
    """`chronicle` is the one command, and the licence travels with it."""
    names = wheel.namelist()
    points = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert "chronicle=api.cli:main" in points.replace(" ", "")
    assert any(name.endswith("/LICENSE") for name in names)


@pytest.mark.skipif(os.name != "posix", reason="justw is a POSIX shell script")
def test_the_wrapper_is_valid_posix_shell_and_executable() -> None:
    """Debian's sh is dash: a bashism would fail there first."""
    assert os.access(ROOT / "justw", os.X_OK)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    subprocess.run(["sh", "-n", str(ROOT / "justw")], check=True)
