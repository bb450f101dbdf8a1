"""Namespaces: creating them and setting their policy."""

from collections.abc import Callable
from datetime import datetime

from eventsourcing.utils import get_topic

from commands.operations import Operation
from commands.repository import Repository
from commands.request import CommandResult, Context
from domain.commands import CreateNamespace, SetNamespacePolicy
from domain.decide import decide_namespace
from domain.errors import AlreadyExists, Forbidden, VersionConflict
from domain.identity import aggregate_id
from domain.namespace import Namespace


class NamespaceManager:
    """Carries namespace commands from the log to the log."""

    def __init__(self, repository: Repository, clock: Callable[[], datetime]) -> None:
        self._repository = repository
        self._clock = clock

    async def create(self, context: Context, command: CreateNamespace) -> CommandResult:
        """Create a namespace. Raises AlreadyExists, and Forbidden if the caller could not see it afterwards."""
        name = command.definition.name
        if name not in context.visible:
            raise Forbidden(f"This key may not create the namespace '{name}'.")
        state, position = await self._repository.find(
            Namespace, aggregate_id(get_topic(Namespace), name, name)
        )
        decided = decide_namespace(state, name, command, self._clock())
        try:
            return await self._repository.commit(context, decided, command.reason, position)
        except VersionConflict as error:
            raise AlreadyExists(f"The namespace '{name}' exists already.") from error

    async def set_policy(self, context: Context, command: SetNamespacePolicy) -> CommandResult:
        """Replace a namespace's policy, at the version that the request names."""
        state, position = await self._repository.target(Namespace, context)
        decided = decide_namespace(state, state.name, command, self._clock())
        return await self._repository.commit(context, decided, command.reason, position)

    def operations(self) -> list[Operation]:
        """The rows of namespaces."""
        return [
            Operation(
                "namespace.create",
                "Add a namespace",
                "command",
                "new",
                "namespaces:write",
                CreateNamespace,
                self.create,
            ),
            Operation(
                "namespace.set_policy",
                "Replace a namespace's policy as a whole",
                "command",
                "existing",
                "namespaces:write",
                SetNamespacePolicy,
                self.set_policy,
            ),
        ]
