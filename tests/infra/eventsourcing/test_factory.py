"""The factory's settings, what it refuses, and one log for both faces of the event store."""

from dataclasses import asdict
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import (
    InfrastructureFactoryError,
    InterfaceError,
    OperationalError,
)
from eventsourcing.utils import Environment

from domain.recorded import START, Envelope
from infra.redis.eventsourcing import RedisFactory
from infra.redis.store import RedisEventStore
from infra.redis.valkey import ValkeyServer
from tests.infra.eventsourcing.cases import MODULE
from tests.infra.eventsourcing.events import stored
from tests.infra.redis.notes import Note, append_of

URL = "redis://127.0.0.1:1"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"REDIS_URL": ""}, "REDIS_URL is not set"),
        ({"REDIS_URL": "http://127.0.0.1"}, "'http' is no scheme"),
        ({"REDIS_DURABILITY": "sometimes"}, "'sometimes' is not a valid Durability"),
        ({"REDIS_LOG": "a}b"}, "cannot name a deployment"),
        ({"ORIGINATOR_ID_TYPE": "text"}, "must be 'uuid'"),
    ],
)
def test_a_wrong_setting_is_refused(setting: dict[str, str], message: str) -> None:
    """The error names the setting and what is right."""
    with pytest.raises(InfrastructureFactoryError, match=message):
        RedisFactory({"REDIS_URL": URL, **setting})


def test_a_server_that_is_away_is_an_operational_error() -> None:
    """The first recorder connects, so an application does not start without its server."""
    with pytest.raises(OperationalError, match="cannot be reached"):
        RedisFactory({"REDIS_URL": URL}).application_recorder()


def test_a_server_that_could_lose_events_is_refused(settings: dict[str, str], admin: Any) -> None:
    """Unless the operator accepts it, by name."""
    admin.config_set("appendfsync", "everysec")
    try:
        with pytest.raises(OperationalError, match="appendfsync is 'everysec' and must be 'always'"):
            RedisFactory(settings).application_recorder()
        accepting = RedisFactory({**settings, "REDIS_DURABILITY": "everysec"})
        assert accepting.application_recorder().insert_events([stored(uuid4(), 1)]) == [1]
        accepting.close()
    finally:
        admin.config_set("appendfsync", "always")


def test_a_closed_factory_ends_its_recorders(factory: RedisFactory) -> None:
    """Their connections are gone, and the error says so."""
    recorder = factory.application_recorder()
    factory.close()
    with pytest.raises(InterfaceError, match="is closed"):
        recorder.max_notification_id()


def test_applications_have_logs_of_their_own(log_server: ValkeyServer, deployment: str) -> None:
    """By their names, unless a log is named: then they share it."""
    url = {"REDIS_URL": log_server.url, "REDIS_DEPLOYMENT": deployment}
    for name, log in (("Orders", f"{deployment}.orders"), ("Bills", f"{deployment}.bills"), ("", deployment)):
        factory = RedisFactory(Environment(name, url))
        assert factory.application_recorder().insert_events([stored(uuid4(), 1)]) == [1]
        factory.close()
        shared = RedisFactory(Environment("Audit", {**url, "AUDIT_REDIS_LOG": log}))
        assert shared.application_recorder().max_notification_id() == 1
        shared.close()


@pytest.mark.anyio
async def test_both_faces_read_what_the_other_wrote(log_server: ValkeyServer, deployment: str) -> None:
    """A record of the library is a record of the store whose envelope is empty; versions continue across both."""
    env = {"PERSISTENCE_MODULE": MODULE, "REDIS_URL": log_server.url, "REDIS_LOG": deployment}
    app: Application[UUID] = await anyio.to_thread.run_sync(partial(Application, env=env))
    note_id = uuid4()
    async with RedisEventStore(log_server.url, deployment) as store:
        await store.append(append_of(note_id, 0, "by the store"))
        note: Note = await anyio.to_thread.run_sync(app.repository.get, note_id)
        note.trigger_event(Note.Changed, text="by the library")
        await anyio.to_thread.run_sync(app.save, note)
        await store.append(append_of(note_id, 2, "by the store again"))
        events = await store.load(note_id)
        assert [asdict(e.event)["text"] for e in events] == [
            "by the store",
            "by the library",
            "by the store again",
        ]
        assert [e.envelope == Envelope() for e in events] == [False, True, False]
        assert [(e.position.sequence, e.version) for e in await store.read(START, limit=10)] == [
            (1, 1),
            (2, 2),
            (3, 3),
        ]
    await anyio.to_thread.run_sync(app.close)
