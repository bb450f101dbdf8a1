"""The pipeline: who may, what fits, what was done before, and how long it may take."""

from typing import Any

import anyio
import pytest

from commands.request import CommandResult, Request
from domain.errors import (
    AlreadyExists,
    Forbidden,
    IdempotencyMismatch,
    InvalidInput,
    NamespaceNotFound,
    NotFound,
    VersionConflict,
    VersionRequired,
)
from domain.identity import aggregate_id
from domain.principal import EVERY_NAMESPACE, EVERY_SCOPE, SYSTEM, NamespaceSet, Principal
from infra.runtime import Runtime
from tests.commands.conftest import Send, static_tool

NARROW = Principal("narrow", NamespaceSet(frozenset({"elsewhere"})), EVERY_SCOPE)
READER = Principal("reader", EVERY_NAMESPACE, frozenset({"tools:read"}))


async def register(send: Send, namespace: str, **envelope: Any) -> CommandResult:
    result = await send("tool.register", {"namespace": namespace, "definition": static_tool()}, **envelope)
    assert isinstance(result, CommandResult)
    return result


async def test_a_scope_that_is_not_held_is_refused(runtime: Runtime, send: Send, namespace: str) -> None:
    """Nothing is appended, and the error names the scope."""
    head = await runtime.store.head()
    with pytest.raises(Forbidden, match="tools:write"):
        await register(send, namespace, principal=READER)
    assert await runtime.store.head() == head


async def test_every_operation_is_closed_to_a_key_without_scopes(runtime: Runtime, send: Send) -> None:
    """No row of the table can be reached without its scope."""
    nobody = Principal("nobody", EVERY_NAMESPACE, frozenset())
    for name in runtime.messages.operations.rows:
        with pytest.raises(Forbidden):
            await send(name, {}, principal=nobody)


async def test_what_may_not_be_seen_does_not_exist(send: Send, namespace: str) -> None:
    """Another tenant's namespace, definition and history look as if they were not there."""
    result = await register(send, namespace)
    with pytest.raises(NamespaceNotFound):
        await register(send, namespace, principal=NARROW)
    for operation in ("tool.get", "event.history"):
        with pytest.raises(NotFound):
            await send(operation, {}, target=result.id, principal=NARROW)
    with pytest.raises(NotFound):
        await send("tool.disable", {}, target=result.id, expected_version=1, principal=NARROW)
    with pytest.raises(NotFound):
        await send("tool.call", {"name": "weather", "namespace": namespace}, principal=NARROW)
    position = str(result.position)
    assert not (await send("tool.list", {"min_position": position}, principal=NARROW)).entries
    found = await send("catalogue.search", {"query": "forecast", "min_position": position}, principal=NARROW)
    assert not found.hits
    assert not (await send("event.list", {}, principal=NARROW)).events
    assert not (await send("tool.list_served", {}, principal=NARROW)).items


async def test_a_key_answers_the_same_again(runtime: Runtime, send: Send, namespace: str) -> None:
    """A retry does nothing twice, even after the tool went on."""
    first = await register(send, namespace, idempotency_key="k1")
    await send("tool.disable", {}, target=first.id, expected_version=1)
    head = await runtime.store.head()
    assert await register(send, namespace, idempotency_key="k1") == first
    assert await runtime.store.head() == head


async def test_a_key_with_other_content_is_refused(send: Send, namespace: str) -> None:
    """Otherwise a bug of the caller would be answered with somebody else's result."""
    await register(send, namespace, idempotency_key="k2")
    other = {"namespace": namespace, "definition": static_tool(description="other")}
    with pytest.raises(IdempotencyMismatch):
        await send("tool.register", other, idempotency_key="k2")


async def test_a_key_sent_many_times_at_once_has_one_answer(send: Send, namespace: str) -> None:
    """The ones that come second wait for, or find, what the first did."""
    results = []

    async def once() -> None:
        results.append(await register(send, namespace, idempotency_key="k3"))

    async with anyio.create_task_group() as tasks:
        for _ in range(32):
            tasks.start_soon(once)
    assert results == [results[0]] * 32


async def test_a_key_belongs_to_its_principal(send: Send, namespace: str) -> None:
    """Somebody else's equal key and request must not be answered with this one's result."""
    other = Principal("somebody-else", EVERY_NAMESPACE, EVERY_SCOPE)
    await register(send, namespace, idempotency_key="k4")
    with pytest.raises(AlreadyExists):
        await register(send, namespace, idempotency_key="k4", principal=other)


async def test_a_policy_is_set_only_by_who_sees_the_namespace(send: Send, namespace: str) -> None:
    """Its id can be computed by everybody."""
    id_ = aggregate_id("namespace", namespace, namespace)
    with pytest.raises(NotFound):
        await send(
            "namespace.set_policy",
            {"policy": {"approval": "required"}},
            target=id_,
            expected_version=1,
            principal=NARROW,
        )


@pytest.mark.parametrize("value", ["\ud800", 10**30, float("1e400") - float("1e400"), [[]] * 1])
async def test_values_that_json_cannot_carry_are_refused_or_passed(
    send: Send, runtime: Runtime, namespace: str, value: Any
) -> None:
    """A transport's own parser may let through what the log, or a back end, could not take."""
    result = await register(send, namespace)
    await runtime.registry.wait_for(result.position, 5.0)
    call = {"name": "weather", "namespace": namespace, "arguments": {"anything": value}}
    if isinstance(value, list | float):
        assert not (await send("tool.call", call)).is_error
    else:
        with pytest.raises(InvalidInput, match="cannot be kept as JSON"):
            await send("tool.call", call)


async def test_versions_guard_changes(send: Send, namespace: str) -> None:
    """A change needs the version that it is based on, and that must be the present one."""
    result = await register(send, namespace)
    with pytest.raises(VersionRequired, match="version 1"):
        await send("tool.disable", {}, target=result.id)
    with pytest.raises(VersionConflict, match="based on version 7"):
        await send("tool.disable", {}, target=result.id, expected_version=7)
    await send("tool.disable", {}, target=result.id, expected_version=1)
    with pytest.raises(VersionConflict, match="based on version 1"):
        await send("tool.enable", {}, target=result.id, expected_version=1)


async def test_a_duplicate_is_refused(send: Send, namespace: str) -> None:
    """The same name again is a conflict and not a second tool."""
    await register(send, namespace)
    with pytest.raises(AlreadyExists):
        await register(send, namespace)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": "not legal"}, "/definition/name"),
        ({"input_schema": {"type": "objekt"}}, "/definition/input_schema"),
        ({"binding": {"type": "http", "url": "ftp://x"}}, "/definition/binding/url"),
        (
            {
                "binding": {
                    "type": "http",
                    "url": "https://x.example",
                    "headers": {"Authorization": "Bearer 1"},
                }
            },
            "/definition/binding/headers",
        ),
        ({"binding": {"type": "magic"}}, "/definition/binding"),
        ({"unknown": 1}, "/definition/unknown"),
    ],
)
async def test_faults_point_into_the_request(
    runtime: Runtime, send: Send, namespace: str, change: dict[str, Any], pointer: str
) -> None:
    """Each wrong value has its JSON Pointer, and nothing is appended."""
    head = await runtime.store.head()
    with pytest.raises(InvalidInput) as refusal:
        await send("tool.register", {"namespace": namespace, "definition": {**static_tool(), **change}})
    assert [fault.pointer for fault in refusal.value.faults] == [pointer]
    assert await runtime.store.head() == head


@pytest.mark.parametrize("body", [None, [], "text", 7, {"namespace": 1}])
async def test_what_is_no_command_is_refused(runtime: Runtime, body: Any) -> None:
    """Any JSON value may come in."""
    with pytest.raises(InvalidInput):
        await runtime.messages.handle(Request("tool.register", body, SYSTEM, "system"))


async def test_the_log_says_who_and_why(send: Send, namespace: str) -> None:
    """Actor, reason and correlation id are in the record, not in the state."""
    body = {"namespace": namespace, "definition": static_tool(), "reason": "asked by the weather team"}
    result = await send("tool.register", body, correlation_id="c-1")
    [event] = (await send("event.history", {}, target=result.id)).events
    assert (event["actor"], event["reason"], event["correlationid"]) == ("system", body["reason"], "c-1")
    assert "reason" not in event["data"]


@pytest.mark.parametrize("key", ["a\0b", "a\nb", "\u2028", "", "k" * 257])
async def test_a_key_that_cannot_be_printed_is_refused(send: Send, namespace: str, key: str) -> None:
    """One rule for every transport; a header could not carry such a key, and a message could."""
    with pytest.raises(InvalidInput, match="idempotency key"):
        await register(send, namespace, idempotency_key=key)
