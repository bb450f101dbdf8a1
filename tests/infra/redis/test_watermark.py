"""The watermark: a server that came back without acknowledged events is refused, and there is a way out."""

import os
import random
import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from domain.errors import InvalidInput
from domain.recorded import START, Appended, Position
from infra.redis import watermark
from infra.redis.checks import UnsafeServer
from infra.redis.raw_log import RawLog
from infra.redis.segments import SegmentDirectory
from infra.redis.store import LogFiles, RedisEventStore
from infra.redis.tools import LogTools
from infra.redis.valkey import ValkeyServer
from infra.redis.watermark import Watermark, WatermarkDamaged, WatermarkFile, WatermarkWriter
from tests.infra.redis.notes import append_of

pytestmark = pytest.mark.anyio

APPENDS = 40
CUTS = 10


def log_directory(data_dir: Path) -> Path:
    return data_dir / "log"


def append_only_file(data_dir: Path) -> Path:
    [file] = (data_dir / "log" / "appendonlydir").glob("*.incr.aof")
    return file


def opened(server: ValkeyServer, data_dir: Path) -> RedisEventStore:
    """A store as the program opens it."""
    return RedisEventStore(server.url, "d", files=LogFiles(WatermarkFile(log_directory(data_dir), "d")))


async def test_a_cut_append_only_file_is_refused_unless_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """The server starts with whatever is left; the store looks what should be there."""
    seed = int(os.environ.get("CHRONICLE_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {seed}")  # noqa: T201 - needed to run a failure again with CHRONICLE_TEST_SEED
    rng = random.Random(seed)
    whole = tmp_path / "whole"
    async with ValkeyServer(whole, "log", persistent=True) as server, opened(server, whole) as store:
        for _ in range(APPENDS):
            await store.append(append_of(uuid4(), 0))
        last = store.acknowledged
    size = append_only_file(whole).stat().st_size
    refused = 0
    for number, offset in enumerate([size, *(rng.randrange(size) for _ in range(CUTS))]):
        cut = tmp_path / f"cut-{number}"
        shutil.copytree(whole, cut, ignore=shutil.ignore_patterns("*.sock", "lock"))
        os.truncate(append_only_file(cut), offset)
        async with ValkeyServer(cut, "log", persistent=True) as server:
            async with RawLog(server.url, "d") as log:
                left = (await log.state()).last
            if left == last:
                async with opened(server, cut) as store:
                    assert (await store.append(append_of(uuid4(), 0))).position.sequence == APPENDS + 1
            else:
                refused += 1
                with pytest.raises(UnsafeServer, match=f"accept-loss {last}|Restore it from a backup"):
                    async with opened(server, cut):
                        pass
    assert refused >= CUTS // 2


async def lost_tail(data_dir: Path, kept: int, lost: int) -> tuple[Position, Position]:
    """A log that came back with `kept` events where more were acknowledged: its end, and what is missing."""
    async with ValkeyServer(data_dir, "log", persistent=True) as server, opened(server, data_dir) as store:
        for _ in range(kept):
            await store.append(append_of(uuid4(), 0))
        end = store.acknowledged
        size = append_only_file(data_dir).stat().st_size
        for _ in range(lost):
            await store.append(append_of(uuid4(), 0))
        missing = store.acknowledged
    os.truncate(append_only_file(data_dir), size)
    return end, missing


async def test_an_accepted_loss_is_no_longer_refused_and_the_next_one_is(tmp_path: Path) -> None:
    """The operator names what is missing once; the fact is kept with the log and covers nothing else."""
    end, missing = await lost_tail(tmp_path, 5, 3)
    async with ValkeyServer(tmp_path, "log", persistent=True) as server:
        with pytest.raises(UnsafeServer, match=f"position {missing} is missing.*ends at {end}"):
            async with opened(server, tmp_path):
                pass
        async with RawLog(server.url, "d") as log:
            assert await LogTools(log, SegmentDirectory(tmp_path / "archive")).accept_loss(missing) == end
        async with opened(server, tmp_path) as store:
            assert store.acknowledged == end
    kept = append_only_file(tmp_path).stat().st_size
    async with ValkeyServer(tmp_path, "log", persistent=True) as server:
        # A read model may still be anywhere in what was lost.
        lost_checkpoint = Position(missing.sequence - 1, missing.epoch)
        async with RedisEventStore(server.url, "d", acknowledged=lost_checkpoint):
            pass
        async with opened(server, tmp_path) as store:
            again = await store.append(append_of(uuid4(), 0))
            assert again.position.sequence == end.sequence + 1
            assert again.position.epoch > missing.epoch
    os.truncate(append_only_file(tmp_path), kept)
    async with ValkeyServer(tmp_path, "log", persistent=True) as server:
        with pytest.raises(UnsafeServer, match=f"position {again.position} is missing"):
            async with opened(server, tmp_path):
                pass


async def test_a_loss_that_was_written_over_can_be_accepted(tmp_path: Path) -> None:
    """Somebody appended to the shorter log without a watermark: the lost positions now name other events."""
    end, missing = await lost_tail(tmp_path, 2, 2)
    async with ValkeyServer(tmp_path, "log", persistent=True) as server:
        async with RedisEventStore(server.url, "d") as stranger:
            for _ in range(4):
                await stranger.append(append_of(uuid4(), 0))
        with pytest.raises(UnsafeServer, match=f"position {missing} is now {missing.sequence}-"):
            async with opened(server, tmp_path):
                pass
        async with RawLog(server.url, "d") as log:
            assert await LogTools(log, SegmentDirectory(tmp_path / "archive")).accept_loss(missing) == end
        async with opened(server, tmp_path) as store:
            assert (await store.append(append_of(uuid4(), 0))).position.sequence == 7


async def test_only_what_is_missing_can_be_given_up(
    store: RedisEventStore, valkey_server: ValkeyServer, deployment: str, tmp_path: Path
) -> None:
    """Accepting in advance would make a later loss pass silently."""
    position = (await store.append(append_of(uuid4(), 0))).position
    async with RawLog(valkey_server.url, deployment) as log:
        for wrong in (position, START):
            with pytest.raises(InvalidInput, match="nothing up to there is lost"):
                await LogTools(log, SegmentDirectory(tmp_path / "archive")).accept_loss(wrong)


async def test_another_event_at_the_position_is_refused(tmp_path: Path) -> None:
    """The hash of the content tells what the position alone does not."""
    async with ValkeyServer(tmp_path, "log", persistent=True) as server:
        async with opened(server, tmp_path) as store:
            position = (await store.append(append_of(uuid4(), 0))).position
        file = WatermarkFile(log_directory(tmp_path), "d")
        mark = await file.read()
        assert mark.position == position
        async with opened(server, tmp_path):
            pass
        await file.write(Watermark(position, "0" * 64))
        with pytest.raises(UnsafeServer, match=f"Position {position} holds another event"):
            async with opened(server, tmp_path):
                pass


async def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """Unknown is not the same as nothing."""
    (tmp_path / "watermark-d.json").write_text('{"sequence": 5')
    with pytest.raises(WatermarkDamaged, match="watermark-d"):
        await WatermarkFile(tmp_path, "d").read()


async def test_the_file_is_written_at_a_bounded_rate_and_at_the_end(
    valkey_server: ValkeyServer, deployment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for each append: every write of it waits for the disk."""
    writes: list[Watermark] = []
    write = WatermarkFile.write

    async def counted(file: WatermarkFile, mark: Watermark) -> None:
        writes.append(mark)
        await write(file, mark)

    monkeypatch.setattr(WatermarkFile, "write", counted)
    monkeypatch.setattr(watermark, "WRITE_INTERVAL_S", 3600.0)
    file = WatermarkFile(tmp_path, deployment)
    appended: Appended | None = None
    async with RedisEventStore(valkey_server.url, deployment, files=LogFiles(file)) as store:
        for _ in range(50):
            appended = await store.append(append_of(uuid4(), 0))
    assert appended is not None
    assert (await file.read()).position == appended.position
    assert len(writes) == 2


async def test_a_disk_that_refuses_does_not_end_the_store(tmp_path: Path) -> None:
    """The log's own disk decides about appends; the file is written when it can be."""
    directory = tmp_path / "not a directory"
    directory.write_text("")
    writer = WatermarkWriter(WatermarkFile(directory, "d"))
    writer.tell(Watermark(Position(1, 1)))
    await writer.close()
    directory.unlink()
    await writer.close()
    assert (await WatermarkFile(directory, "d").read()).position == Position(1, 1)
