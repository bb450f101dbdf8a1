"""The bytes of a segment: they give back what was sealed, and any change of them is noticed and named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.recorded import Position
from infra.redis import segment
from infra.redis.segment import Entry, SegmentDamaged, decode, digest_of, encode, segment_name

LOG = "the log"


@st.composite
def ranges(draw: st.DrawFn) -> list[Entry]:
    """Entries of a closed range, with rising epochs and any bytes."""
    first = draw(st.integers(1, 2**40))
    values = draw(st.lists(st.binary(max_size=300), min_size=1, max_size=30))
    epochs = sorted(draw(st.lists(st.integers(1, 2**53 - 1), min_size=len(values), max_size=len(values))))
    return [
        (Position(sequence, epoch), value)
        for sequence, (epoch, value) in enumerate(zip(epochs, values, strict=True), first)
    ]


def name_of(entries: list[Entry]) -> str:
    return segment_name(entries[0][0].sequence, entries[-1][0].sequence)


@given(ranges(), st.text("0123456789abcdef", max_size=64))
def test_a_segment_gives_back_what_was_sealed(entries: list[Entry], previous: str) -> None:
    """Positions, bytes and chain; and the same entries make the same bytes."""
    content = encode(entries, log_id=LOG, previous=previous)
    found = decode(name_of(entries), content)
    assert list(found.entries) == entries
    assert (found.log_id, found.previous, found.digest) == (LOG, previous, digest_of(content))
    assert encode(entries, log_id=LOG, previous=previous) == content


@given(ranges(), st.data())
def test_a_changed_or_shortened_segment_is_named(entries: list[Entry], data: st.DataObject) -> None:
    """Any byte, anywhere, and any cut."""
    content = bytearray(encode(entries, log_id=LOG, previous=""))
    at = data.draw(st.integers(0, len(content) - 1))
    cut = bytes(content[:at])
    content[at] ^= data.draw(st.integers(1, 255))
    for wrong in (bytes(content), cut):
        with pytest.raises(SegmentDamaged, match=name_of(entries)):
            decode(name_of(entries), wrong)


def test_a_segment_under_another_name_is_damaged() -> None:
    """A file that was renamed would stand for events that it does not hold."""
    content = encode([(Position(5, 1), b"x")], log_id=LOG, previous="")
    with pytest.raises(SegmentDamaged, match="its header or its name"):
        decode(segment_name(6, 6), content)


@pytest.mark.parametrize("sequences", [[], [1, 3], [2, 1], list(range(1, segment.EVENTS_MAX + 2))])
def test_only_a_closed_range_within_the_bounds_is_sealed(sequences: list[int]) -> None:
    """A gap or too many events in a segment would be found only when they are needed."""
    with pytest.raises(InvalidInput):
        encode([(Position(each, 1), b"x") for each in sequences], log_id=LOG, previous="")


def test_names_of_other_files_are_no_ranges() -> None:
    """What lies beside the segments is not taken for one."""
    assert segment.range_of(segment_name(1, 4096)) == (1, 4096)
    for other in ("backup.json", "1-2.segment", "x-y.segment", f"{segment_name(1, 2)}.draft", ".segment"):
        assert segment.range_of(other) is None
