"""Subscriptions: stopped from another thread, resumed after a lost connection, and never past a changed history."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import ApplicationRecorder, OperationalError

from infra.redis import subscription
from infra.redis.calls import Keys
from infra.redis.eventsourcing import RedisFactory
from infra.redis.subscription import RedisSubscription
from tests.infra.eventsourcing.events import stored, versions

POLL_S = 0.005


def blocked_readers(admin: Any) -> list[int]:
    """The ids of recorders' connections that wait for something."""
    return [
        int(client["id"])
        for client in admin.client_list()
        if client["name"] == "chronicle-recorder" and "b" in client["flags"]
    ]


def wait_until_blocked(admin: Any) -> int:
    """Wait until a subscription waits in the server, and answer its connection's id."""
    while not (found := blocked_readers(admin)):
        sleep(POLL_S)
    return found[0]


@pytest.fixture
def recorder(factory: RedisFactory) -> ApplicationRecorder:
    """A recorder with an empty log."""
    return factory.application_recorder()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """A thread for the subscriber."""
    with ThreadPoolExecutor(max_workers=2) as executor:
        yield executor


def test_stopping_ends_a_wait_in_another_thread(
    recorder: ApplicationRecorder, admin: Any, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, not when the server's own bound of the wait is reached."""
    monkeypatch.setattr(subscription, "BLOCK_MS", 4000)
    with recorder.subscribe() as subscribed:
        ended = threads.submit(list, subscribed)
        wait_until_blocked(admin)
        subscribed.stop()
        assert ended.result(timeout=2) == []
    assert blocked_readers(admin) == []


def test_a_lost_connection_is_replaced(
    recorder: ApplicationRecorder, admin: Any, threads: ThreadPoolExecutor
) -> None:
    """The subscription goes on where it was, without a gap and without a repetition."""
    note = uuid4()
    recorder.insert_events(versions(note, 1, 2))
    with recorder.subscribe(gt=1) as subscribed:
        assert next(subscribed).id == 2
        received = threads.submit(next, subscribed)
        assert admin.client_kill_filter(_id=wait_until_blocked(admin)) == 1
        recorder.insert_events(versions(note, 3, 600))
        assert received.result(timeout=20).id == 3
        assert [next(subscribed).id for _ in range(597)] == list(range(4, 601))


def test_topics_are_selected_in_the_order_of_the_log(recorder: ApplicationRecorder) -> None:
    """What is left out still moves the position, so nothing is read twice."""
    note = uuid4()
    recorder.insert_events([stored(note, n, topic="odd" if n % 2 else "even") for n in range(1, 600)])
    with recorder.subscribe(topics=["even"]) as subscribed:
        assert [next(subscribed).id for _ in range(299)] == list(range(2, 600, 2))
        assert isinstance(subscribed, RedisSubscription)
        recorder.insert_events([stored(note, 600, topic="even")])
        assert next(subscribed).id == 600


def test_a_position_beyond_the_log_is_refused(recorder: ApplicationRecorder) -> None:
    """A projection that processed more than the log holds has seen another history."""
    recorder.insert_events(versions(uuid4(), 1, 3))
    with recorder.subscribe(gt=4) as subscribed, pytest.raises(OperationalError, match="Notification 4"):
        next(subscribed)


def test_a_changed_history_is_noticed(
    recorder: ApplicationRecorder, keys: Keys, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same number with another event is not what was read before."""
    monkeypatch.setattr(subscription, "QUIET_S", 0.0)
    recorder.insert_events(versions(uuid4(), 1, 2))
    with recorder.subscribe() as subscribed:
        assert [next(subscribed).id for _ in range(2)] == [1, 2]
        admin.delete(keys.log)
        admin.set(keys.head, 0)
        with pytest.raises(OperationalError, match="was read before"):
            next(subscribed)
