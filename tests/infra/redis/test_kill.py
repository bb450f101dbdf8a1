"""Faults under load: the server is killed, stopped, and its replies are lost; a journal outside the product judges.

The journal holds what each client was told. Afterwards: acknowledged means there exactly once, refused means not there,
unknown means there exactly once after a retry with its key, and positions have no gap.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from domain.errors import OutcomeUnknown, Unavailable, VersionConflict
from domain.recorded import START, Append, Appended, IdempotencyClaim, RecordedEvent
from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer
from tests.infra.redis.faults import insisted, killed
from tests.infra.redis.notes import append_of
from tests.infra.redis.proxy import LossyProxy

pytestmark = pytest.mark.anyio

WRITERS = 16
KILLS = 8
ACKNOWLEDGED_PER_KILL = 100


def claim() -> IdempotencyClaim:
    """A fresh key."""
    return IdempotencyClaim(uuid4().hex, uuid4().hex)


@dataclass
class Journal:
    """What the clients were told, each text being one wish to append one event."""

    acknowledged: dict[str, Appended] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    unknown: dict[str, Append] = field(default_factory=dict)

    def problems(self, log: list[RecordedEvent]) -> list[str]:
        """Everything in the log that contradicts the journal."""
        found = Counter(str(getattr(event.event, "text", None)) for event in log)
        places = {str(getattr(event.event, "text", None)): event.position for event in log}
        problems = [
            f"{text}: acknowledged at {appended.position}, found {found[text]} times, at {places.get(text)}"
            for text, appended in self.acknowledged.items()
            if found[text] != 1 or places[text] != appended.position
        ]
        problems += [f"{text}: refused and there" for text in self.refused if found[text]]
        problems += [f"{text}: nobody asked for it" for text in found if text not in self.acknowledged]
        sequences = [event.position.sequence for event in log]
        if sequences != list(range(1, len(log) + 1)):
            problems.append("positions have a gap")
        versions: dict[UUID, list[int]] = {}
        for event in log:
            versions.setdefault(event.aggregate_id, []).append(event.version)
        problems += [
            f"{aggregate}: versions {numbers}"
            for aggregate, numbers in versions.items()
            if numbers != list(range(1, len(numbers) + 1))
        ]
        return problems


async def whole_log(store: RedisEventStore) -> list[RecordedEvent]:
    """Every event."""
    events: list[RecordedEvent] = []
    while page := await store.read(events[-1].position if events else START, limit=1000):
        events += page
    return events


async def write(store: RedisEventStore, journal: Journal, rng: random.Random, done: asyncio.Event) -> None:
    """Append to own and shared aggregates until told to stop, noting every answer."""
    shared = UUID(int=1)
    own, version = uuid4(), 0
    while not done.is_set():
        text = str(uuid4())
        if rng.random() < 0.2:
            events = await _versions(store, shared)
            append = append_of(shared, events, text, claim=claim())
        else:
            append = append_of(own, version, text, claim=claim())
        try:
            appended = await store.append(append)
        except OutcomeUnknown:
            journal.unknown[text] = append
            own, version = uuid4(), 0
        except (Unavailable, VersionConflict):
            journal.refused.add(text)
        else:
            journal.acknowledged[text] = appended
            version = appended.version if append.aggregate_id == own else version


async def _versions(store: RedisEventStore, aggregate: UUID) -> int:
    try:
        return len(await store.load(aggregate))
    except Unavailable:
        return 0


async def test_kills_of_the_server_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """SIGKILL again and again under sixteen writers; then every unknown outcome is asked for again."""
    seed = int(os.environ.get("CHRONICLE_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {seed}")  # noqa: T201 - needed to run a failure again with CHRONICLE_TEST_SEED
    rng = random.Random(seed)
    journal, done = Journal(), asyncio.Event()
    async with (
        ValkeyServer(tmp_path, "log", persistent=True) as server,
        RedisEventStore(server.url, "kill") as store,
    ):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WRITERS):
                tasks.create_task(write(store, journal, random.Random(rng.random()), done))
            async with store.subscribe(START) as batches:
                for _ in range(KILLS):
                    more = ACKNOWLEDGED_PER_KILL + rng.randrange(50)
                    await _acknowledged(journal, len(journal.acknowledged) + more, batches)
                    await killed(server)
            done.set()
        for text, append in journal.unknown.items():
            try:
                journal.acknowledged[text] = await insisted(store, append)
            except VersionConflict:
                journal.refused.add(text)
        log = await whole_log(store)
        summary = (
            f"{len(journal.acknowledged)} acknowledged, {len(journal.refused)} refused, "
            f"{len(journal.unknown)} unknown, {server.starts} starts"
        )
        print(summary)  # noqa: T201 - shown with the seed when it fails
    assert journal.problems(log) == []
    assert len(journal.acknowledged) >= KILLS * ACKNOWLEDGED_PER_KILL
    assert server.starts == KILLS + 1
    assert len({event.position.epoch for event in log}) >= 2


async def _acknowledged(journal: Journal, count: int, batches: AsyncIterator[object]) -> None:
    """Wait until so many are acknowledged; each batch of the live feed is a reason to look."""
    while len(journal.acknowledged) < count:
        await anext(batches)


async def test_the_journal_finds_planted_faults(store: RedisEventStore) -> None:
    """A judge that cannot say no is worth nothing."""
    journal = Journal()
    for text in ("a", "b", "c"):
        journal.acknowledged[text] = await store.append(append_of(uuid4(), 0, text))
    log = await whole_log(store)
    assert journal.problems(log) == []
    assert "positions have a gap" in journal.problems([log[0], log[2]])
    assert any(problem.startswith("b: acknowledged") for problem in journal.problems([log[0], log[2]]))
    assert any("found 2 times" in problem for problem in journal.problems([*log, log[1]]))
    assert any("versions [1, 1]" in problem for problem in journal.problems([*log, log[1]]))
    del journal.acknowledged["b"]
    assert journal.problems(log) == ["b: nobody asked for it"]
    journal.refused.add("b")
    assert "b: refused and there" in journal.problems(log)


async def test_a_lost_reply_is_unknown_and_its_retry_finds_it(
    valkey_server: ValkeyServer, deployment: str, tmp_path: Path
) -> None:
    """The server wrote, the client does not know; the same key gets the same result, and one event is there."""
    async with (
        LossyProxy(Path("/tmp") / f"{deployment[:20]}.sock", valkey_server.socket).serving() as proxy,  # noqa: S108
        RedisEventStore(proxy.url, deployment) as store,
    ):
        for round_number in range(5):
            append = append_of(uuid4(), 0, claim=claim())
            proxy.drop_replies_to = b"append_many"
            with pytest.raises(OutcomeUnknown, match="retry it with the same idempotency key"):
                await store.append(append)
            recalled = await store.recall(append.idempotency) if append.idempotency else None
            again = await store.append(append)
            assert again == recalled
            assert again.repeated
            assert again.position.sequence == round_number + 1
        assert proxy.dropped == 5
        assert (await store.head()).sequence == 5


async def test_a_stopped_server_gives_unknown_in_time_and_does_it_later(tmp_path: Path) -> None:
    """A server that hangs may still do what it was sent: refused would be a lie."""
    async with (
        ValkeyServer(tmp_path, "log", persistent=True) as server,
        RedisEventStore(server.url, "stop", call_timeout_s=0.3) as store,
    ):
        await store.append(append_of(uuid4(), 0))
        append = append_of(uuid4(), 0, claim=claim())
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            started = asyncio.get_running_loop().time()
            with pytest.raises(OutcomeUnknown):
                await store.append(append)
            assert asyncio.get_running_loop().time() - started < 2
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert (await insisted(store, append)).position.sequence == 2
        assert (await store.head()).sequence == 2
