"""Events are for ever: what was once stored is decoded by every later release, to the same state."""

import json
from pathlib import Path
from uuid import UUID

import pytest

from domain.recorded import Envelope, Position
from infra.redis.codec import EventCodec
from infra.redis.record import Record, StoredRecord
from tests.domain.stored_events import stored_event_classes

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/events.json").read_text(encoding="utf-8"))
ORIGINATOR = UUID("b0522ca7-7909-5bfc-b20d-0bb66093857e")


def test_the_golden_file_lists_every_stored_event_name() -> None:
    """A new event is added to the file, and no name ever leaves it."""
    assert sorted({item["name"] for item in GOLDEN}) == sorted(stored_event_classes())


@pytest.mark.parametrize("item", GOLDEN, ids=lambda item: f"{item['name']}.v{item['class_version']}")
def test_a_stored_event_is_still_decoded(item: dict[str, object]) -> None:
    """The state that was stored once gives the present class, with the same values."""
    state = json.dumps(item["state"], separators=(",", ":"), ensure_ascii=False).encode()
    record = Record(ORIGINATOR, ORIGINATOR, 3, str(item["name"]), Envelope(), state)
    event = EventCodec().decode(StoredRecord(Position(7, 1), 0, record)).event
    assert type(event) is stored_event_classes()[str(item["name"])]
    assert (event.originator_id, event.originator_version) == (ORIGINATOR, 3)
    if item["class_version"] == getattr(type(event), "class_version", 1):
        assert EventCodec().encode(event) == (item["name"], state)
