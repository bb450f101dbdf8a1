"""A writer and a subscriber in a process of their own, which a fault may kill at any moment.

    python -m tests.faults.client write URL SEED         a line of JSON before each call, and one after it
    python -m tests.faults.client follow URL POSITION    a line of JSON for each event after the position

A line is in the pipe before the process goes on, so what it knew outlives it. The functions below start them and read.
"""

import asyncio
import json
import random
import sys
from asyncio.subprocess import PIPE, Process
from uuid import UUID

from domain.recorded import START, Position
from infra.redis.store import RedisEventStore
from tests.faults.history import Call, Delivery, History, Wish
from tests.faults.load import DEPLOYMENT, EVENTS_PER_APPEND_MAX, Load, ask, mark_of

WRITERS = 4
LINE_BYTES_MAX = 1 << 20


async def started(*arguments: str) -> Process:
    """One of the two, running."""
    command = (sys.executable, "-m", "tests.faults.client", *arguments)
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, limit=LINE_BYTES_MAX)


async def killed(process: Process) -> None:
    """SIGKILL it and wait for its end; what it wrote stays in its pipe."""
    process.kill()
    await process.wait()


async def told(process: Process, history: History) -> None:
    """Read a writer's lines up to its end into the history. A call without an answer stays unknown."""
    assert process.stdout is not None
    calls: dict[int, Call] = {}
    while (line := await process.stdout.readline()).endswith(b"\n"):
        values = json.loads(line)
        key, aggregate, expected, marks = values["wish"]
        call = calls.get(values["number"])
        if call is None:
            wish = Wish(key, UUID(aggregate), expected, tuple(marks))
            call = calls[values["number"]] = Call(wish, values["invoked"])
            history.begin(call)
        call.ended, call.outcome, call.version = values["ended"], values["outcome"], values["version"]
        call.place = tuple(values["place"]) if values["place"] else None


async def received(process: Process, delivery: Delivery, *, events: int | None = None) -> None:
    """Read a subscriber's lines into the delivery: so many, or up to its end. A torn line was not processed."""
    assert process.stdout is not None
    while events is None or len(delivery.seen) < events:
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            return
        sequence, epoch, mark = json.loads(line)
        delivery.seen.append(((sequence, epoch), mark))


class _Told(History):
    """A history on the standard output."""

    def begin(self, call: Call) -> None:
        super().begin(call)
        self._write(call)

    def end(self, call: Call) -> None:
        self._write(call)

    def _write(self, call: Call) -> None:
        number = next(number for number in range(len(self.calls) - 1, -1, -1) if self.calls[number] is call)
        wish = call.wish
        values = {
            "number": number,
            "wish": [wish.key, str(wish.aggregate), wish.expected, wish.marks],
            "invoked": call.invoked,
            "ended": call.ended,
            "outcome": call.outcome,
            "place": call.place,
            "version": call.version,
        }
        sys.stdout.write(json.dumps(values) + "\n")
        sys.stdout.flush()


async def _write(url: str, seed: int) -> None:
    load, history = Load(random.Random(seed)), _Told()
    async with RedisEventStore(url, DEPLOYMENT) as store, asyncio.TaskGroup() as tasks:
        for _ in range(WRITERS):
            tasks.create_task(_write_for_ever(store, load, history))


async def _write_for_ever(store: RedisEventStore, load: Load, history: History) -> None:
    aggregate, version = load.new_id(), 0
    while True:
        wish = load.wish(aggregate, version, load.rng.randint(1, EVENTS_PER_APPEND_MAX))
        call = await ask(store, history, wish)
        if call.version is None:
            aggregate, version = load.new_id(), 0
        else:
            version = call.version


async def _follow(url: str, after: Position) -> None:
    async with RedisEventStore(url, DEPLOYMENT) as store, store.subscribe(after) as batches:
        async for batch in batches:
            for event in batch:
                sys.stdout.write(json.dumps([*event.position, mark_of(event)]) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    role, server_url, argument = sys.argv[1:]
    if role == "write":
        asyncio.run(_write(server_url, int(argument)))
    else:
        asyncio.run(_follow(server_url, START if argument == str(START) else Position.parse(argument)))
