"""The Resource Manager: registers resources, through the shared life cycle, and loads their contents."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, assert_never

from commands.definition_manager import DefinitionManager
from commands.http_request import resource_content, resource_request
from commands.ports import Registry
from commands.remote import RemoteEndpoint
from commands.repository import Repository
from domain.binding import UnboundBinding
from domain.commands import ApplyResource, RegisterResource, ReviseResource
from domain.entry import Entry
from domain.errors import RemoteFailure
from domain.principal import EVERY_NAMESPACE
from domain.resource import HttpResourceBinding, Resource, ResourceDefinition, StaticResourceBinding


class ResourceManager(DefinitionManager[Resource]):
    """Registers resources and reads them."""

    kind = Resource
    register_command = RegisterResource
    apply_command = ApplyResource
    revise_command = ReviseResource
    write_scope = "resources:write"
    approve_scope = "resources:approve"

    def __init__(
        self,
        repository: Repository,
        clock: Callable[[], datetime],
        registry: Registry,
        remote: RemoteEndpoint,
    ) -> None:
        super().__init__(repository, clock)
        self._registry = registry
        self._remote = remote

    async def read(
        self, entry: Entry, uri: str, variables: Mapping[str, str], deadline_s: float
    ) -> list[dict[str, Any]]:
        """The contents of the served revision, as MCP resource contents. Raises RemoteFailure."""
        definition = ResourceDefinition.model_validate(entry.definition)
        binding = definition.binding
        match binding:
            case StaticResourceBinding():
                content: dict[str, Any] = {"uri": uri}
                if definition.mime_type is not None:
                    content["mimeType"] = definition.mime_type
                if binding.text is not None:
                    content["text"] = binding.text
                else:
                    content["blob"] = binding.blob
                return [content]
            case HttpResourceBinding():
                policy = self._registry.namespace(EVERY_NAMESPACE, entry.namespace)
                response = await self._remote.send(
                    resource_request(binding, variables),
                    private_hosts=policy.private_hosts if policy else (),
                    timeout_s=deadline_s,
                )
                if not 200 <= response.status < 300:
                    raise RemoteFailure(f"The endpoint of the resource '{uri}' answered {response.status}.")
                return [resource_content(uri, definition.mime_type, response)]
            case UnboundBinding():
                raise RemoteFailure(
                    f"The resource '{uri}' is known from a catalogue and has no endpoint yet. "
                    "Revise it with a binding to make it readable."
                )
            case _:
                assert_never(binding)
