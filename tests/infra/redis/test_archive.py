"""The archive: what is sealed and trimmed is read as if it were still in the log, and a kill loses nothing."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.errors import HistoryChanged, InvalidInput
from domain.recorded import START, Position, RecordedEvent
from infra.redis import archive_calls, calls
from infra.redis.archive import seal, trim
from infra.redis.owner import DirectoryInUse, DirectoryLock
from infra.redis.raw_log import RawLog
from infra.redis.record import RecordDamaged
from infra.redis.segment import SegmentDamaged
from infra.redis.segments import SegmentDirectory
from infra.redis.store import LogFiles, RedisEventStore
from infra.redis.tools import LogTools
from infra.redis.valkey import ValkeyServer
from tests.infra.redis.faults import admin
from tests.infra.redis.notes import append_of

pytestmark = pytest.mark.anyio

NOTES = [UUID(int=number) for number in range(1, 4)]
EVENTS = 51
SEGMENT = 10


def quiet(done: int, total: int) -> None:
    """No progress is wanted."""


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several segments for few events."""
    monkeypatch.setattr("infra.redis.segment.EVENTS_MAX", SEGMENT)


@pytest.fixture
def directory(tmp_path: Path) -> SegmentDirectory:
    return SegmentDirectory(tmp_path / "archive")


@pytest.fixture
async def store(
    valkey_server: ValkeyServer, deployment: str, directory: SegmentDirectory
) -> AsyncIterator[RedisEventStore]:
    """A store over fifty-one events of three aggregates, by turns."""
    async with RedisEventStore(valkey_server.url, deployment, files=LogFiles(archive=directory)) as opened:
        for version in range(EVENTS // 3):
            for note_id in NOTES:
                await opened.append(append_of(note_id, version, f"{note_id.int} {version}"))
        yield opened


@pytest.fixture
async def log(valkey_server: ValkeyServer, deployment: str) -> AsyncIterator[RawLog]:
    async with RawLog(valkey_server.url, deployment) as opened:
        yield opened


async def whole(store: RedisEventStore) -> Sequence[RecordedEvent]:
    return await store.read(START, limit=1000)


async def everything(store: RedisEventStore, positions: Sequence[Position]) -> list[Any]:
    """What every read answers, from every position."""
    found: list[Any] = []
    for limit in (1, 7, 1000):
        found += [await store.read(after, limit=limit) for after in (START, *positions)]
        found += [await store.read_backwards(before, limit=limit) for before in (None, *positions)]
    for until in positions[::4]:
        found += [await store.read(after, limit=1000, until=until) for after in (START, *positions[::5])]
    for note_id in NOTES:
        found += [await store.load(note_id, version_max=version) for version in (None, 1, 4, 17, 30)]
    async with store.subscribe(positions[2]) as batches:
        seen: list[RecordedEvent] = []
        async for batch in batches:
            if not batch:
                break
            seen += batch
    found.append(seen)
    return found


@pytest.mark.parametrize(("applied", "trimmed"), [(5, 5), (20, 20), (37, 37), (1000, 50)])
async def test_reads_do_not_see_where_an_event_lies(
    store: RedisEventStore, log: RawLog, directory: SegmentDirectory, applied: int, trimmed: int
) -> None:
    """Before and after trimming, within a segment or at its end, every read answers the same."""
    positions = [each.position for each in await whole(store)]
    before = await everything(store, positions)
    sealed = await seal(log, directory, quiet)
    assert (sealed.archived, sealed.done) == (50, 5)
    assert (await trim(log, directory, Position(applied, 0))).trimmed == trimmed
    assert calls.position_of((await log.page(0, EVENTS))[0][0]).sequence == trimmed + 1
    assert await everything(store, positions) == before
    tools = LogTools(log, directory)
    assert (await tools.verify(quiet)).problem is None
    assert (await tools.verify(quiet)).events == EVENTS


async def test_a_trimmed_log_is_opened_appended_to_and_backed_up(
    store: RedisEventStore,
    log: RawLog,
    directory: SegmentDirectory,
    valkey_server: ValkeyServer,
    tmp_path: Path,
) -> None:
    """Trimming is no gap; a watermark that lies in the archive is not lost; a backup holds everything."""
    events = await whole(store)
    await seal(log, directory, quiet)
    await trim(log, directory, events[-1].position)
    deployment = log.keys.deployment
    old = events[11].position
    async with RedisEventStore(
        valkey_server.url, deployment, acknowledged=old, files=LogFiles(archive=directory)
    ) as again:
        await again.append(append_of(NOTES[0], EVENTS // 3))
        assert len(await whole(again)) == EVENTS + 1
    assert (await LogTools(log, directory).backup(tmp_path / "backup", quiet)).events == EVENTS + 1
    async with RawLog(valkey_server.url, f"{deployment}-restored") as other:
        empty = LogTools(other, SegmentDirectory(tmp_path / "other"))
        assert (await empty.restore(tmp_path / "backup", quiet, ndjson=False)).events == EVENTS + 1
        assert (await empty.verify(quiet)).problem is None


async def test_another_history_is_noticed_in_the_archive(
    store: RedisEventStore, log: RawLog, directory: SegmentDirectory
) -> None:
    """A reader whose position is of a lost run is told, wherever its events lie now."""
    events = await whole(store)
    await seal(log, directory, quiet)
    await trim(log, directory, events[-1].position)
    with pytest.raises(HistoryChanged, match="the archive has"):
        await store.read(Position(12, 1), limit=10)
    with pytest.raises(HistoryChanged):
        await store.read(Position(EVENTS + 5, 1), limit=10)


async def archived_and_trimmed(log: RawLog, directory: SegmentDirectory, applied: Position) -> None:
    await seal(log, directory, quiet)
    await trim(log, directory, applied)


class Killed(Exception):
    """The process ended here."""


@pytest.mark.parametrize("step", ["write", "read", "record", "recorded", "trim", "trimmed"])
async def test_an_archiver_killed_at_any_step_loses_nothing(
    store: RedisEventStore,
    log: RawLog,
    directory: SegmentDirectory,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """Every event is readable afterwards, and the next archiver finishes the work."""
    events = await whole(store)
    with monkeypatch.context() as broken:
        break_at(broken, step)
        with pytest.raises(Killed):
            await archived_and_trimmed(log, directory, events[-1].position)
    assert await whole(store) == events
    assert (await LogTools(log, directory).verify(quiet)).problem is None
    await store.append(append_of(NOTES[0], EVENTS // 3))
    assert (await seal(log, directory, quiet)).archived == 50
    assert (await trim(log, directory, events[-1].position)).trimmed == 50
    assert (await whole(store))[:EVENTS] == events
    assert (await LogTools(log, directory).verify(quiet)).problem is None


async def test_a_segment_that_was_never_recorded_is_sealed_anew(
    store: RedisEventStore, log: RawLog, directory: SegmentDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed archiver of another release may have cut the log into other ranges; two that overlap are no chain."""
    events = await whole(store)
    with monkeypatch.context() as broken:
        break_at(broken, "record")
        with pytest.raises(Killed):
            await seal(log, directory, quiet)
    assert await directory.names() == ["0000000000000001-0000000000000010.segment"]
    monkeypatch.setattr("infra.redis.segment.EVENTS_MAX", 7)
    assert (await seal(log, directory, quiet)).archived == 49
    assert len(await directory.names()) == 7
    await trim(log, directory, events[-1].position)
    assert await whole(store) == events
    assert (await LogTools(log, directory).verify(quiet)).problem is None


def break_at(broken: pytest.MonkeyPatch, step: str) -> None:
    """End before or after the second segment's write, before its record is sent or answered, and around the trim."""
    write, read, seen = SegmentDirectory.write, SegmentDirectory.read, []

    async def write_once(directory: SegmentDirectory, entries: Any, **more: Any) -> Any:
        seen.append(entries)
        if len(seen) == 2:
            (directory.path / "half.draft").write_bytes(b"half")
            raise Killed
        return await write(directory, entries, **more)

    async def read_none(directory: SegmentDirectory, name: str) -> Any:
        await read(directory, name)
        raise Killed

    def build_none(*_: Any) -> Any:
        raise Killed

    match step:
        case "write":
            broken.setattr(SegmentDirectory, "write", write_once)
        case "read":
            broken.setattr(SegmentDirectory, "read", read_none)
        case "record":
            broken.setattr(archive_calls, "archived", build_none)
        case "trim":
            broken.setattr(archive_calls, "trim", build_none)
        case _:
            broken.setattr(RawLog, "writing", answering_none(step))


def answering_none(step: str) -> Any:
    """The call is done, and its answer is never seen."""
    function = {"recorded": "archived_", "trimmed": "trim_"}[step]
    writing = RawLog.writing

    def opened(log: RawLog) -> Any:
        return _Unanswered(writing(log), function)

    return opened


class _Unanswered:
    def __init__(self, inner: Any, function: str) -> None:
        self._inner, self._function = inner, function

    async def __aenter__(self) -> Any:
        send = await self._inner.__aenter__()

        async def sent(call: calls.Call) -> int:
            answer: int = await send(call)
            if str(call[1]).startswith(self._function):
                raise Killed
            return answer

        return sent

    async def __aexit__(self, *error: object) -> Any:
        return await self._inner.__aexit__(*error)


async def test_nothing_is_trimmed_above_the_slowest_read_model(
    store: RedisEventStore, log: RawLog, directory: SegmentDirectory
) -> None:
    """What a projector has still to read stays where it reads fastest; unknown is not taken for done."""

    class Checkpoint:
        def __init__(self, sequence: int) -> None:
            self._sequence = sequence

        async def checkpoint(self) -> Position:
            return Position(self._sequence, 1)

    await seal(log, directory, quiet)
    stores: Any = {"a": Checkpoint(33), "b": Checkpoint(12)}
    assert (await LogTools(log, directory, stores).trim()).trimmed == 12
    assert (await LogTools(log, directory, {"a": stores["b"]}).trim()).done == 0
    with pytest.raises(InvalidInput, match="how far the read models are"):
        await LogTools(log, directory).trim()


async def test_the_server_itself_refuses_to_trim_what_is_not_archived(
    store: RedisEventStore, log: RawLog
) -> None:
    """The last check is where the events are."""
    async with log.writing() as send:
        with pytest.raises(InvalidInput, match="must be in the archive"):
            await send(archive_calls.trim(log.keys, 5))
        with pytest.raises(InvalidInput, match="not where this segment goes on"):
            await send(archive_calls.archived(log.keys, "x", 11, 20, "no", "digest"))


async def test_a_damaged_segment_is_named_and_stops_the_trimming(
    store: RedisEventStore, log: RawLog, directory: SegmentDirectory
) -> None:
    """As long as the log has the events nothing is lost; later the first position without an event is named."""
    events = await whole(store)
    await seal(log, directory, quiet)
    victim = directory.path / (await directory.names())[2]
    content = victim.read_bytes()
    victim.write_bytes(content[:-60] + bytes([content[-60] ^ 1]) + content[-59:])
    fresh = SegmentDirectory(directory.path)
    with pytest.raises(SegmentDamaged, match=victim.name):
        await trim(log, fresh, events[-1].position)
    problem = (await LogTools(log, fresh).verify(quiet)).problem
    assert problem is not None
    assert (problem.code, problem.position) == ("archive_damaged", Position(21, 0))
    assert victim.name in problem.message
    assert await whole(store) == events
    victim.write_bytes(content)
    await trim(log, SegmentDirectory(directory.path), events[-1].position)
    victim.unlink()
    problem = (await LogTools(log, SegmentDirectory(directory.path)).verify(quiet)).problem
    assert problem is not None
    assert problem.position is not None
    assert problem.position.sequence == 21


async def test_another_directory_is_not_taken_for_the_archive(
    store: RedisEventStore, log: RawLog, directory: SegmentDirectory, tmp_path: Path
) -> None:
    """An unmounted disk must not start a second archive."""
    await seal(log, directory, quiet)
    for work in (
        seal(log, SegmentDirectory(tmp_path / "other"), quiet),
        trim(log, SegmentDirectory(tmp_path), START),
    ):
        with pytest.raises(InvalidInput, match="does not hold the segment that ends at 50"):
            await work


async def test_one_archiver_at_a_time(
    store: RedisEventStore, log: RawLog, directory: SegmentDirectory
) -> None:
    """Two would discard each other's segments."""
    lock = DirectoryLock(directory.path)
    lock.acquire()
    with pytest.raises(DirectoryInUse):
        await seal(log, directory, quiet)
    lock.release()
    assert (await seal(log, directory, quiet)).done == 5


async def test_a_damaged_record_is_never_sealed(
    store: RedisEventStore, log: RawLog, directory: SegmentDirectory, valkey_server: ValkeyServer
) -> None:
    """The archive must not vouch for what the log already lost."""
    async with admin(valkey_server.url) as client:
        await client.xdel(log.keys.log, str((await whole(store))[24].position))
    with pytest.raises(RecordDamaged, match="position 25-0 is missing"):
        await seal(log, directory, quiet)
    assert (await log.state()).archived <= 20
