"""Given / when / then for definitions: a state from past commands, a command, and what came of it."""

from datetime import UTC, datetime
from typing import Any

from domain.commands import ApplyTool, RegisterTool, ReviseTool
from domain.decide import Change, Circumstances, change, register
from domain.definition import ApprovalPolicy
from domain.tool import Tool

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def circumstances(approval: ApprovalPolicy = "auto") -> Circumstances:
    return Circumstances(NOW, approval)


def tool(description: str = "first", **fields: Any) -> dict[str, Any]:
    """A tool's definition as a client writes it."""
    return {
        "name": "weather",
        "description": description,
        "input_schema": {"type": "object"},
        "binding": {"type": "unbound"},
        **fields,
    }


def registration(**fields: Any) -> RegisterTool:
    return RegisterTool.model_validate({"namespace": "default", "definition": tool(**fields)})


def application(**fields: Any) -> ApplyTool:
    return ApplyTool.model_validate({"namespace": "default", "definition": tool(**fields)})


def revision(description: str, **fields: Any) -> ReviseTool:
    return ReviseTool.model_validate({"definition": tool(description), **fields})


def given(*commands: Change, approval: ApprovalPolicy = "auto") -> Tool:
    """A registered tool to which `commands` have happened; its past events are collected."""
    state = register(Tool, None, registration(), circumstances(approval))
    for command in commands:
        change(state, command, circumstances(approval))
    state.collect_events()
    return state


def when(state: Tool, command: Change, approval: ApprovalPolicy = "auto") -> list[str]:
    """The stored names of the events that the command leads to."""
    change(state, command, circumstances(approval))
    return [type(event).TOPIC for event in state.collect_events()]  # type: ignore[attr-defined]  # every event has one
