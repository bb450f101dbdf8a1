"""Definitions through the log, the registry and the read models, as every transport sees them."""

from typing import Any

import anyio
import pytest

from domain.errors import Conflict, DeadlineExceeded, InvalidInput, NotFound
from tests.commands.conftest import Send, static_tool


async def served(send: Send, namespace: str, position: Any, registry: Any) -> list[str]:
    page = await send("tool.list_served", {"namespace": namespace, "min_position": str(position)})
    return [item.entry.definition["description"] for item in page.items]


async def test_revise_and_roll_back(runtime: Any, send: Send, namespace: str) -> None:
    """History shows both revisions; rolling back makes revision 3 that equals the first."""
    one = await send("tool.register", {"namespace": namespace, "definition": static_tool(description="one")})
    two = await send(
        "tool.revise", {"definition": static_tool(description="two")}, target=one.id, expected_version=1
    )
    assert await served(send, namespace, two.position, runtime.registry) == ["two"]
    three = await send("tool.roll_back", {"to_revision": 1}, target=one.id, expected_version=2)
    assert (three.revision, three.served_revision, three.definition_hash) == (3, 3, one.definition_hash)
    assert await served(send, namespace, three.position, runtime.registry) == ["one"]
    events = (await send("event.history", {}, target=one.id)).events
    assert [e["type"] for e in events] == [
        f"io.mcp-chronicle.tool.{verb}.v1" for verb in ("registered", "revised", "rolled_back")
    ]


async def test_under_required_the_old_one_is_served_until_approval(
    runtime: Any, send: Send, namespace: str
) -> None:
    """In the registry and in the read models alike."""
    one = await send("tool.register", {"namespace": namespace, "definition": static_tool(description="one")})
    policy = await send(
        "namespace.get", {"namespace": namespace, "key": namespace, "min_position": str(one.position)}
    )
    await send(
        "namespace.set_policy",
        {"policy": {"approval": "required"}},
        target=policy.id,
        expected_version=policy.version,
    )
    two = await send(
        "tool.revise", {"definition": static_tool(description="two")}, target=one.id, expected_version=1
    )
    assert two.served_revision == 1
    assert await served(send, namespace, two.position, runtime.registry) == ["one"]
    entry = await send("tool.get", {"min_position": str(two.position)}, target=one.id)
    assert entry.definition["description"] == "one"
    assert [p.revision for p in entry.proposals] == [2]
    with pytest.raises(Conflict):
        await send(
            "tool.approve",
            {"revision": 2, "definition_hash": one.definition_hash},
            target=one.id,
            expected_version=2,
        )
    three = await send(
        "tool.approve",
        {"revision": 2, "definition_hash": two.definition_hash},
        target=one.id,
        expected_version=2,
    )
    assert await served(send, namespace, three.position, runtime.registry) == ["two"]


async def test_retired_and_disabled_tools_are_not_served(runtime: Any, send: Send, namespace: str) -> None:
    """They stay in the catalogue with their status."""
    result = await send("tool.register", {"namespace": namespace, "definition": static_tool()})
    for verb, back in (("disable", "enable"), ("retire", "restore")):
        off = await send(f"tool.{verb}", {}, target=result.id, expected_version=result.version)
        assert await served(send, namespace, off.position, runtime.registry) == []
        with pytest.raises(NotFound):
            await send("tool.call", {"name": "weather", "namespace": namespace})
        entry = await send("tool.get", {"min_position": str(off.position)}, target=result.id)
        assert entry.status == f"{verb}d"
        result = await send(f"tool.{back}", {}, target=result.id, expected_version=off.version)
        assert await served(send, namespace, result.position, runtime.registry) == ["Forecast"]


async def test_concurrent_applies_of_one_tool_register_it_once(send: Send, namespace: str) -> None:
    """Whoever comes second finds it done."""
    results = []

    async def apply() -> None:
        results.append(await send("tool.apply", {"namespace": namespace, "definition": static_tool()}))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(apply)
    assert sorted(str(r.event) for r in results) == ["None"] * 19 + ["tool.registered"]
    assert {r.version for r in results} == {1}


async def test_a_read_that_cannot_see_its_position_says_so(send: Send, namespace: str) -> None:
    """A position that never comes is a bounded wait and a clear answer."""
    with pytest.raises(InvalidInput, match="not a position"):
        await send("tool.list", {"min_position": "soon"})
    with pytest.raises(DeadlineExceeded):
        await send("tool.list", {"min_position": "999999999-1"}, deadline_s=0.2)


async def test_one_name_in_two_namespaces(send: Send, runtime: Any, namespace: str) -> None:
    """Over both, each has its own name, the plain one is refused, and each namespace by itself has the plain one."""
    other = f"{namespace}-b"
    await send("namespace.create", {"definition": {"name": other}})
    tool = static_tool(name=f"shared-{namespace}")
    await send("tool.register", {"namespace": namespace, "definition": {**tool, "description": "a"}})
    last = await send("tool.register", {"namespace": other, "definition": {**tool, "description": "b"}})
    await runtime.registry.wait_for(last.position, 5.0)
    page = await send("tool.list_served", {})
    names = [item.name for item in page.items if item.entry.key == tool["name"]]
    assert len(set(names)) == 2
    assert tool["name"] not in names
    with pytest.raises(Conflict, match=names[0]):
        await send("tool.call", {"name": tool["name"]})
    for name in names:
        assert not (await send("tool.call", {"name": name})).is_error
    assert not (await send("tool.call", {"name": tool["name"], "namespace": other})).is_error


async def test_pages_of_served_tools_join_to_the_whole(send: Send, runtime: Any, namespace: str) -> None:
    """No tool is missing and none comes twice, in the order of the names."""
    last = None
    for number in range(7):
        last = await send(
            "tool.register", {"namespace": namespace, "definition": static_tool(name=f"t{number}")}
        )
    assert last is not None
    await runtime.registry.wait_for(last.position, 5.0)
    names: list[str] = []
    cursor: str | None = None
    while True:
        query: dict[str, Any] = {"namespace": namespace, "limit": 3}
        page = await send("tool.list_served", query | ({"cursor": cursor} if cursor else {}))
        names += [item.name for item in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert names == [f"t{number}" for number in range(7)]
    with pytest.raises(InvalidInput, match="not a cursor"):
        await send("tool.list_served", {"cursor": "bm9uc2Vuc2U"})
