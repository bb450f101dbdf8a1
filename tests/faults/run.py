"""One run of one fault: what it is given, and what it found."""

import random
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tests.faults.history import Entry, History, Violation

STOP_S = 20.0
QUICK_STOP_S = 1.5


class CannotRun(Exception):
    """This machine cannot produce the fault. The message says why."""


@dataclass
class Run:
    """What a fault is given: an empty directory, its own randomness, and for how long to go on.

    `quick` asks for the shortest run that still means something.
    """

    directory: Path
    rng: random.Random
    seconds: float = 0.0
    quick: bool = True

    @property
    def stop_s(self) -> float:
        """How long a stopped server stays stopped."""
        return QUICK_STOP_S if self.quick else STOP_S

    def rounds(self, least: int) -> Iterator[int]:
        """Numbers from 0: at least so many, and more until the time is over."""
        ends, number = time.monotonic() + self.seconds, 0
        while number < least or time.monotonic() < ends:
            yield number
            number += 1


@dataclass
class Found:
    """What came of it: how many faults were injected, the history, and every broken promise."""

    faults: int
    acknowledged: int
    violations: list[Violation]
    history: History = field(default_factory=History)
    log: list[Entry] = field(default_factory=list)


Scenario: TypeAlias = Callable[[Run], Coroutine[Any, Any, Found]]


def promise(kept: object, text: str) -> list[Violation]:
    """A violation, unless the promise was kept."""
    return [] if kept else [Violation("promise", text)]
