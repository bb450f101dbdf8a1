"""Every fault once, shortly, under load; the seed is printed with a failure. `./justw faults` runs them for longer."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.history import Violation
from tests.faults.planted import missed
from tests.faults.run import CannotRun, Found, Run
from tests.faults.scenarios import NEEDS_ROOT, SCENARIOS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def seed() -> int:
    """Printed by pytest with a failure; set CHRONICLE_TEST_SEED to repeat one."""
    value = int(os.environ.get("CHRONICLE_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"CHRONICLE_TEST_SEED={value}")  # noqa: T201 - this is how a failure is repeated
    return value


@pytest.mark.anyio
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.root] if name in NEEDS_ROOT else []) for name in SCENARIOS],
)
async def test_no_promise_is_broken(name: str, tmp_path: Path, seed: int) -> None:
    """Acknowledged: there once. Refused: absent. Unknown: there once after a retry. In order, and seen in order."""
    try:
        found = await SCENARIOS[name](Run(tmp_path, random.Random(f"{seed}/{name}")))
    except CannotRun as error:
        pytest.skip(str(error))
    assert found.violations == []
    assert found.faults > 0
    assert found.acknowledged > 0
    if name == "server-killed":
        # The judge is trusted with this history because it finds whatever is planted into it.
        assert missed(found.history, found.log, random.Random(seed)) == []


def test_the_last_line_holds_the_figures() -> None:
    """What other programs read of a run; its status says that nothing was lost."""
    command = [sys.executable, "-m", "tests.faults", "--only", "stale-in-batch", "--seconds", "0"]
    done = subprocess.run(
        [*command, "--seed", "7", "--json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["name"] == "faults"
    assert result["setup"]["seed"] == 7
    assert result["figures"]["faults"] == 10
    assert result["figures"]["acknowledged"] > 10
    assert {result["figures"][key] for key in ("lost", "duplicated", "planted_missed", "violations")} == {0}


@pytest.mark.parametrize(
    ("kind", "key"), [("lost", "lost"), ("duplicated", "duplicated"), ("order", "violations")]
)
def test_a_broken_promise_fails_the_run(kind: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was broken is counted, and the exit status is not 0."""
    from tests.faults import __main__ as command  # noqa: PLC0415 - a module that is a program

    async def broken(run: Run) -> Found:
        return Found(1, 1, [Violation(kind, "planted")])

    monkeypatch.setitem(SCENARIOS, "stale-in-batch", broken)
    monkeypatch.setattr(sys, "argv", ["faults", "--only", "stale-in-batch"])
    assert command.main() == 1
    assert command.figures([Found(1, 1, [Violation(kind, "planted")])], [])[key] == 1
