"""Verification of a log: a whole one passes, and each kind of damage is named with its first position."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import anyio.to_thread
import pytest

from domain.recorded import Position
from infra.redis import calls, record
from infra.redis.raw_log import RawLog
from infra.redis.segments import SegmentDirectory
from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer
from infra.redis.verify import VerifiedLog, verify_log
from tests.infra.redis.faults import admin
from tests.infra.redis.notes import append_of, record_from_zero

pytestmark = pytest.mark.anyio

NOTES = [UUID(int=number) for number in range(1, 4)]
EVENTS = 30
NO_ARCHIVE = SegmentDirectory(Path("/nonexistent"))


async def filled(url: str, deployment: str) -> Position:
    """Thirty events of three aggregates, by turns; answers the last position."""
    async with RedisEventStore(url, deployment) as store:
        for version in range(EVENTS // 3):
            for note_id in NOTES:
                await store.append(append_of(note_id, version))
        return await store.head()


async def verified(url: str, deployment: str) -> VerifiedLog:
    async with RawLog(url, deployment) as log:
        return await verify_log(log, NO_ARCHIVE, lambda done, total: None)


async def test_a_whole_log_passes_while_it_is_appended_to(
    valkey_server: ValkeyServer, deployment: str
) -> None:
    """What comes after the head of the start is not looked at, and is no damage either."""
    last = await filled(valkey_server.url, deployment)
    async with (
        RedisEventStore(valkey_server.url, deployment) as store,
        RawLog(valkey_server.url, deployment) as log,
    ):
        state = await log.state()

        class Busy(RawLog):
            """A log that grows after its state was asked for."""

            async def state(self) -> Any:
                await store.append(append_of(NOTES[0], EVENTS // 3))
                await store.append(append_of(uuid4(), 0))
                return state

        async with Busy(valkey_server.url, deployment) as busy:
            found = await verify_log(busy, NO_ARCHIVE, lambda done, total: None)
    assert found == VerifiedLog(last, EVENTS, None)


async def test_an_empty_log_is_whole(valkey_server: ValkeyServer, deployment: str) -> None:
    """Nothing is there, so nothing is wrong."""
    assert (await verified(valkey_server.url, deployment)).problem is None


Break: TypeAlias = Callable[[Any, calls.Keys, list[Any]], Awaitable[None]]


async def rewritten(
    client: Any, keys: calls.Keys, entries: list[Any], change: Callable[[list[Any]], None]
) -> None:
    """Write the stream again with changed entries: ids and values as lists."""
    changed = [[entry_id.decode(), fields[1]] for entry_id, fields in entries]
    change(changed)
    await client.delete(keys.log)
    for entry_id, value in changed:
        await client.execute_command("XADD", keys.log, entry_id, "e", value)


async def flip_payload(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    def change(changed: list[Any]) -> None:
        changed[11][1] = changed[11][1][:-9] + b"X" + changed[11][1][-8:]

    await rewritten(client, keys, entries, change)


async def later_format(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    def change(changed: list[Any]) -> None:
        changed[11][1] = changed[11][1][:8] + b"\x07" + changed[11][1][9:]

    await rewritten(client, keys, entries, change)


async def earlier_time(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    def change(changed: list[Any]) -> None:
        changed[11][1] = record.stamp(1_000_000) + changed[11][1][8:]

    await rewritten(client, keys, entries, change)


async def lower_epoch(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    def change(changed: list[Any]) -> None:
        changed[11][0] = "12-1"

    await rewritten(client, keys, entries, change)


async def epoch_of_the_future(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    await client.set(keys.epoch, 5)


async def unknown_name(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    def change(changed: list[Any]) -> None:
        stored = record.unpack(changed[11][1], Position(12, 0))
        other = replace(stored.record, name="no.such")
        changed[11][1] = changed[11][1][:8] + record.pack(other)

    await rewritten(client, keys, entries, change)


async def swapped_records(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    def change(changed: list[Any]) -> None:
        changed[11][1], changed[14][1] = changed[14][1], changed[11][1]

    await rewritten(client, keys, entries, change)


async def removed(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    await client.xdel(keys.log, entries[11][0])


async def foreign_field(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    last = entries[-1][0].decode().partition("-")[2]
    await client.execute_command("XADD", keys.log, f"{EVENTS + 1}-{last}", "e", "x", "f", "y")


async def cut_tail(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    await client.xdel(keys.log, entries[-1][0])


async def wrong_index(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    await client.lset(keys.index(NOTES[2]), 3, 13)


async def short_index(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    await client.rpop(keys.index(NOTES[1]))


async def long_index(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    await client.rpush(keys.index(NOTES[1]), 7)


async def stray_index(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    await client.rpush(keys.index(uuid4()), 9)


@pytest.mark.parametrize(
    ("damage", "sequence", "code"),
    [
        (flip_payload, 12, "checksum_mismatch"),
        (later_format, 12, "unknown_format"),
        (earlier_time, 12, "time_went_back"),
        (lower_epoch, 12, "epoch"),
        (epoch_of_the_future, 1, "epoch"),
        (unknown_name, 12, "unknown_event_name"),
        (swapped_records, 12, "version_out_of_order"),
        (removed, 12, "gap"),
        (foreign_field, EVENTS + 1, "record_damaged"),
        (cut_tail, EVENTS, "gap"),
        (wrong_index, 12, "index_disagrees"),
        (short_index, EVENTS - 1, "index_disagrees"),
        (long_index, 7, "index_disagrees"),
        (stray_index, 9, "index_disagrees"),
    ],
)
async def test_damage_is_named_at_its_first_position(
    valkey_server: ValkeyServer, deployment: str, damage: Break, sequence: int, code: str
) -> None:
    """The position and the kind of damage; the message says it in a sentence."""
    await filled(valkey_server.url, deployment)
    keys = calls.Keys(deployment)
    async with admin(valkey_server.url) as client:
        entries = [(entry_id, [b"e", fields[b"e"]]) for entry_id, fields in await client.xrange(keys.log)]
        await damage(client, keys, entries)
    problem = (await verified(valkey_server.url, deployment)).problem
    assert problem is not None
    assert problem.position is not None
    assert (problem.position.sequence, problem.code) == (sequence, code)
    assert f"{problem.position}" in problem.message


async def test_a_bad_index_in_front_of_a_bad_entry_is_named_first(
    valkey_server: ValkeyServer, deployment: str
) -> None:
    """The first position counts, whatever is wrong with it."""
    await filled(valkey_server.url, deployment)
    keys = calls.Keys(deployment)
    async with admin(valkey_server.url) as client:
        entries = [(entry_id, [b"e", fields[b"e"]]) for entry_id, fields in await client.xrange(keys.log)]
        await flip_payload(client, keys, entries)
        await client.lset(keys.index(NOTES[1]), 1, 8)
        await client.lset(keys.index(NOTES[0]), 2, 8)
    problem = (await verified(valkey_server.url, deployment)).problem
    assert problem is not None
    assert problem.position is not None
    assert (problem.position.sequence, problem.code) == (5, "index_disagrees")


FROM_ZERO, ONLY_ZERO = UUID(int=8), UUID(int=9)


async def filled_from_zero(url: str, deployment: str) -> int:
    """Thirty events from version 1 on, and behind them aggregates of versions 0 to 2 and of version 0 alone."""
    last = await filled(url, deployment)
    await anyio.to_thread.run_sync(record_from_zero, url, deployment, FROM_ZERO, 3)
    await anyio.to_thread.run_sync(record_from_zero, url, deployment, ONLY_ZERO, 1)
    return last.sequence + 4


async def test_a_log_with_version_zero_is_whole(valkey_server: ValkeyServer, deployment: str) -> None:
    """Applications of the library may begin an aggregate at version 0, which its index list does not hold."""
    last = await filled_from_zero(valkey_server.url, deployment)
    found = await verified(valkey_server.url, deployment)
    assert (found.problem, found.events, found.position.sequence) == (None, last, last)


async def no_zero(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    await client.delete(keys.zero(FROM_ZERO))


async def wrong_zero(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    await client.set(keys.zero(ONLY_ZERO), 3)


async def listed_zero(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    await client.lpush(keys.index(FROM_ZERO), EVENTS + 1)


async def list_of_only_zero(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    await client.rpush(keys.index(ONLY_ZERO), EVENTS + 4)


async def zero_before_one(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    await client.set(keys.zero(NOTES[1]), 6)


async def stray_zero(client: Any, keys: calls.Keys, entries: list[Any]) -> None:
    await client.set(keys.zero(uuid4()), 7)


@pytest.mark.parametrize(
    ("damage", "sequence"),
    [
        (no_zero, EVENTS + 1),
        (wrong_zero, EVENTS + 4),
        (listed_zero, EVENTS + 2),
        (list_of_only_zero, EVENTS + 4),
        (zero_before_one, 6),
        (stray_zero, 7),
    ],
)
async def test_a_wrong_index_of_version_zero_is_named(
    valkey_server: ValkeyServer, deployment: str, damage: Break, sequence: int
) -> None:
    """The key of version 0 must name its event, and no key may name another one's."""
    await filled_from_zero(valkey_server.url, deployment)
    async with admin(valkey_server.url) as client:
        await damage(client, calls.Keys(deployment), [])
    problem = (await verified(valkey_server.url, deployment)).problem
    assert problem is not None
    assert problem.position is not None
    assert (problem.position.sequence, problem.code) == (sequence, "index_disagrees")
