"""The life cycle of a definition: given a state, when a command, then events or an error."""

import pytest

from domain.commands import (
    ApproveRevision,
    Disable,
    Enable,
    RejectRevision,
    Restore,
    Retire,
    RollBack,
)
from domain.decide import register
from domain.definition import PROPOSALS_MAX
from domain.errors import AlreadyExists, Conflict, IllegalTransition, InvalidInput, NotFound
from domain.tool import Tool
from tests.domain.given import application, circumstances, given, registration, revision, when


def test_a_registered_tool_is_served_under_the_policy_auto() -> None:
    """Its first revision is approved at once."""
    state = register(Tool, None, registration(), circumstances())
    assert (state.served_revision, state.latest.state, state.version) == (1, "approved", 1)


def test_a_registered_tool_waits_under_the_policy_required() -> None:
    """Nothing is served until somebody approves."""
    state = given(approval="required")
    assert state.served_revision is None
    assert when(state, ApproveRevision(revision=1)) == ["tool.revision_approved"]
    assert state.served_revision == 1


def test_a_second_registration_is_refused_and_names_the_way_out() -> None:
    """The name is taken; the message says to revise."""
    with pytest.raises(AlreadyExists, match="revise it"):
        register(Tool, given(), registration(), circumstances())


def test_a_retired_name_is_restored_and_never_registered_again() -> None:
    """The message says to restore."""
    with pytest.raises(AlreadyExists, match="restore it"):
        register(Tool, given(Retire()), registration(), circumstances())


def test_apply_registers_revises_or_does_nothing() -> None:
    """Applying the same twice appends one event."""
    state = register(Tool, None, application(), circumstances())
    state.collect_events()
    assert not register(Tool, state, application(), circumstances()).collect_events()
    register(Tool, state, application(description="second"), circumstances())
    assert (len(state.collect_events()), state.served_revision) == (1, 2)


def test_apply_does_not_bring_back_what_is_retired() -> None:
    """Somebody took it out of use: an import must not undo that."""
    with pytest.raises(IllegalTransition, match="Restore it"):
        register(Tool, given(Retire()), application(), circumstances())


def test_apply_does_not_take_over_what_comes_from_another_server() -> None:
    """Two servers whose names come out alike would otherwise revise each other at every import."""
    mine = application().model_copy(update={"provenance": {"server": "a:b"}})
    theirs = application(description="other").model_copy(update={"provenance": {"server": "a/b"}})
    state = register(Tool, None, mine, circumstances())
    with pytest.raises(AlreadyExists, match="comes from the server 'a:b'"):
        register(Tool, state, theirs, circumstances())


def test_a_revision_serves_at_once_under_auto() -> None:
    """Given a served tool, when it is revised, then revision 2 serves."""
    state = given()
    assert when(state, revision("second")) == ["tool.revised"]
    assert (state.served_revision, state.latest.content["description"]) == (2, "second")


def test_under_required_the_old_revision_serves_until_the_approval() -> None:
    """An upstream that changes a tool changes nothing for agents."""
    state = given()
    when(state, revision("second"), approval="required")
    assert (state.served_revision, state.latest.state) == (1, "proposed")
    when(state, ApproveRevision(revision=2))
    assert (state.served_revision, state.latest.state) == (2, "approved")


def test_an_identical_revision_is_no_event() -> None:
    """Saying the same again changes nothing, served or proposed."""
    assert when(given(), revision("first")) == []
    state = given()
    when(state, revision("second"), approval="required")
    assert when(state, revision("second"), approval="required") == []


def test_a_rejected_revision_can_be_proposed_again() -> None:
    """A rejection is about that proposal, not a ban of its content."""
    state = given()
    when(state, revision("second"), approval="required")
    assert when(state, RejectRevision(revision=2)) == ["tool.revision_rejected"]
    assert when(state, revision("second"), approval="required") == ["tool.revised"]


def test_approving_a_newer_proposal_ends_the_older_ones() -> None:
    """What was based on an older state cannot be approved afterwards."""
    state = given()
    when(state, revision("second"), approval="required")
    when(state, revision("third"), approval="required")
    when(state, ApproveRevision(revision=3))
    assert [r.state for r in state.revisions] == ["approved", "rejected", "approved"]
    with pytest.raises(IllegalTransition, match="rejected already"):
        when(state, ApproveRevision(revision=2))


def test_an_approval_by_another_hash_is_refused() -> None:
    """Approval is of content, so a stale look at it must not pass."""
    state = given(approval="required")
    with pytest.raises(Conflict, match="has the hash"):
        when(state, ApproveRevision(revision=1, definition_hash="v1:sha256:0"))


def test_an_unknown_revision_is_named() -> None:
    """The message says which revisions there are."""
    with pytest.raises(NotFound, match="no revision 7; it has 1 to 1"):
        when(given(), ApproveRevision(revision=7))


def test_a_roll_back_is_a_new_revision_equal_to_the_old_one() -> None:
    """Revision 3 has the content and hash of revision 1 and says so."""
    state = given(revision("second"))
    assert when(state, RollBack(to_revision=1), approval="required") == ["tool.rolled_back"]
    assert state.served_revision == 3
    assert state.latest.content_hash == state.revisions[0].content_hash
    assert state.latest.equals_revision == 1


def test_a_roll_back_to_what_was_never_approved_waits_under_required() -> None:
    """Only content that was approved once needs no second approval."""
    state = given()
    when(state, revision("bad"), approval="required")
    when(state, RejectRevision(revision=2))
    when(state, RollBack(to_revision=2), approval="required")
    assert (state.served_revision, state.latest.state) == (1, "proposed")


def test_a_roll_back_to_what_serves_already_is_refused() -> None:
    """It would add a revision that changes nothing."""
    with pytest.raises(IllegalTransition, match="already"):
        when(given(), RollBack(to_revision=1))


def test_disable_and_enable_are_idempotent() -> None:
    """Doing it twice is one event."""
    state = given()
    assert when(state, Disable()) == ["tool.disabled"]
    assert when(state, Disable()) == []
    assert when(state, Enable()) == ["tool.enabled"]
    assert when(state, Enable()) == []


@pytest.mark.parametrize(
    "command",
    [revision("late"), ApproveRevision(revision=1), RollBack(to_revision=1), Disable(), Enable(), Retire()],
)
def test_a_retired_tool_cannot_be_changed(command: object) -> None:
    """Retirement is final but for a restoration: a late edit is refused and nothing is appended."""
    state = given(Retire())
    with pytest.raises(IllegalTransition, match="is retired"):
        when(state, command)  # type: ignore[arg-type]  # parametrised over the union's members
    assert not state.collect_events()


def test_a_restored_tool_is_as_it_was() -> None:
    """Its revisions and served revision are kept."""
    state = given(revision("second"), Retire())
    assert when(state, Restore()) == ["tool.restored"]
    assert (state.retired, state.served_revision) == (False, 2)
    with pytest.raises(IllegalTransition, match="nothing to restore"):
        when(state, Restore())


def test_a_revision_keeps_the_name() -> None:
    """Another name would be another definition."""
    with pytest.raises(InvalidInput, match="keeps its name"):
        when(given(), revision("x").model_copy(update={"definition": registration(name="other").definition}))


def test_open_proposals_are_bounded() -> None:
    """A source that changes all the time cannot fill the log unseen."""
    state = given()
    for number in range(PROPOSALS_MAX):
        when(state, revision(f"proposal {number}"), approval="required")
    with pytest.raises(Conflict, match=f"{PROPOSALS_MAX} open proposals"):
        when(state, revision("one more"), approval="required")


def test_a_definition_that_is_too_large_is_refused() -> None:
    """The bound and the size are named."""
    schema = {"type": "object", "description": "x" * 300_000}
    with pytest.raises(InvalidInput, match="at most 262144"):
        register(Tool, None, registration(input_schema=schema), circumstances())


def test_the_hash_covers_the_binding_and_not_the_defaults() -> None:
    """A changed endpoint is a changed definition; a spelt-out default is not."""
    http = {"type": "http", "url": "https://api.example.org/a"}
    one = register(Tool, None, registration(binding=http), circumstances()).latest.content_hash
    same = register(
        Tool, None, registration(binding={**http, "method": "POST"}), circumstances()
    ).latest.content_hash
    moved = {"type": "http", "url": "https://api.example.org/b"}
    other = register(Tool, None, registration(binding=moved), circumstances()).latest.content_hash
    assert one == same != other
