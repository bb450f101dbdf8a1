"""What holds after every sequence of commands, whoever sends them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.commands import ApproveRevision, Disable, Enable, RejectRevision, Restore, Retire, RollBack
from domain.decide import Change, change, register
from domain.definition import ApprovalPolicy
from domain.errors import ChronicleError
from domain.tool import Tool
from tests.domain.given import circumstances, registration, revision

_number = st.integers(1, 6)
_commands: st.SearchStrategy[Change] = st.one_of(
    st.sampled_from(["a", "b", "c"]).map(revision),
    _number.map(lambda number: ApproveRevision(revision=number)),
    _number.map(lambda number: RejectRevision(revision=number)),
    _number.map(lambda number: RollBack(to_revision=number)),
    st.sampled_from([Disable(), Enable(), Retire(), Restore()]),
)
_approval: st.SearchStrategy[ApprovalPolicy] = st.sampled_from(["auto", "required"])


@settings(max_examples=300, deadline=None)
@given(first=_approval, steps=st.lists(st.tuples(_commands, _approval), max_size=25))
def test_the_state_is_sound_and_equals_its_events(
    first: ApprovalPolicy, steps: list[tuple[Change, ApprovalPolicy]]
) -> None:
    """Only approved content is served, a refused command changes nothing, and the events alone give the state."""
    state = register(Tool, None, registration(), circumstances(first))
    events = list(state.collect_events())
    for command, approval in steps:
        before = state.version
        try:
            change(state, command, circumstances(approval))
        except ChronicleError:
            assert state.version == before
            assert not state.pending_events
        events += state.collect_events()
        if state.served_revision is not None:
            assert state.revisions[state.served_revision - 1].state == "approved"
        assert all(r.number > (state.served_revision or 0) for r in state.proposals)
        assert [r.number for r in state.revisions] == list(range(1, len(state.revisions) + 1))
    assert state.version == len(events)
    replayed: Tool | None = None
    for event in events:
        replayed = event.mutate(replayed)
    assert replayed == state
