"""The checker finds planted faults: without that, a kill test that passes says nothing."""

import pytest

from tests.end_to_end.journal import Attempt, Journal, violations

ACKNOWLEDGED = Attempt("a", "k1", {}, "acknowledged", "1-9")
SECOND = Attempt("b", "k2", {}, "acknowledged", "2-9")
REFUSED = Attempt("c", "k3", {}, "refused")
UNKNOWN = Attempt("d", "k4", {}, "unknown")
JOURNAL = Journal([ACKNOWLEDGED, SECOND, REFUSED, UNKNOWN])


@pytest.mark.parametrize("rest", [[], [("3-10", "d")], [("3-9", "")]])
def test_a_good_history_passes(rest: list[tuple[str, str]]) -> None:
    """An unknown outcome may be there or not."""
    assert violations(JOURNAL, [("1-9", "a"), ("2-9", "b"), *rest]) == []


@pytest.mark.parametrize(
    ("log", "fault"),
    [
        ([("1-9", "a")], "acknowledged b is there 0 times"),
        ([("1-9", "a"), ("2-9", "b"), ("3-9", "a")], "acknowledged a is there 2 times"),
        ([("1-9", "a"), ("2-9", "b"), ("3-9", "c")], "refused c is there 1 times"),
        ([("1-9", "a"), ("2-9", "b"), ("3-9", "d"), ("4-9", "d")], "unknown d is there 2 times"),
        ([("1-9", "a"), ("3-9", "b")], "position 3-9 stands where sequence 2 belongs"),
        ([("1-9", "b"), ("2-9", "a")], "acknowledged a is at 2-9, not at 1-9"),
        ([("1-9", "a"), ("2-9", "b"), ("3-9", "x")], "x is there and nobody asked for it"),
    ],
)
def test_a_planted_fault_is_found(log: list[tuple[str, str]], fault: str) -> None:
    """A lost write, a duplicate, a refused one that is there, a gap, a swap, a ghost."""
    assert fault in violations(JOURNAL, log)
