"""What a client wrote down of its own requests, and what the log must then hold. Nothing here knows the product."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["acknowledged", "refused", "unknown"]


@dataclass(slots=True)
class Attempt:
    """One request: the mark that its event would carry, its key, and what the client was told."""

    mark: str
    key: str
    body: dict[str, Any]
    outcome: Outcome = "unknown"
    position: str | None = None


@dataclass(slots=True)
class Journal:
    """Every attempt of every client."""

    attempts: list[Attempt] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        """How many attempts had this outcome."""
        return sum(attempt.outcome == outcome for attempt in self.attempts)


def violations(journal: Journal, log: Iterable[tuple[str, str]]) -> list[str]:
    """What the log, as pairs of position and mark (empty for other events) in its order, does not keep of its promises.

    Acknowledged: there exactly once, at the position that was told. Refused: not there. Unknown: at most once.
    Positions: gapless from 1, in order.
    """
    found = []
    entries = list(log)
    for expected, (position, _) in enumerate(entries, 1):
        sequence = int(position.partition("-")[0])
        if sequence != expected:
            found.append(f"position {position} stands where sequence {expected} belongs")
            break
    times = Counter(mark for _, mark in entries if mark)
    places = {mark: position for position, mark in entries if mark}
    for attempt in journal.attempts:
        there = times.pop(attempt.mark, 0)
        if attempt.outcome == "acknowledged" and there != 1:
            found.append(f"acknowledged {attempt.mark} is there {there} times")
        elif attempt.outcome == "acknowledged" and places[attempt.mark] != attempt.position:
            found.append(
                f"acknowledged {attempt.mark} is at {places[attempt.mark]}, not at {attempt.position}"
            )
        elif attempt.outcome == "refused" and there:
            found.append(f"refused {attempt.mark} is there {there} times")
        elif attempt.outcome == "unknown" and there > 1:
            found.append(f"unknown {attempt.mark} is there {there} times")
    found += [f"{mark} is there and nobody asked for it" for mark in times]
    return found
