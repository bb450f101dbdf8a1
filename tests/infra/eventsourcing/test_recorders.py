"""What the recorders promise beyond the library's cases: versions, atomicity, idempotency, limits, one format."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import DataError, IntegrityError, OperationalError, Tracking
from redis.exceptions import ConnectionError as RedisConnectionError

from domain.recorded import Envelope, IdempotencyClaim, Position
from infra.redis import calls, recorders
from infra.redis.eventsourcing import RedisFactory
from infra.redis.record import Record, pack, stamp
from infra.redis.recorder_calls import EVENTS_PER_INSERT_MAX, ViewChange
from infra.redis.recorders import RedisProcessRecorder, RedisTrackingRecorder
from tests.infra.eventsourcing.events import stored, versions

CLAIM = IdempotencyClaim("aa11", "bb22")


@pytest.mark.parametrize("first", [0, 1])
def test_versions_continue_and_begin_at_zero_or_one(factory: RedisFactory, first: int) -> None:
    """A gap would make every later version a guess, so it is a conflict like a version that is there already."""
    recorder, note = factory.application_recorder(), uuid4()
    with pytest.raises(IntegrityError):
        recorder.insert_events([stored(note, 2)])
    assert recorder.insert_events(versions(note, first, 2)) == list(range(1, 4 - first))
    for stale in (0, 1, 2, 4):
        with pytest.raises(IntegrityError, match="version 2"):
            recorder.insert_events([stored(note, stale)])
    with pytest.raises(IntegrityError):
        recorder.insert_events([stored(note, 3), stored(note, 3)])
    recorder.insert_events([stored(note, 3)])
    assert [e.originator_version for e in recorder.select_events(note)] == list(range(first, 4))
    assert recorder.max_notification_id() == 4 - first


def test_an_insert_of_several_aggregates_is_whole_or_not_at_all(factory: RedisFactory) -> None:
    """One stale aggregate among three, and nothing is written; else ids follow the order of the events."""
    recorder = factory.application_recorder()
    first, second, third = uuid4(), uuid4(), uuid4()
    recorder.insert_events([stored(third, 1)])
    with pytest.raises(IntegrityError, match=str(third)):
        recorder.insert_events([stored(first, 1), stored(second, 1), stored(third, 1)])
    assert recorder.max_notification_id() == 1
    mixed = [stored(second, 1), stored(first, 1), stored(second, 2), stored(third, 2)]
    assert recorder.insert_events(mixed) == [2, 3, 4, 5]
    found = recorder.select_notifications(start=1, limit=10, inclusive_of_start=False)
    assert [(n.originator_id, n.originator_version) for n in found] == [
        (e.originator_id, e.originator_version) for e in mixed
    ]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("desc", [False, True])
def test_an_index_that_names_another_event_is_damage(
    factory: RedisFactory, keys: calls.Keys, admin: Any, first: int, desc: bool
) -> None:
    """An event of another aggregate, or of another version, is never taken for the aggregate's next one."""
    recorder, note, other = factory.application_recorder(), uuid4(), uuid4()
    count = len(recorder.insert_events(versions(note, first, 4)) or ())
    recorder.insert_events(versions(other, 1, 2))
    assert [e.originator_version for e in recorder.select_events(note, desc=desc)] == sorted(
        range(first, 5), reverse=desc
    )
    assert [e.originator_version for e in recorder.select_events(note, gt=1, lte=3, desc=desc, limit=1)] == [
        3 if desc else 2
    ]
    for named in (count + 2, count):
        admin.lset(keys.index(note), 1, named)
        with pytest.raises(OperationalError, match=f"index of {note} as version 2"):
            recorder.select_events(note, desc=desc)


def test_many_writers_of_one_version_have_one_winner(factory: RedisFactory) -> None:
    """Whoever comes second gets IntegrityError."""
    recorder, note = factory.application_recorder(), uuid4()

    def won(number: int) -> bool:
        try:
            recorder.insert_events([stored(note, 1, b"%d" % number)])
        except IntegrityError:
            return False
        return True

    with ThreadPoolExecutor(max_workers=32) as threads:
        assert sum(threads.map(won, range(64))) == 1
    assert recorder.max_notification_id() == 1


def test_a_claim_makes_an_insert_repeatable(factory: RedisFactory) -> None:
    """The same request gets the same ids and is written once; another request under that key is a conflict."""
    recorder, note, other = factory.application_recorder(), uuid4(), uuid4()
    events = [stored(note, 1), stored(other, 1), stored(note, 2)]
    assert recorder.insert_events(events, idempotency=CLAIM) == [1, 2, 3]
    recorder.insert_events([stored(uuid4(), 1)])
    assert recorder.insert_events(events, idempotency=CLAIM) == [1, 2, 3]
    with pytest.raises(IntegrityError, match="idempotency key"):
        recorder.insert_events([stored(note, 3)], idempotency=IdempotencyClaim("aa11", "cc33"))
    assert recorder.max_notification_id() == 4


def test_events_and_tracking_are_written_together(factory: RedisFactory) -> None:
    """Neither a stale tracking nor a stale event leaves the other behind."""
    recorder, note = factory.process_recorder(), uuid4()
    recorder.insert_events([stored(note, 1)], tracking=Tracking("upstream", 5))
    with pytest.raises(IntegrityError, match="tracked already"):
        recorder.insert_events([stored(note, 2)], tracking=Tracking("upstream", 5))
    with pytest.raises(IntegrityError, match="version 1"):
        recorder.insert_events([stored(note, 1)], tracking=Tracking("upstream", 6))
    assert (recorder.max_notification_id(), recorder.max_tracking_id("upstream")) == (1, 5)


def test_views_change_with_their_tracking_or_not_at_all(factory: RedisFactory) -> None:
    """What cannot be done is found before anything is done."""
    recorder = factory.tracking_recorder()
    assert isinstance(recorder, RedisTrackingRecorder)
    recorder.change(
        Tracking("up", 1), ViewChange("HSET", "names", "a", "Ada"), ViewChange("HINCRBY", "sums", "n", 2)
    )
    refused = (
        ViewChange("HINCRBY", "names", "a", 1),
        ViewChange("HINCRBY", "sums", "n", "much"),
        ViewChange("DEL", "names", "a"),
    )
    for change in refused:
        with pytest.raises(OperationalError, match="CHRONICLE_ARGUMENTS"):
            recorder.change(Tracking("up", 2), ViewChange("HINCRBY", "sums", "n", 1), change)
    with pytest.raises(IntegrityError):
        recorder.change(Tracking("up", 1), ViewChange("HINCRBY", "sums", "n", 1))
    assert (recorder.view("names"), recorder.view("sums")) == ({b"a": b"Ada"}, {b"n": b"2"})
    recorder.change(Tracking("up", 2), ViewChange("HDEL", "names", "a"))
    assert (recorder.view("names"), recorder.max_tracking_id("up")) == ({}, 2)


def test_a_wait_ends_when_the_position_is_tracked(
    factory: RedisFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server tells the waiting; it is not asked again and again."""
    monkeypatch.setattr(recorders, "WAIT_POLL_S", 50.0)
    recorder = factory.process_recorder()
    with ThreadPoolExecutor(max_workers=3) as threads:
        waits = [threads.submit(recorder.wait, "up", position, timeout=50.0) for position in (3, 4)]
        recorder.insert_tracking(Tracking("up", 3))
        waits[0].result(timeout=20)
        recorder.insert_events([stored(uuid4(), 1)], tracking=Tracking("up", 4))
        waits[1].result(timeout=20)


@pytest.mark.parametrize("first", [0, 1])
def test_long_aggregates_are_selected_in_pages(factory: RedisFactory, first: int) -> None:
    """From either end, with bounds, and with limits that fall between pages."""
    recorder, note = factory.application_recorder(), uuid4()
    recorder.insert_events(versions(note, first, 900))
    recorder.insert_events(versions(note, 901, 1200))
    everything = list(range(first, 1201))

    def selected(**bounds: Any) -> list[int]:
        return [event.originator_version for event in recorder.select_events(note, **bounds)]

    assert selected() == everything
    assert selected(desc=True) == everything[::-1]
    assert selected(limit=700) == everything[:700]
    assert selected(desc=True, limit=700) == everything[::-1][:700]
    assert selected(gt=300, lte=1100) == list(range(301, 1101))
    assert selected(gt=300, lte=1100, desc=True) == list(range(1100, 300, -1))
    assert selected(lte=first) == [first]
    assert selected(gt=1200) == selected(limit=0) == selected(gt=5, lte=5) == []


def test_snapshots_are_selected_in_pages(factory: RedisFactory) -> None:
    """Versions in any order come back in theirs."""
    recorder, note = factory.aggregate_recorder(purpose="snapshots"), uuid4()
    for start in (3, 1, 2):
        recorder.insert_events([stored(note, version) for version in range(start, 1200, 3)])
    found = [event.originator_version for event in recorder.select_events(note)]
    assert found == list(range(1, 1200))
    assert [e.originator_version for e in recorder.select_events(note, desc=True)] == found[::-1]
    assert [e.originator_version for e in recorder.select_events(note, lte=700, desc=True, limit=1)] == [700]


def test_what_can_never_be_stored_is_a_data_error(factory: RedisFactory) -> None:
    """Limits are named, and nothing is sent."""
    recorder, note = factory.application_recorder(), uuid4()
    with pytest.raises(DataError, match="1000 events"):
        recorder.insert_events(versions(note, 1, EVENTS_PER_INSERT_MAX + 1))
    with pytest.raises(DataError, match="1048576 bytes"):
        recorder.insert_events([stored(note, 1, bytes(calls.BYTES_PER_CALL_MAX))])
    with pytest.raises(DataError, match="Version -1"):
        recorder.insert_events([stored(note, -1)])
    with pytest.raises(DataError, match="'Fido' is no UUID"):
        recorder.select_events("Fido")
    assert recorder.max_notification_id() is None


def test_an_insert_whose_reply_is_lost_is_not_repeated(
    factory: RedisFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is told that it may have been done, and it was done once."""
    recorder, note = factory.application_recorder(), uuid4()
    recorder.max_notification_id()
    connection = factory._wires._idle[-1]._connection
    read_response = connection.read_response

    def lost() -> None:
        read_response()
        raise RedisConnectionError("the connection was reset")

    monkeypatch.setattr(connection, "read_response", lost)
    with pytest.raises(OperationalError, match="may have been done once"):
        recorder.insert_events([stored(note, 1)])
    assert recorder.max_notification_id() == 1


def test_forgotten_functions_are_loaded_again(factory: RedisFactory, admin: Any) -> None:
    """Somebody flushed the server's functions: the next call loads them."""
    recorder, note = factory.application_recorder(), uuid4()
    admin.execute_command("FUNCTION", "FLUSH")
    assert recorder.insert_events([stored(note, 1)]) == [1]
    admin.execute_command("FUNCTION", "FLUSH")
    assert len(recorder.select_events(note)) == 1


def test_an_unfinished_insert_is_indexed_when_the_log_is_opened(
    factory: RedisFactory, keys: calls.Keys, admin: Any
) -> None:
    """Entries above the head counter belong to the log: they are found by their aggregate again, version 0 too."""
    recorder, note = factory.application_recorder(), uuid4()
    recorder.insert_events([stored(uuid4(), 1)])
    epoch = admin.get(keys.epoch).decode()
    for sequence, version in ((2, 0), (3, 1)):
        record = Record(uuid4(), note, version, "topic", Envelope(), b"%d" % version)
        admin.xadd(keys.log, {"e": stamp(2**50) + pack(record)}, id=f"{sequence}-{epoch}")
    assert recorder.insert_events([stored(note, 2)]) == [4]
    assert [event.originator_version for event in recorder.select_events(note)] == [0, 1, 2]


def test_a_missing_event_is_not_skipped(factory: RedisFactory, keys: calls.Keys, admin: Any) -> None:
    """A hole in the log is an error, for an aggregate and for notifications."""
    recorder, note = factory.process_recorder(), uuid4()
    assert isinstance(recorder, RedisProcessRecorder)
    recorder.insert_events(versions(note, 1, 3))
    assert admin.xdel(keys.log, f"2-{admin.get(keys.epoch).decode()}") == 1
    with pytest.raises(OperationalError, match="missing from the log"):
        recorder.select_events(note)
    with pytest.raises(OperationalError, match="missing from the log"):
        recorder.select_notifications(1, 10)


def test_an_accepted_loss_is_no_longer_refused_and_the_next_one_is(
    factory: RedisFactory, keys: calls.Keys, admin: Any
) -> None:
    """What the operator gave up is not asked for again, and what is written after it is minded like any other event."""
    recorder, note = factory.application_recorder(), uuid4()
    recorder.insert_events(versions(note, 1, 5))

    def lose(count: int) -> Position:
        """Cut the log's end off, as a server that came back with less; answers the end that was lost."""
        entries = admin.xrange(keys.log)
        admin.delete(keys.log)
        for entry_id, fields in entries[:-count]:
            admin.xadd(keys.log, fields, entry_id)
        admin.rpop(keys.index(note), count)
        admin.decrby(keys.head, count)
        admin.delete(keys.epoch)
        return calls.position_of(entries[-1][0])

    lost = lose(3)
    with pytest.raises(OperationalError, match=f"position {lost} is missing"):
        recorder.insert_events([stored(note, 3)])
    kept = calls.position_of(admin.xrevrange(keys.log, count=1)[0][0])
    admin.execute_command(*calls.accept_loss(keys, kept, lost, "now"))
    assert recorder.insert_events([stored(note, 3)]) == [3]
    again = lose(1)
    with pytest.raises(OperationalError, match=f"position {again} is missing"):
        recorder.insert_events([stored(note, 3)])
