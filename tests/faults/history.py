"""What clients asked and were told, and everything in a log that contradicts it. Pure; nothing here knows the product.

Promises, each with the kind of its violation:

    lost            acknowledged: there exactly once, whole
    duplicated      nothing is there twice, whatever its outcome
    double success  no two different wishes were acknowledged for one version of one aggregate
    present         refused, or in conflict: not there
    torn            unknown: all of its events side by side, or none
    ghost           what is there was asked for
    position        positions are gapless from 1, and epochs never fall
    version         the versions of an aggregate are 1, 2, 3, ... in the order of the log
    order           what was acknowledged before another was asked for stands before it
    answer          the same key always gets the same answer, and it is where the log has it
    stale           a read holds what was acknowledged, or read, before it began
    read            a read is a beginning of the aggregate's events
    subscription    a subscriber gets every position once and in order from its resume point, up to the end

Times are nanoseconds of one monotonic clock. Every check is linear in the history, but for sorting.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeAlias
from uuid import UUID

Outcome = Literal["acknowledged", "conflict", "refused", "unknown"]
Place: TypeAlias = tuple[int, int]
"""A sequence number and an epoch."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Events that one client wants appended once: a mark for each, at one version of one aggregate, under one key."""

    key: str
    aggregate: UUID
    expected: int
    marks: tuple[str, ...]


@dataclass(slots=True)
class Call:
    """One time that a wish was asked for. `ended` is None while there is no answer; then its outcome is unknown."""

    wish: Wish
    invoked: int
    ended: int | None = None
    outcome: Outcome = "unknown"
    place: Place | None = None
    version: int | None = None


@dataclass(slots=True)
class Read:
    """The marks of one aggregate as a client read them."""

    aggregate: UUID
    invoked: int
    ended: int
    marks: tuple[str, ...]


@dataclass(slots=True)
class Delivery:
    """What one subscription delivered after its resume point; with `until`, it had to get that far."""

    after: Place
    seen: list[tuple[Place, str]] = field(default_factory=list)
    until: Place | None = None

    @property
    def last(self) -> Place:
        """Where a successor resumes."""
        return self.seen[-1][0] if self.seen else self.after


@dataclass(slots=True)
class History:
    """Everything that the clients of one run wrote down."""

    calls: list[Call] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)

    def begin(self, call: Call) -> None:
        """Note that it is asked now."""
        self.calls.append(call)

    def end(self, call: Call) -> None:
        """Note that the call has its answer; a journal on a pipe writes it down."""

    def copied(self) -> "History":
        """Another one that may be changed without changing this one."""
        deliveries = [replace(delivery, seen=list(delivery.seen)) for delivery in self.deliveries]
        return History(
            [replace(call) for call in self.calls], [replace(read) for read in self.reads], deliveries
        )

    def outcomes(self) -> Counter[Outcome]:
        """How many calls ended in which way."""
        return Counter(call.outcome for call in self.calls)

    def unresolved(self) -> list[Wish]:
        """Wishes of which nobody knows whether they were granted, in the order of asking."""
        known = {call.wish.key for call in self.calls if call.outcome in {"acknowledged", "conflict"}}
        unknown = {call.wish.key: call.wish for call in self.calls if call.outcome == "unknown"}
        return [wish for key, wish in unknown.items() if key not in known]


class Entry(NamedTuple):
    """One event of the log as it was found at the end."""

    place: Place
    aggregate: UUID
    version: int
    mark: str


class Violation(NamedTuple):
    """A broken promise."""

    kind: str
    text: str


def violations(history: History, log: Sequence[Entry]) -> list[Violation]:
    """Everything that the log, in its order, does not keep of what the clients were told."""
    wishes: dict[str, list[Call]] = defaultdict(list)
    for call in history.calls:
        wishes[call.wish.key].append(call)
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in log:
        found[entry.mark].append(entry)
    return [
        *_positions(log),
        *_versions(log),
        *_ghosts(wishes, found),
        *(violation for calls in wishes.values() for violation in _outcome(calls, found)),
        *_double_successes(wishes),
        *_real_time(wishes, found),
        *_reads(history, log),
        *(violation for delivery in history.deliveries for violation in _delivered(delivery, log)),
    ]


def _positions(log: Sequence[Entry]) -> Iterator[Violation]:
    epoch = 0
    for number, entry in enumerate(log, 1):
        if entry.place[0] != number or entry.place[1] < epoch:
            yield Violation("position", f"{entry.place} stands where {number} belongs, after epoch {epoch}")
            return
        epoch = entry.place[1]


def _versions(log: Sequence[Entry]) -> Iterator[Violation]:
    versions: Counter[UUID] = Counter()
    for entry in log:
        versions[entry.aggregate] += 1
        if entry.version != versions[entry.aggregate]:
            text = f"{entry.aggregate} has version {entry.version} where {versions[entry.aggregate]} belongs"
            yield Violation("version", text)


def _ghosts(wishes: dict[str, list[Call]], found: dict[str, list[Entry]]) -> Iterator[Violation]:
    asked = {mark for calls in wishes.values() for mark in calls[0].wish.marks}
    yield from (
        Violation("ghost", f"{mark} is there and nobody asked for it") for mark in found if mark not in asked
    )


def _outcome(calls: Sequence[Call], found: dict[str, list[Entry]]) -> Iterator[Violation]:
    """What became of one wish, against all answers that it got."""
    wish = calls[0].wish
    entries = [entry for mark in wish.marks for entry in found.get(mark, ())]
    there = sum(bool(found.get(mark)) for mark in wish.marks)
    outcomes = {call.outcome for call in calls}
    answers = {(call.place, call.version) for call in calls if call.outcome == "acknowledged"}
    if len(entries) > there:
        yield Violation("duplicated", f"{wish.key} is there {len(entries)} times")
    if len(answers) > 1 or outcomes >= {"acknowledged", "conflict"}:
        yield Violation("answer", f"{wish.key} got {answers} and {outcomes}")
    if "acknowledged" in outcomes and there < len(wish.marks):
        yield Violation("lost", f"{wish.key} was acknowledged, and {there} of {len(wish.marks)} are there")
    elif "acknowledged" in outcomes and (entries[-1].place, entries[-1].version) not in answers:
        yield Violation("answer", f"{wish.key} was said to be at {answers} and is at {entries[-1]}")
    if "acknowledged" not in outcomes and there and ("conflict" in outcomes or "unknown" not in outcomes):
        yield Violation("present", f"{wish.key} is there after {outcomes}")
    if entries and len(entries) == there and not _whole(wish, entries):
        yield Violation("torn", f"{there} of the {len(wish.marks)} events of {wish.key} are there: {entries}")


def _whole(wish: Wish, entries: Sequence[Entry]) -> bool:
    first = entries[0].place
    return [(entry.place, entry.aggregate, entry.version, entry.mark) for entry in entries] == [
        ((first[0] + number, first[1]), wish.aggregate, wish.expected + 1 + number, mark)
        for number, mark in enumerate(wish.marks)
    ]


def _double_successes(wishes: dict[str, list[Call]]) -> Iterator[Violation]:
    winners: dict[tuple[UUID, int], str] = {}
    for key, calls in wishes.items():
        if any(call.outcome == "acknowledged" for call in calls):
            at = (calls[0].wish.aggregate, calls[0].wish.expected)
            winner = winners.setdefault(at, key)
            if winner != key:
                yield Violation("double success", f"{winner} and {key} both succeeded at {at}")


def _real_time(wishes: dict[str, list[Call]], found: dict[str, list[Entry]]) -> Iterator[Violation]:
    """Sweeps through time; at equal times the asking comes first, because it did not know."""
    moments: list[tuple[int, bool, Place, str]] = []
    for key, calls in wishes.items():
        places = [entry.place for mark in calls[0].wish.marks for entry in found.get(mark, ())]
        if not places:
            continue
        moments.append((min(call.invoked for call in calls), False, min(places), key))
        ends = [call.ended for call in calls if call.outcome == "acknowledged" and call.ended is not None]
        if ends:
            moments.append((min(ends), True, max(places), key))
    latest: tuple[Place, str] = ((0, 0), "")
    for _, acknowledged, place, key in sorted(moments):
        if acknowledged:
            latest = max(latest, (place, key))
        elif place < latest[0]:
            text = f"{key} stands at {place}, before {latest[1]} at {latest[0]} that was acknowledged before"
            yield Violation("order", text)


def _reads(history: History, log: Sequence[Entry]) -> Iterator[Violation]:
    """A read may not go back behind what was acknowledged, or read, before it began."""
    marks: dict[UUID, list[str]] = defaultdict(list)
    for entry in log:
        marks[entry.aggregate].append(entry.mark)
    moments = [
        (call.ended, 1, call.wish.aggregate, call.version)
        for call in history.calls
        if call.outcome == "acknowledged" and call.ended is not None and call.version is not None
    ]
    for read in history.reads:
        moments.append((read.invoked, 0, read.aggregate, len(read.marks)))
        moments.append((read.ended, 1, read.aggregate, len(read.marks)))
        if marks[read.aggregate][: len(read.marks)] != list(read.marks):
            text = f"{read.aggregate} was read as {read.marks}, which is no beginning of it"
            yield Violation("read", text)
    known: dict[UUID, int] = defaultdict(int)
    for time, is_end, aggregate, version in sorted(moments):
        if is_end:
            known[aggregate] = max(known[aggregate], version)
        elif version < known[aggregate]:
            text = f"{aggregate} was read at version {version} at {time}, after version {known[aggregate]}"
            yield Violation("stale", text)


def _delivered(delivery: Delivery, log: Sequence[Entry]) -> Iterator[Violation]:
    start = delivery.after[0]
    wanted = [(entry.place, entry.mark) for entry in log[start : start + len(delivery.seen)]]
    if delivery.seen != wanted:
        for number, seen in enumerate(delivery.seen):
            right = wanted[number] if number < len(wanted) else None
            if seen != right:
                text = f"from {delivery.after}, {seen} was delivered where {right} belongs"
                yield Violation("subscription", text)
                return
    if delivery.until is not None and delivery.last < delivery.until:
        text = f"from {delivery.after}, it ended at {delivery.last}, before {delivery.until}"
        yield Violation("subscription", text)


def counted(found: Iterable[Violation]) -> Counter[str]:
    """How many violations there are of each kind."""
    return Counter(violation.kind for violation in found)
