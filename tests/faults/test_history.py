"""The judge itself: it accepts what a correct store does, and finds every planted fault."""

import random

import pytest

from tests.faults.history import violations
from tests.faults.planted import PLANTS, missed, sample

SEEDS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_good_history_is_accepted(seed: int) -> None:
    """Retries, conflicts, refusals and unknown outcomes are no violations."""
    history, log = sample(random.Random(seed))
    assert violations(history, log) == []
    assert set(history.outcomes()) == {"acknowledged", "conflict", "refused", "unknown"}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_found(name: str) -> None:
    """Wherever in the history it is planted, and under its own name."""
    kind, plant = PLANTS[name]
    for seed in SEEDS:
        rng = random.Random(seed)
        history, log = sample(rng)
        plant(history, log, rng)
        assert kind in {violation.kind for violation in violations(history, log)}, f"seed {seed}"


def test_none_is_missed() -> None:
    """The same, as the count that a run of the faults prints."""
    rng = random.Random(1)
    assert missed(*sample(rng), rng) == []
