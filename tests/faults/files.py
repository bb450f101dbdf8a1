"""Faults of the append-only file: cut at any offset, a wrong byte in its protocol, in a payload, in an index."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from domain.errors import HistoryChanged, Unavailable
from domain.recorded import Position
from infra.redis.checks import UnsafeServer
from infra.redis.record import RecordDamaged
from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer
from tests.faults.history import Entry, History, Violation, violations
from tests.faults.load import DEPLOYMENT, Load, append_for, insist, raised_by, under_load, whole_log
from tests.faults.processes import found
from tests.faults.proxy import Frames
from tests.faults.run import Found, Run, promise

ACKNOWLEDGED = 100


class Command(NamedTuple):
    """One command of an append-only file: where it begins, its parts, and where each of these begins."""

    offset: int
    parts: list[bytes]
    offsets: list[int]


def commands(path: Path) -> Iterator[Command]:
    """Everything in the file, in order."""
    offset = 0
    for frame in Frames().feed(path.read_bytes()):
        parts: list[bytes] = []
        offsets: list[int] = []
        at = frame.index(b"\r\n") + 2
        while at < len(frame):
            end = frame.index(b"\r\n", at)
            length = int(frame[at + 1 : end])
            offsets.append(offset + end + 2)
            parts.append(frame[end + 2 : end + 2 + length])
            at = end + 2 + length + 2
        yield Command(offset, parts, offsets)
        offset += len(frame)


def log_file(directory: Path) -> Path:
    """The part of the append-only file that grows."""
    (path,) = (directory / "log" / "appendonlydir").glob("*.incr.aof")
    return path


async def written(run: Run) -> Load:
    """A log that was written under load in `run.directory/source`, whose server has stopped."""
    async with (
        ValkeyServer(run.directory / "source", "log", persistent=True) as server,
        under_load(server.url, run.rng) as load,
    ):
        await load.acknowledged(ACKNOWLEDGED)
    return load


@asynccontextmanager
async def copied(run: Run) -> AsyncIterator[Path]:
    """A copy of the log's directory, to be broken."""
    directory = run.directory / "copy"
    shutil.copytree(run.directory / "source", directory, ignore=shutil.ignore_patterns("*.sock", "lock"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def flip(run: Run, path: Path, offset: int) -> None:
    """Change one byte to any other."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ run.rng.randrange(1, 256)]))


async def file_cut(run: Run) -> Found:
    """Cut anywhere: the server starts without a word; batches stay whole, and the loss is noticed and named."""
    load = await written(run)
    cuts = 0
    for _ in run.rounds(5):
        async with copied(run) as directory:
            path = log_file(directory)
            os.truncate(path, run.rng.randrange(path.stat().st_size // 5, path.stat().st_size))
            load.violations += await _judged_cut(directory, load)
        cuts += 1
    load.violations += await _cut_below_a_running_store(run, load)
    return found(cuts + 1, load)


async def _judged_cut(directory: Path, load: Load) -> list[Violation]:
    last = Position(*load.log[-1].place)
    async with ValkeyServer(directory, "log", persistent=True) as server:
        refused = await raised_by(_opened(server.url, last))
        async with RedisEventStore(server.url, DEPLOYMENT) as store:
            kept = await whole_log(store)
            call = await insist(store, History(), load.wish(load.new_id(), 0, 3))
            aggregates = {entry.aggregate for entry in kept}
            loaded = {aggregate: len(await store.load(aggregate)) for aggregate in aggregates}
            while (await store.head()).sequence <= last.sequence:
                await store.append(append_for(load.wish(load.new_id(), 0, 100)))
        refused_later = await raised_by(_opened(server.url, last))
    versions = {aggregate: sum(entry.aggregate == aggregate for entry in kept) for aggregate in aggregates}
    return [
        *promise(isinstance(refused, UnsafeServer), f"a cut to {len(kept)} events went unseen: {refused}"),
        *promise(isinstance(refused_later, UnsafeServer), f"and after new appends: {refused_later}"),
        *promise(kept == load.log[: len(kept)], "a cut log is no beginning of the log"),
        *promise(not _torn(load, kept), f"a cut tore {_torn(load, kept)}"),
        *promise(call.place and call.place[0] == len(kept) + 3, f"appending goes on at {call.place}"),
        *promise(loaded == versions, "the index lists of a cut log differ from it"),
    ]


def _torn(load: Load, kept: list[Entry]) -> list[str]:
    """Keys of wishes of which a part is there."""
    there = {entry.mark for entry in kept}
    wishes = {call.wish for call in load.history.calls}
    return [wish.key for wish in wishes if 0 < len(there & set(wish.marks)) < len(wish.marks)]


async def _opened(url: str, acknowledged: Position) -> None:
    async with RedisEventStore(url, DEPLOYMENT, acknowledged=acknowledged):
        pass


async def _cut_below_a_running_store(run: Run, load: Load) -> list[Violation]:
    """The process goes on while its server comes back with less: appending is refused, a subscriber is told."""
    source = run.directory / "source"
    path = log_file(source)
    async with AsyncExitStack() as stack:
        async with ValkeyServer(source, "log", persistent=True) as server:
            store = await stack.enter_async_context(RedisEventStore(server.url, DEPLOYMENT))
            await store.append(append_for(load.wish(load.new_id(), 0)))
        size = path.stat().st_size
        os.truncate(path, size - run.rng.randrange(1, size // 2))
        async with ValkeyServer(source, "log", persistent=True):
            refused = await raised_by(store.append(append_for(load.wish(load.new_id(), 0))))
            told = await raised_by(_first_batch(store, store.acknowledged))
    return [
        *promise(isinstance(refused, UnsafeServer), f"a running store did not see the cut: {refused}"),
        *promise(isinstance(told, HistoryChanged), f"a subscriber did not see the cut: {told}"),
    ]


async def _first_batch(store: RedisEventStore, after: Position) -> None:
    async with asyncio.timeout(10), store.subscribe(after) as batches:
        await anext(batches)


async def protocol_byte(run: Run) -> Found:
    """One byte of the file's protocol is wrong: the server does not start, and the error says where to look."""
    load = await written(run)
    starts = 0
    for _ in run.rounds(3):
        async with copied(run) as directory:
            path = log_file(directory)
            whole = path.read_bytes()
            command = run.rng.choice(list(commands(path)))
            with path.open("r+b") as file:
                file.seek(command.offset)
                file.write(b"X")
            error = await raised_by(_started(directory))
            load.violations += promise(
                isinstance(error, Unavailable)
                and "Bad file format" in str(error)
                and "server.log" in str(error),
                f"a wrong byte at {command.offset} gave {error}",
            )
            path.write_bytes(whole)
            async with (
                ValkeyServer(directory, "log", persistent=True) as server,
                RedisEventStore(server.url, DEPLOYMENT, acknowledged=Position(*load.log[-1].place)) as store,
            ):
                load.violations += violations(load.history, await whole_log(store))
        starts += 1
    return found(starts, load)


async def _started(directory: Path) -> None:
    async with ValkeyServer(directory, "log", persistent=True):
        pass


async def payload_byte(run: Run) -> Found:
    """One byte of a record is wrong: the server starts without a word; reading and loading name the position."""
    load = await written(run)
    flips = 0
    for _ in run.rounds(4):
        async with copied(run) as directory:
            path = log_file(directory)
            added = [command for command in commands(path) if command.parts[0] == b"XADD"]
            number = run.rng.randrange(len(added))
            flip(run, path, added[number].offsets[-1] + run.rng.randrange(len(added[number].parts[-1])))
            last = number == len(load.log) - 1
            load.violations += await _named(directory, load.log[number], last=last)
        flips += 1
    return found(flips, load)


async def _named(directory: Path, damaged: Entry, *, last: bool) -> list[Violation]:
    """A wrong time of the last entry is found when the log is opened, everything else when it is read."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ValkeyServer(directory, "log", persistent=True))
        try:
            store = await stack.enter_async_context(RedisEventStore(server.url, DEPLOYMENT))
        except UnsafeServer as error:
            named = last and f"last entry {damaged.place[0]} is damaged" in str(error)
            return promise(named, f"a wrong byte at {damaged.place} gave {error!r}")
        errors = [await raised_by(whole_log(store)), await raised_by(store.load(damaged.aggregate))]
    return [
        violation
        for error in errors
        for violation in promise(
            isinstance(error, RecordDamaged) and error.position == damaged.place,
            f"a wrong byte at {damaged.place} gave {error!r}",
        )
    ]


async def index_byte(run: Run) -> Found:
    """One digit of an aggregate's index is wrong: loading says so, and never gives events of another."""
    load = await written(run)
    flips = 0
    for _ in run.rounds(4):
        async with copied(run) as directory:
            path = log_file(directory)
            pushed = [command for command in commands(path) if command.parts[0] == b"RPUSH"]
            command = run.rng.choice(pushed)
            number = run.rng.randrange(2, len(command.parts))
            digit = run.rng.randrange(len(command.parts[number]))
            others = [d for d in b"0123456789" if d != command.parts[number][digit]]
            with path.open("r+b") as file:
                file.seek(command.offsets[number] + digit)
                file.write(bytes([run.rng.choice(others)]))
            damaged = load.log[int(command.parts[number]) - 1]
            async with (
                ValkeyServer(directory, "log", persistent=True) as server,
                RedisEventStore(server.url, DEPLOYMENT) as store,
            ):
                error = await raised_by(store.load(damaged.aggregate))
            load.violations += promise(
                isinstance(error, RecordDamaged), f"a wrong index of {damaged.place} gave {error!r}"
            )
        flips += 1
    return found(flips, load)
