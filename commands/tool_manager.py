"""The Tool Manager: registers tools, through the shared life cycle, and executes them.

A call trusts nothing: arguments are validated against the served schema, remote ends are bounded in time and size,
structured output is validated too. Whatever the remote end does becomes a tool error, never a failure of the product.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from time import perf_counter
from typing import Any, assert_never

import jsonschema_rs

from commands.definition_manager import DefinitionManager
from commands.http_request import tool_request, tool_result
from commands.ports import Registry, RequestMetrics
from commands.remote import RemoteEndpoint
from commands.repository import Repository
from commands.request import ToolResult, tool_error
from domain.binding import HttpBinding, UnboundBinding
from domain.commands import ApplyTool, RegisterTool, ReviseTool
from domain.entry import Entry
from domain.errors import InvalidInput, RemoteFailure
from domain.principal import EVERY_NAMESPACE
from domain.schema import compile_schema, faults_of, too_deep, value_depth_max
from domain.tool import StaticToolBinding, Tool, ToolDefinition

VALIDATORS_MAX = 4096
"""Compiled schemas and parsed definitions that are kept, by definition hash."""

RESPONSE_RESERVE_S = 0.25
"""Kept back from a call's deadline, so that its time-out is told as a tool error and not as the request's."""


class ToolManager(DefinitionManager[Tool]):
    """Registers and executes tools."""

    kind = Tool
    register_command = RegisterTool
    apply_command = ApplyTool
    revise_command = ReviseTool
    write_scope = "tools:write"
    approve_scope = "tools:approve"

    def __init__(
        self,
        repository: Repository,
        clock: Callable[[], datetime],
        registry: Registry,
        remote: RemoteEndpoint,
        metrics: RequestMetrics,
    ) -> None:
        super().__init__(repository, clock)
        self._registry = registry
        self._remote = remote
        self._metrics = metrics
        self._executable = lru_cache(VALIDATORS_MAX)(_Executable)

    async def execute(self, entry: Entry, arguments: Mapping[str, Any], deadline_s: float) -> ToolResult:
        """Call the served revision of a tool. Raises InvalidInput for arguments that its schema refuses."""
        started = perf_counter()
        outcome = "internal_error"
        try:
            executable = self._executable(_Definition(entry))
            executable.check(arguments)
            result = executable.checked(await self._run(executable.definition, entry, arguments, deadline_s))
        except InvalidInput:
            outcome = "invalid_arguments"
            raise
        except RemoteFailure as failure:
            outcome = failure.code
            return tool_error(failure.message)
        else:
            outcome = "tool_error" if result.is_error else "ok"
            return result
        finally:
            self._metrics.observe_tool_call(outcome, perf_counter() - started)

    async def _run(
        self, definition: ToolDefinition, entry: Entry, arguments: Mapping[str, Any], deadline_s: float
    ) -> ToolResult:
        binding = definition.binding
        match binding:
            case HttpBinding():
                policy = self._registry.namespace(EVERY_NAMESPACE, entry.namespace)
                response = await self._remote.send(
                    tool_request(binding, arguments),
                    private_hosts=policy.private_hosts if policy else (),
                    timeout_s=max(deadline_s - RESPONSE_RESERVE_S, 0.0),
                )
                return tool_result(response)
            case StaticToolBinding():
                return ToolResult(binding.content, binding.structured_content, binding.is_error)
            case UnboundBinding():
                return tool_error(
                    f"The tool '{definition.name}' is known from a catalogue and has no endpoint yet. "
                    "Revise it with a binding to make it callable."
                )
            case _:
                assert_never(binding)


class _Definition:
    """A served definition as a cache key: two are the same if their hashes are."""

    __slots__ = ("content", "hash")

    def __init__(self, entry: Entry) -> None:
        self.content = entry.definition
        self.hash = entry.definition_hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Definition) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)


class _Executable:
    """A definition, parsed, with its schemas compiled."""

    def __init__(self, source: _Definition) -> None:
        self.definition = ToolDefinition.model_validate(source.content)
        self._input = compile_schema(self.definition.input_schema)
        self._input_depth_max = value_depth_max(self.definition.input_schema)
        output = self.definition.output_schema
        self._output: jsonschema_rs.Validator | None = compile_schema(output) if output is not None else None
        self._output_depth_max = value_depth_max(output) if output is not None else 0

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise InvalidInput, with a pointer for each fault, if the input schema refuses the arguments."""
        faults = too_deep(arguments, self._input_depth_max, "/arguments")
        if faults or not self._input.is_valid(arguments):
            faults = faults or faults_of(self._input, arguments, "/arguments")
            reasons = "; ".join(f"{fault.pointer}: {fault.message}" for fault in faults)
            raise InvalidInput(
                f"The arguments do not fit the tool '{self.definition.name}': {reasons}.", faults
            )

    def checked(self, result: ToolResult) -> ToolResult:
        """The result, or a tool error if it is not what the output schema promises."""
        if self._output is None or result.is_error:
            return result
        structured = result.structured_content
        if structured is None:
            return tool_error(
                f"The tool '{self.definition.name}' promises structured output and answered none."
            )
        faults = too_deep(structured, self._output_depth_max, "/structuredContent")
        if faults or not self._output.is_valid(structured):
            faults = faults or faults_of(self._output, structured, "/structuredContent")
            reasons = "; ".join(f"{fault.pointer}: {fault.message}" for fault in faults)
            return tool_error(
                f"The tool '{self.definition.name}' answered what its output schema refuses: {reasons}."
            )
        return result
