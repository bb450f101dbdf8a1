"""`./justw faults`: every fault in turn, a line for each, and figures.

    --seconds N     for how long to go on, shared among the faults; each has its least number of rounds all the same
    --seed S        repeat a run: each fault draws from the seed and its own name
    --only NAME     only this fault; may be given again
    --json          the last line is an object of figures

The exit status is 0 unless something acknowledged was lost, something was duplicated, another promise was broken, or a
planted fault was missed. How tasks interleave is the machine's affair: a seed repeats the faults, not every step.
"""

import argparse
import asyncio
import json
import logging
import os
import platform
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.faults.history import Violation, counted
from tests.faults.planted import PLANTS, missed, sample
from tests.faults.run import CannotRun, Found, Run
from tests.faults.scenarios import SCENARIOS

SECONDS = 150.0
SAMPLES = 20
SHOWN_MAX = 5
_LOST = ("lost",)
_DUPLICATED = ("duplicated", "double success")


def say(line: str) -> None:
    """Print it at once: a run takes minutes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run_one(name: str, seed: int, seconds: float) -> Found | None:
    """Run a fault in an empty directory; None if this machine cannot produce it and need not."""
    with tempfile.TemporaryDirectory(prefix="chronicle-faults-") as directory:
        run = Run(Path(directory), random.Random(f"{seed}/{name}"), seconds, quick=False)
        began = time.monotonic()
        try:
            found = asyncio.run(SCENARIOS[name](run))
        except CannotRun as error:
            say(f"{name:<18} not run: {error}")
            if os.environ.get("CI", "").lower() not in {"true", "1"}:
                return None
            return Found(0, 0, [Violation("failed", f"CI must run it: {error}")])
        except Exception:  # noqa: BLE001 - a fault that breaks its own test is a finding, and the others still run
            found = Found(0, 0, [Violation("failed", traceback.format_exc())])
        say(
            f"{name:<18} {found.faults:>6} {found.acknowledged:>13} {len(found.log):>8} "
            f"{len(found.violations):>10} {time.monotonic() - began:>8.1f}"
        )
    for violation in found.violations[:SHOWN_MAX]:
        say(f"    {violation.kind}: {violation.text}")
    return found


def planted_missed(found: list[Found], rng: random.Random) -> list[str]:
    """Planted faults that the judge missed, in made histories and in those of this run in which all can be planted."""
    names = []
    for _ in range(SAMPLES):
        names += missed(*sample(rng), rng)
    for one in found:
        if one.faults and not one.violations and _complete(one):
            names += missed(one.history, one.log, rng)
    return names


def _complete(one: Found) -> bool:
    return bool(one.history.reads) and any(
        delivery.until and len(delivery.seen) > 2 for delivery in one.history.deliveries
    )


def figures(found: list[Found], names_missed: list[str]) -> dict[str, int]:
    """What the run comes to."""
    kinds = counted(violation for one in found for violation in one.violations)
    return {
        "faults": sum(one.faults for one in found),
        "acknowledged": sum(one.acknowledged for one in found),
        "lost": sum(kinds[kind] for kind in _LOST),
        "duplicated": sum(kinds[kind] for kind in _DUPLICATED),
        "planted_missed": len(names_missed),
        "violations": kinds.total(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="./justw faults", description="Faults under load, and a judge.")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), metavar="NAME")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed
    names = arguments.only or list(SCENARIOS)
    logging.getLogger("infra").setLevel(logging.CRITICAL)  # it tells of every fault that is injected here
    say(f"seed {seed}: repeat with ./justw faults --seed {seed}")
    say(f"{'fault':<18} {'faults':>6} {'acknowledged':>13} {'events':>8} {'violations':>10} {'seconds':>8}")
    results = [run_one(name, seed, arguments.seconds / len(names)) for name in names]
    found = [one for one in results if one is not None]
    names_missed = planted_missed(found, random.Random(seed))
    for name in names_missed:
        say(f"    planted and missed: {name}")
    result = figures(found, names_missed)
    say(
        f"{len(PLANTS)} kinds of planted faults; "
        + ", ".join(f"{key} {value}" for key, value in result.items())
    )
    if arguments.json:
        skipped = [name for name, one in zip(names, results, strict=True) if one is None]
        setup = {
            "seed": seed,
            "seconds": arguments.seconds,
            "ran": [name for name in names if name not in skipped],
            "not_run": skipped,
            "planted_kinds": len(PLANTS),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
        }
        say(json.dumps({"name": "faults", "setup": setup, "figures": result}))
    return 1 if result["violations"] or result["planted_missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
