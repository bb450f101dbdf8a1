"""The Tool Registry serves what is active, in order, tells what changed, and never shows half a catalogue."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from domain.entry import Entry
from domain.errors import DeadlineExceeded
from domain.identity import aggregate_id
from domain.principal import EVERY_NAMESPACE, NamespaceSet
from domain.reads import Change
from domain.recorded import START, Position, RecordedEvent
from infra.redis.record import RecordDamaged
from projections.changes import ChangeFeed
from projections.registry import ToolRegistry
from tests.projections.conftest import RememberedMetrics
from tests.projections.log import MemoryLog, new_namespace, new_tool, registered, trigger

WAIT_S = 20.0
ONLY_RED = NamespaceSet(frozenset({"red"}))
RED_AND_BLUE = NamespaceSet(frozenset({"red", "blue"}))


@asynccontextmanager
async def running(log: MemoryLog, metrics: RememberedMetrics) -> AsyncIterator[ToolRegistry]:
    """A registry that has caught up."""
    registry = ToolRegistry(log, metrics)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(registry.run)
        await registry.wait_until_ready(WAIT_S)
        yield registry
        tasks.cancel_scope.cancel()


def shown(entries: object) -> list[tuple[str, str]]:
    """Key and namespace of entries."""
    assert isinstance(entries, tuple | list)
    return [(entry.key, entry.namespace) for entry in entries]


async def test_it_is_ready_with_the_whole_log(metrics: RememberedMetrics) -> None:
    """Not before; an empty log is ready too."""
    log = MemoryLog()
    registry = ToolRegistry(log, metrics)
    assert not registry.ready
    with pytest.raises(DeadlineExceeded):
        await registry.wait_until_ready(0)
    async with running(log, metrics) as empty:
        assert (empty.ready, empty.position) == (True, START)
    end = log.append(*registered(*(f"t{number}" for number in range(100))))
    async with running(log, metrics) as filled:
        assert (filled.position, metrics.last) == (end, end)
        assert len(filled.served(EVERY_NAMESPACE, "tool")) == 100


async def test_lists_are_sorted_and_filtered(metrics: RememberedMetrics) -> None:
    """By key and then namespace, for one, several and all namespaces; a name gives one entry per namespace."""
    log = MemoryLog()
    for namespace, names in (("red", "cab"), ("blue", "bd"), ("green", "ae")):
        log.append(*registered(*names, namespace=namespace))
    async with running(log, metrics) as registry:
        everything = [
            ("a", "green"),
            ("a", "red"),
            ("b", "blue"),
            ("b", "red"),
            ("c", "red"),
            ("d", "blue"),
            ("e", "green"),
        ]
        assert shown(registry.served(EVERY_NAMESPACE, "tool")) == everything
        assert shown(registry.served(ONLY_RED, "tool")) == [("a", "red"), ("b", "red"), ("c", "red")]
        expected = [pair for pair in everything if pair[1] != "green"]
        assert shown(registry.served(RED_AND_BLUE, "tool")) == expected
        assert registry.served(NamespaceSet(), "tool") == ()
        assert registry.served(EVERY_NAMESPACE, "prompt") == ()
        assert shown(registry.named(EVERY_NAMESPACE, "tool", "b")) == [("b", "blue"), ("b", "red")]
        assert shown(registry.named(ONLY_RED, "tool", "b")) == [("b", "red")]
        assert registry.named(ONLY_RED, "tool", "d") == []
        hidden = aggregate_id("tool", "blue", "d")
        assert registry.entry(ONLY_RED, hidden) is None
        assert registry.entry(EVERY_NAMESPACE, hidden) is not None
        before = registry.served(RED_AND_BLUE, "tool")
        await registry.wait_for(log.append(*registered("aa", namespace="blue")), WAIT_S)
        assert shown(registry.served(RED_AND_BLUE, "tool")) == sorted([*expected, ("aa", "blue")])
        assert shown(before) == expected


async def test_only_what_is_active_is_served(metrics: RememberedMetrics) -> None:
    """Proposed, disabled and retired entries are known by id and nowhere else; lists keep what they handed out."""
    log = MemoryLog()
    proposed, disabled, retired = new_tool("a", approved=False), new_tool("b"), new_tool("c")
    for state in (proposed, disabled, retired):
        log.append(*state.collect_events())
    async with running(log, metrics) as registry:
        assert shown(registry.served(EVERY_NAMESPACE, "tool")) == [("b", "default"), ("c", "default")]
        trigger(disabled, "Disabled")
        trigger(retired, "Retired")
        end = log.append(*disabled.collect_events(), *retired.collect_events())
        await registry.wait_for(end, WAIT_S)
        assert registry.served(EVERY_NAMESPACE, "tool") == ()
        assert registry.named(EVERY_NAMESPACE, "tool", "b") == []
        found = [registry.entry(EVERY_NAMESPACE, state.id) for state in (proposed, disabled, retired)]
        assert [entry.status for entry in found if entry] == ["proposed", "disabled", "retired"]
        trigger(disabled, "Enabled")
        await registry.wait_for(log.append(*disabled.collect_events()), WAIT_S)
        assert shown(registry.served(EVERY_NAMESPACE, "tool")) == [("b", "default")]


async def test_namespaces_have_their_policy(metrics: RememberedMetrics) -> None:
    """The newest one, for those who may see the namespace."""
    log = MemoryLog()
    red = new_namespace("red")
    log.append(*red.collect_events())
    async with running(log, metrics) as registry:
        policy = registry.namespace(ONLY_RED, "red")
        assert policy is not None
        assert policy.approval == "auto"
        red.trigger_event(type(red).PolicySet, timestamp=red.modified_on, policy={"approval": "required"})
        await registry.wait_for(log.append(*red.collect_events()), WAIT_S)
        policy = registry.namespace(ONLY_RED, "red")
        assert policy is not None
        assert policy.approval == "required"
        assert registry.namespace(NamespaceSet(frozenset({"blue"})), "red") is None
        assert registry.namespace(EVERY_NAMESPACE, "blue") is None


async def test_changes_tell_what_clients_see(metrics: RememberedMetrics) -> None:
    """Appearing, changing and going, after the registry has it; what nobody can see is no change."""
    log = MemoryLog()
    async with running(log, metrics) as registry, registry.changes() as changes:
        state = new_tool("a", approved=False)
        trigger(state, "RevisionApproved", revision=1, definition_hash=state.latest.content_hash)
        trigger(
            state,
            "Revised",
            definition={"name": "a"},
            definition_hash="h",
            approved=False,
            provenance={"server": "s"},
        )
        trigger(state, "RevisionRejected", revision=2, definition_hash="h")
        trigger(state, "Disabled")
        log.append(*state.collect_events())
        with anyio.fail_after(WAIT_S):
            first = await anext(aiter(changes))
            assert registry.position >= (first.after.position if first.after else START)
            second = await anext(aiter(changes))
    assert (first.before, first.kind, first.namespace) == (None, "tool", "default")
    assert first.after is not None
    assert first.after.version == 2
    assert second.after is None
    assert second.before is not None
    assert second.before.version == 4


async def test_a_slow_reader_gets_changes_drawn_together() -> None:
    """Bounded memory: beyond the bound one change for each kind and namespace, and then details again."""
    feed = ChangeFeed(changes_max=3)
    entry = object.__new__(Entry)
    with feed.reader() as changes:
        for namespace in ("red", "blue", "red", "red"):
            feed.publish([Change("tool", namespace, None, entry)])
        feed.publish([Change("prompt", "red", None, entry)])
        found = [await anext(changes) for _ in range(3)]
    expected = [Change("tool", "red", None, None), Change("tool", "blue", None, None)]
    assert found == [*expected, Change("prompt", "red", None, entry)]


async def test_a_changed_history_is_never_half_seen(metrics: RememberedMetrics) -> None:
    """The old catalogue serves until the new one is complete; then everybody is told to look again."""
    log = MemoryLog()
    log.append(*registered("lost", "kept"))
    async with running(log, metrics) as registry, registry.changes() as changes:
        log.lose_history()
        assert len(registry.served(EVERY_NAMESPACE, "tool")) == 2
        end = log.append(*registered("kept", *(f"n{number}" for number in range(30))))
        with anyio.fail_after(WAIT_S):
            assert await anext(aiter(changes)) == Change("tool", "default", None, None)
        assert registry.position == end
        assert len(registry.served(EVERY_NAMESPACE, "tool")) == 31
        assert registry.entry(EVERY_NAMESPACE, aggregate_id("tool", "default", "lost")) is None
        assert metrics.failures == 1


async def test_waiting_is_bounded(metrics: RememberedMetrics) -> None:
    """The error names both positions."""
    async with running(MemoryLog(), metrics) as registry:
        with pytest.raises(DeadlineExceeded, match=r"at position 0-0 and did not reach 5-1"):
            await registry.wait_for(Position(5, 1), 0.01)


class DamagedLog(MemoryLog):
    """A log that can be damaged: then nothing after a position can be read."""

    damaged = False

    async def read(
        self, after: Position, *, limit: int, until: Position | None = None
    ) -> Sequence[RecordedEvent]:
        """See `commands.ports.EventStore`."""
        if self.damaged:
            raise RecordDamaged(Position(after.sequence + 1, 0), "fails its CRC32C.")
        return await super().read(after, limit=limit, until=until)


async def test_damage_ends_the_wait_for_the_start(metrics: RememberedMetrics) -> None:
    """Waiting on would not help, so whoever starts the program hears at once which record it is."""
    log = DamagedLog()
    log.append(*registered("a"))
    log.damaged = True
    registry = ToolRegistry(log, metrics)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(registry.run)
        with pytest.raises(RecordDamaged, match="at position 1-0 fails"):
            await registry.wait_until_ready(WAIT_S)
        assert not registry.ready
        log.damaged = False
        with anyio.fail_after(WAIT_S):
            await registry._caught_up.wait()
        assert (registry.ready, registry.stopped_by) == (True, None)
        tasks.cancel_scope.cancel()


async def test_damage_while_it_runs_makes_it_unready_until_it_is_repaired(metrics: RememberedMetrics) -> None:
    """What is in memory goes on being there, and the reason can be asked for."""
    log = DamagedLog()
    log.append(*registered("a"))
    async with running(log, metrics) as registry:
        log.damaged = True
        end = log.append(*registered("b"))
        with anyio.fail_after(WAIT_S):
            await registry._stopped.wait()
        assert registry.stopped_by is not None
        assert "position 2-0" in registry.stopped_by.message
        assert not registry.ready
        assert len(registry.served(EVERY_NAMESPACE, "tool")) == 1
        log.damaged = False
        await registry.wait_for(end, WAIT_S)
        assert registry.ready
