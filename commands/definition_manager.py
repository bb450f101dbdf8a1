"""What the Tool, Resource and Prompt Managers share: carrying lifecycle commands from the log to the log."""

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, Generic, TypeVar

from eventsourcing.utils import get_topic

from commands.operations import Operation
from commands.repository import DECISIONS_MAX, Repository
from commands.request import CommandResult, Context
from domain.commands import (
    Apply,
    ApproveRevision,
    Command,
    Disable,
    Enable,
    Register,
    RejectRevision,
    Restore,
    Retire,
    Revise,
    RollBack,
)
from domain.decide import Change, Circumstances, change, register
from domain.definition import Definition
from domain.errors import Unavailable, VersionConflict
from domain.identity import aggregate_id
from domain.principal import Scope

DefinitionT = TypeVar("DefinitionT", bound=Definition)


class DefinitionManager(Generic[DefinitionT]):
    """Lifecycle of one kind. Subclasses name the kind and its commands, and add what is done with it."""

    kind: ClassVar[type[Definition]]
    register_command: ClassVar[type[Register]]
    apply_command: ClassVar[type[Apply]]
    revise_command: ClassVar[type[Revise]]
    write_scope: ClassVar[Scope]
    approve_scope: ClassVar[Scope]

    def __init__(self, repository: Repository, clock: Callable[[], datetime]) -> None:
        self._repository = repository
        self._clock = clock

    async def register(self, context: Context, command: Register) -> CommandResult:
        """Register, or apply, a definition. Raises NamespaceNotFound, AlreadyExists and InvalidInput."""
        id_ = aggregate_id(get_topic(self.kind), command.namespace, command.definition.key)
        for _ in range(DECISIONS_MAX):
            namespace = await self._repository.namespace(context, command.namespace)
            state, position = await self._repository.find(self.kind, id_)
            circumstances = Circumstances(self._clock(), namespace.policy.approval)
            decided = register(self.kind, state, command, circumstances)
            try:
                return await self._repository.commit(context, decided, command.reason, position)
            except VersionConflict:
                continue
        key = command.definition.key
        raise Unavailable(
            f"'{key[:256]}' is being changed by too many at once; nothing was written. Try again."
        )

    async def change(self, context: Context, command: Change) -> CommandResult:
        """Change a definition that exists, at the version that the request names."""
        state, position = await self._repository.target(self.kind, context)
        namespace = await self._repository.namespace(context, state.namespace)
        change(state, command, Circumstances(self._clock(), namespace.policy.approval))
        return await self._repository.commit(context, state, command.reason, position)

    def operations(self) -> list[Operation]:
        """The rows of this kind's lifecycle."""
        kind = get_topic(self.kind)

        def row(verb: str, summary: str, command: type[Command], scope: Scope) -> Operation:
            if issubclass(command, Register):
                return Operation(f"{kind}.{verb}", summary, "command", "new", scope, command, self.register)
            return Operation(f"{kind}.{verb}", summary, "command", "existing", scope, command, self.change)

        write, approve = self.write_scope, self.approve_scope
        return [
            row("register", f"Add a {kind} that is new in its namespace", self.register_command, write),
            row("apply", f"Make a {kind} be so: register, revise or leave it", self.apply_command, write),
            row("revise", f"Give a {kind} a new revision", self.revise_command, write),
            row("approve", f"Serve a proposed revision of a {kind}", ApproveRevision, approve),
            row("reject", f"Turn a proposed revision of a {kind} down", RejectRevision, approve),
            row("roll_back", f"Make a new revision of a {kind} that equals an earlier one", RollBack, write),
            row("disable", f"Hide a {kind} from clients", Disable, write),
            row("enable", f"Show a {kind} to clients again", Enable, write),
            row("retire", f"Take a {kind} out of use", Retire, write),
            row("restore", f"Bring a retired {kind} back", Restore, write),
        ]
