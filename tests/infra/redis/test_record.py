"""The record's bytes: round trips, the golden file, and everything that must be refused."""

import dataclasses
import json
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput, LimitExceeded
from domain.recorded import Envelope, Position
from infra.redis.record import (
    STAMP_LENGTH,
    ChecksumMismatch,
    Record,
    RecordDamaged,
    UnknownFlags,
    UnknownFormat,
    content_hash,
    pack,
    stamp,
    unpack,
)

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/records.json").read_text(encoding="utf-8"))
POSITION = Position(17, 3)
RECORD = Record(UUID(int=1), UUID(int=2), 5, "test.note-changed", Envelope(namespace="acme"), b'{"a":1}')
STAMP = stamp(1_795_437_015_000_250)

texts = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
envelopes = st.builds(Envelope, **{field.name: texts for field in dataclasses.fields(Envelope)})
records = st.builds(
    Record,
    event_id=st.uuids(),
    aggregate_id=st.uuids(),
    version=st.integers(1, 2**32 - 1),
    name=texts,
    envelope=envelopes,
    state=st.binary(max_size=200),
)


@given(records, st.integers(0, 2**56 - 1))
def test_what_was_packed_is_unpacked(record: Record, time: int) -> None:
    """Every field comes back as it was."""
    stored = unpack(stamp(time) + pack(record), POSITION)
    assert (stored.record, stored.recorded_at_us, stored.position) == (record, time, POSITION)


@given(records, st.data())
def test_any_changed_byte_is_found(record: Record, data: st.DataObject) -> None:
    """One wrong byte anywhere, the server's stamp included, is never read as a record."""
    value = bytearray(STAMP + pack(record))
    value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RecordDamaged, match="17-3"):
        unpack(bytes(value), POSITION)


@given(records, st.data())
def test_a_record_that_was_cut_short_is_found(record: Record, data: st.DataObject) -> None:
    """No shorter piece of a record is a record."""
    value = STAMP + pack(record)
    with pytest.raises(ChecksumMismatch, match="17-3"):
        unpack(value[: data.draw(st.integers(0, len(value) - 1))], POSITION)


@pytest.mark.parametrize("row", GOLDEN, ids=[row["what"] for row in GOLDEN])
def test_old_records_are_read_for_ever(row: dict) -> None:
    """The golden file holds bytes that were written once; this release reads them, and writes the same."""
    value = bytes.fromhex(row["value"])
    stored = unpack(value, Position.parse(row["position"]))
    assert stored.recorded_at_us == row["recorded_at_us"]
    assert stored.record == Record(
        event_id=UUID(row["event_id"]),
        aggregate_id=UUID(row["aggregate_id"]),
        version=row["version"],
        name=row["name"],
        envelope=Envelope(**row["envelope"]),
        state=row["state"].encode(),
    )
    assert stamp(stored.recorded_at_us) + pack(stored.record) == value


def test_a_later_format_is_refused_by_name() -> None:
    """A format of a later release is not guessed at."""
    value = bytearray(STAMP + pack(RECORD))
    value[STAMP_LENGTH] = 2
    with pytest.raises(UnknownFormat, match=r"17-3 has format 2"):
        unpack(bytes(value), POSITION)


def test_a_flag_without_a_meaning_is_refused() -> None:
    """A flag of a later release may change what the rest means."""
    value = bytearray(STAMP + pack(RECORD))
    value[STAMP_LENGTH + 1] = 0x80
    with pytest.raises(UnknownFlags, match=r"17-3 has flags 0x80"):
        unpack(bytes(value), POSITION)


def test_a_zeroed_time_is_found() -> None:
    """A block of zeros is what a broken disk leaves; it must not read as 1970."""
    with pytest.raises(ChecksumMismatch, match="time stamp"):
        unpack(bytes(STAMP_LENGTH) + pack(RECORD), POSITION)


def test_the_content_hash_does_not_depend_on_place_and_time() -> None:
    """A restored record has the hash of the original."""
    assert content_hash(stamp(1) + pack(RECORD)) == content_hash(stamp(2) + pack(RECORD))
    other = dataclasses.replace(RECORD, version=6)
    assert content_hash(STAMP + pack(RECORD)) != content_hash(STAMP + pack(other))


def test_an_empty_envelope_takes_no_bytes() -> None:
    """The plain library writes none, and should not pay for ours."""
    without = pack(dataclasses.replace(RECORD, envelope=Envelope()))
    overhead = len(without) - len(RECORD.name) - len(RECORD.state)
    assert STAMP_LENGTH + overhead == 54


def test_what_cannot_be_stored_is_refused() -> None:
    """NUL separates the envelope's strings, lone surrogates have no UTF-8, and lengths have two bytes."""
    with pytest.raises(InvalidInput, match="reason holds a NUL"):
        pack(dataclasses.replace(RECORD, envelope=Envelope(reason="a\0b")))
    with pytest.raises(InvalidInput, match="lone surrogate"):
        pack(dataclasses.replace(RECORD, envelope=Envelope(actor="\ud800")))
    with pytest.raises(LimitExceeded, match="envelope has 70001 bytes"):
        pack(dataclasses.replace(RECORD, envelope=Envelope(reason="x" * 69_995)))
