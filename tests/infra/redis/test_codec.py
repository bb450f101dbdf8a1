"""The codec's bytes are the library's, and what it cannot write or read is refused by name."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import (
    DatetimeAsISO,
    DecimalAsStr,
    JSONTranscoder,
    Mapper,
    UUIDAsHex,
)
from hypothesis import example, given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.recorded import Envelope, Position
from infra.redis.codec import EventCodec, OrjsonTranscoder, UndecodableEvent, UnknownEventName
from infra.redis.record import Record, StoredRecord
from tests.infra.redis.notes import TIME, Note, event

NOTE_ID = UUID("5b8c9c7e-1f7b-5a41-9c31-0f6a7c2d9b11")

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
states = st.dictionaries(texts.filter(lambda name: name != "timestamp"), values, max_size=5)


def library_transcoder() -> JSONTranscoder:
    """The transcoder that an application of the plain library uses."""
    transcoder = JSONTranscoder()
    for transcoding in (UUIDAsHex(), DecimalAsStr(), DatetimeAsISO()):
        transcoder.register(transcoding)
    return transcoder


def stored(name: str, state: bytes, version: int = 1) -> StoredRecord:
    """A record as the log would give it."""
    record = Record(uuid4(), NOTE_ID, version, name, Envelope(), state)
    return StoredRecord(Position(9, 2), 1, record)


def state_of(state: dict[str, Any]) -> dict[str, Any]:
    """The state without its timestamp."""
    return {name: value for name, value in state.items() if name != "timestamp"}


@given(states)
@example({"exponents": [1e16, -1e-7, 6.1e-5, -0.00001, 1.5e300, 5e-324], "null": None})
@example({"controls": '\x00\x1f\x7f\u2028\\"/\n', "big": 2**64 - 1, "tuple": (1, (2,))})
def test_the_bytes_are_those_of_the_library(state: dict[str, Any]) -> None:
    """A plain library application reads what we write, and the other way round."""
    state = {"timestamp": TIME, **state}
    encoded = OrjsonTranscoder().encode(state)
    assert encoded == library_transcoder().encode(state)
    assert OrjsonTranscoder().decode(encoded) == {
        "timestamp": TIME,
        **json.loads(json.dumps(state_of(state))),
    }


@pytest.mark.parametrize("version", [1, 2])
def test_an_event_goes_round_by_either_mapper(version: int) -> None:
    """Name and state of ours are those of the library's mapper, and the event comes back equal."""
    note = event(NOTE_ID, version, "søk 1e16 null")
    name, state = EventCodec().encode(note)
    theirs = Mapper[UUID](library_transcoder()).to_stored_event(note)
    assert (name, state) == (theirs.topic, theirs.state)
    recorded = EventCodec().decode(stored(name, state, version))
    assert recorded.event == note
    assert recorded.name == name
    assert recorded.event.timestamp.tzinfo is not None


def test_a_value_that_looks_like_the_librarys_marker_stays_as_it_is() -> None:
    """A definition may hold any JSON; only the timestamp is converted."""
    schema = {"_type_": "datetime_iso", "_data_": "not a date"}
    state = OrjsonTranscoder().encode({"timestamp": TIME, "schema": schema, "deep": {"default": schema}})
    assert OrjsonTranscoder().decode(state) == {
        "timestamp": TIME,
        "schema": schema,
        "deep": {"default": schema},
    }


@pytest.mark.parametrize(
    "value",
    [UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC), float("nan"), [float("inf")], {1, 2}, "\ud800", 2**70],
    ids=["uuid", "datetime", "nan", "infinity", "set", "lone surrogate", "huge"],
)
def test_what_is_not_json_is_refused(value: object) -> None:
    """Plain orjson would write NaN as null and a UUID as a string, and nobody would ever know."""
    with pytest.raises(InvalidInput, match="JSON"):
        OrjsonTranscoder().encode({"timestamp": TIME, "field": value})


@pytest.mark.parametrize("name", ["tool.never-heard-of", "os:getcwd", "json", "", "a:b:c", Note.TOPIC])
def test_an_unknown_stored_name_is_an_error_that_names_it(name: str) -> None:
    """A log of a later release says what it holds that this one cannot read."""
    with pytest.raises(UnknownEventName, match=f"position 9-2 holds '{name}'"):
        EventCodec().decode(stored(name, b"{}"))


def test_a_state_that_is_not_json_is_an_error_that_names_its_position() -> None:
    """The record may be intact and its writer wrong."""
    for state in (b"{", b"[]", b'{"timestamp":{"_type_":"datetime_iso","_data_":"yesterday"}}'):
        with pytest.raises(UndecodableEvent, match="position 9-2"):
            EventCodec().decode(stored("test.note-created", state))


def test_an_old_class_version_is_upcast() -> None:
    """Events are for ever; their classes are not."""

    class Upcast(Aggregate):
        TOPIC = "test.upcast"

        class Created(Aggregate.Created):
            TOPIC = "test.upcast-created"
            class_version = 2
            title: str

            @staticmethod
            def upcast_v1_v2(state: dict[str, Any]) -> None:
                state["title"] = state.pop("name")

    time = b'{"_type_":"datetime_iso","_data_":"2026-11-23T12:30:15+00:00"}'
    old = b'{"timestamp":' + time + b',"originator_topic":"t","name":"x"}'
    recorded = EventCodec().decode(stored("test.upcast-created", old))
    assert isinstance(recorded.event, Upcast.Created)
    assert recorded.event.title == "x"
    _, state = EventCodec().encode(recorded.event)
    assert json.loads(state)["class_version"] == 2
