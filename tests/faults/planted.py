"""Faults planted into a good history: a judge is trusted after it has found each of them. Pure.

Each plant changes a history, its log, or both, in the way a broken store would, and names the kind of violation that
must be found. `sample` makes a good history by a model of a store; a history of a real run serves as well.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from tests.faults.history import Call, Delivery, Entry, History, Read, Wish, violations

Log = list[Entry]
Plant = Callable[[History, Log, random.Random], None]

SAMPLE_WISHES = 60
SAMPLE_AGGREGATES = 4


def sample(rng: random.Random) -> tuple[History, Log]:
    """A history that a correct store could have given, with every outcome, reads, retries and subscriptions in it."""
    history, clock = History(), 0
    log: Log = []
    versions = {UUID(int=rng.getrandbits(128)): 0 for _ in range(SAMPLE_AGGREGATES)}
    for number in range(SAMPLE_WISHES):
        aggregate = rng.choice(list(versions))
        marks = tuple(f"{number}.{part}" for part in range(rng.randint(1, 3)))
        wish = Wish(f"wish-{number}", aggregate, versions[aggregate], marks)
        fate = rng.choice(("acknowledged", "acknowledged", "retried", "conflict", "refused", "unknown"))
        call = Call(wish, clock, clock + 5)
        history.begin(call)
        if fate in {"conflict", "refused"}:
            call.outcome = "conflict" if fate == "conflict" else "refused"
        elif fate != "unknown" or rng.random() < 0.5:
            for mark in marks:
                versions[aggregate] += 1
                log.append(Entry((len(log) + 1, 7), aggregate, versions[aggregate], mark))
            if fate != "unknown":
                answer = Call(wish, clock + 6, clock + 8, "acknowledged", log[-1].place, versions[aggregate])
                if fate == "retried":
                    history.begin(answer)
                    history.begin(replace(answer, invoked=clock + 8, ended=clock + 9))
                else:
                    history.calls[-1] = replace(answer, invoked=clock, ended=clock + 5)
        seen = tuple(entry.mark for entry in log if entry.aggregate == aggregate)
        history.reads.append(Read(aggregate, clock + 10, clock + 11, seen))
        clock += 20
    for after in (0, rng.randrange(len(log) - 10)):
        delivery = Delivery((after, 7 if after else 0), until=log[-1].place)
        delivery.seen = [(entry.place, entry.mark) for entry in log[after:]]
        history.deliveries.append(delivery)
    return history, log


def missed(history: History, log: Log, rng: random.Random) -> list[str]:
    """The planted faults that the judge does not find in this history, which must be good without them."""
    assert violations(history, log) == []
    names = []
    for name, (kind, plant) in PLANTS.items():
        broken, broken_log = history.copied(), list(log)
        plant(broken, broken_log, rng)
        if kind not in {violation.kind for violation in violations(broken, broken_log)}:
            names.append(name)
    return names


def _acknowledged(history: History, rng: random.Random) -> Call:
    return rng.choice([call for call in history.calls if call.outcome == "acknowledged"])


def _lost_write(history: History, log: Log, rng: random.Random) -> None:
    gone = set(_acknowledged(history, rng).wish.marks)
    log[:] = [entry for entry in log if entry.mark not in gone]


def _lost_tail(history: History, log: Log, rng: random.Random) -> None:
    """The log ends before the last acknowledged event, as a cut file leaves it."""
    last = max(call.place for call in history.calls if call.place is not None)
    del log[last[0] - 1 :]


def _replaced_write(history: History, log: Log, rng: random.Random) -> None:
    """Another event stands where an acknowledged one stood: nothing is missing in the numbers."""
    place = _acknowledged(history, rng).place
    assert place is not None
    log[place[0] - 1] = log[place[0] - 1]._replace(mark="another")


def _half_written(history: History, log: Log, rng: random.Random) -> None:
    """A wish of unknown outcome is there in part; it is the last of the log, so no number is missing."""
    aggregate = UUID(int=rng.getrandbits(128))
    history.begin(Call(Wish("half", aggregate, 0, ("half.0", "half.1")), 0))
    log.append(Entry((len(log) + 1, log[-1].place[1]), aggregate, 1, "half.0"))


def _duplicate(history: History, log: Log, rng: random.Random) -> None:
    """Written once more at the end, with the next versions: what a blind retry does."""
    wish = _acknowledged(history, rng).wish
    version = sum(entry.aggregate == wish.aggregate for entry in log)
    for number, mark in enumerate(wish.marks, 1):
        log.append(Entry((len(log) + 1, log[-1].place[1]), wish.aggregate, version + number, mark))


def _stale_read(history: History, log: Log, rng: random.Random) -> None:
    call = _acknowledged(history, rng)
    assert call.version is not None
    assert call.ended is not None
    marks = [entry.mark for entry in log if entry.aggregate == call.wish.aggregate]
    at = max(call.ended, *(read.ended for read in history.reads)) + 1
    history.reads.append(Read(call.wish.aggregate, at, at, tuple(marks[: call.version - 1])))


def _foreign_read(history: History, log: Log, rng: random.Random) -> None:
    read = rng.choice([read for read in history.reads if read.marks])
    read.marks = ("foreign", *read.marks[1:])


def _double_success(history: History, log: Log, rng: random.Random) -> None:
    call = _acknowledged(history, rng)
    history.begin(replace(call, wish=replace(call.wish, key="second", marks=("second.0",))))


def _reordered(history: History, log: Log, rng: random.Random) -> None:
    """A later place was acknowledged before the earlier one was asked for."""
    early, late = sorted((_first(history, rng), _first(history, rng)), key=lambda call: call.place or (0, 0))
    while early.wish == late.wish:
        early, late = sorted(
            (_first(history, rng), _first(history, rng)), key=lambda call: call.place or (0, 0)
        )
    late.invoked, late.ended = early.invoked - 2, early.invoked - 1


def _first(history: History, rng: random.Random) -> Call:
    """An acknowledged call of a wish that was asked for once."""
    times: dict[str, int] = {}
    for call in history.calls:
        times[call.wish.key] = times.get(call.wish.key, 0) + 1
    once = [call for call in history.calls if times[call.wish.key] == 1 and call.outcome == "acknowledged"]
    return rng.choice(once)


def _other_answer(history: History, log: Log, rng: random.Random) -> None:
    call = _acknowledged(history, rng)
    assert call.place is not None
    history.begin(replace(call, place=(call.place[0] + 1, call.place[1])))


def _conflict_after_success(history: History, log: Log, rng: random.Random) -> None:
    history.begin(replace(_acknowledged(history, rng), outcome="conflict", place=None, version=None))


def _refused_and_there(history: History, log: Log, rng: random.Random) -> None:
    call = _first(history, rng)
    call.outcome, call.place, call.version = "refused", None, None


def _ghost(history: History, log: Log, rng: random.Random) -> None:
    log.append(Entry((len(log) + 1, log[-1].place[1]), UUID(int=rng.getrandbits(128)), 1, "ghost"))


def _gap(history: History, log: Log, rng: random.Random) -> None:
    start = rng.randrange(len(log))
    log[start:] = [entry._replace(place=(entry.place[0] + 1, entry.place[1])) for entry in log[start:]]


def _fallen_epoch(history: History, log: Log, rng: random.Random) -> None:
    number = rng.randrange(1, len(log))
    log[number] = log[number]._replace(place=(number + 1, log[number - 1].place[1] - 1))


def _version_gap(history: History, log: Log, rng: random.Random) -> None:
    number = rng.randrange(len(log))
    log[number] = log[number]._replace(version=log[number].version + 1)


def _delivery(history: History, rng: random.Random) -> tuple[Delivery, int]:
    delivery = rng.choice([delivery for delivery in history.deliveries if len(delivery.seen) > 2])
    return delivery, rng.randrange(len(delivery.seen) - 1)


def _skipped_event(history: History, log: Log, rng: random.Random) -> None:
    delivery, number = _delivery(history, rng)
    del delivery.seen[number]


def _repeated_event(history: History, log: Log, rng: random.Random) -> None:
    delivery, number = _delivery(history, rng)
    delivery.seen.insert(number, delivery.seen[number])


def _swapped_events(history: History, log: Log, rng: random.Random) -> None:
    delivery, number = _delivery(history, rng)
    delivery.seen[number : number + 2] = reversed(delivery.seen[number : number + 2])


def _silent_subscription(history: History, log: Log, rng: random.Random) -> None:
    delivery = rng.choice([delivery for delivery in history.deliveries if delivery.until])
    del delivery.seen[-1:]


PLANTS: dict[str, tuple[str, Plant]] = {
    "a lost write": ("lost", _lost_write),
    "a lost tail": ("lost", _lost_tail),
    "a replaced write": ("lost", _replaced_write),
    "half of an unknown write": ("torn", _half_written),
    "a duplicate": ("duplicated", _duplicate),
    "a stale read": ("stale", _stale_read),
    "a read of something else": ("read", _foreign_read),
    "a double success": ("double success", _double_success),
    "reordered real time": ("order", _reordered),
    "a different answer for the same key": ("answer", _other_answer),
    "a conflict after a success": ("answer", _conflict_after_success),
    "a refused write that is there": ("present", _refused_and_there),
    "an event nobody asked for": ("ghost", _ghost),
    "a gap in positions": ("position", _gap),
    "an epoch that falls": ("position", _fallen_epoch),
    "a gap in versions": ("version", _version_gap),
    "a skipped subscription event": ("subscription", _skipped_event),
    "a repeated subscription event": ("subscription", _repeated_event),
    "swapped subscription events": ("subscription", _swapped_events),
    "a subscription that goes silent": ("subscription", _silent_subscription),
}
