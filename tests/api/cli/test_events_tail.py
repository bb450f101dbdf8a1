"""`chronicle events tail`: what it says about wrong questions."""

from api.cli.events import stored_names
from tests.api.cli.program import Program, chronicle
from tests.domain.stored_events import stored_event_classes


def test_a_wrong_position_is_said_once(program: Program) -> None:
    """The problem and its only fault are the same sentence."""
    done = chronicle(program.data_dir, "events", "tail", "--after", "banana")
    assert done.status == 1
    assert done.err.count("is not a position") == 1


def test_an_unknown_event_name_is_warned_of(program: Program) -> None:
    """Nothing would ever come, without a word; a name of this release is no reason to warn."""
    arguments = ("events", "tail", "--no-follow", "--type", "tool.revised", "--type", "tool.revisd")
    done = chronicle(program.data_dir, *arguments)
    assert (done.status, done.out) == (0, "")
    assert done.err == "Warning: this release knows no event 'tool.revisd'. The nearest is 'tool.revised'.\n"


def test_the_names_are_those_of_the_domain() -> None:
    """Every class that an aggregate stores, by its stored name."""
    assert stored_names() == sorted(stored_event_classes())
