"""Namespaces: the tenant that owns definitions, and the policy under which they change."""

from eventsourcing.domain import Aggregate
from pydantic import Field, field_validator

from domain.definition import ApprovalPolicy, DefinitionModel
from domain.identity import NamespaceSlug

PRIVATE_HOSTS_MAX = 100

DEFAULT_NAMESPACE = "default"
"""Made at the first start, so that a new installation can be used at once."""


class NamespacePolicy(DefinitionModel):
    """How a namespace's definitions change and what they may reach.

    `approval` is `auto` (a revision serves at once) or `required`. `private_hosts` names hosts, as `host` or
    `host:port`, that are requested although their addresses are private.
    """

    approval: ApprovalPolicy = "auto"
    private_hosts: list[str] = Field(default_factory=list, max_length=PRIVATE_HOSTS_MAX)

    @field_validator("private_hosts")
    @classmethod
    def _are_hosts(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            if not host or any(mark in host for mark in "/@*? \t") or host != host.lower():
                raise ValueError(f"'{host[:100]}' is not a lower-case host or host:port")
        return sorted(set(hosts))


class NamespaceDefinition(DefinitionModel):
    """A namespace as a client describes it."""

    name: NamespaceSlug
    description: str | None = Field(default=None, max_length=4096)
    policy: NamespacePolicy = NamespacePolicy()


class Namespace(Aggregate):
    """State of a namespace. The stored names are permanent."""

    TOPIC = "namespace"

    def __init__(self, *, name: str, description: str | None, policy: dict[str, object]) -> None:
        self.name = name
        self.description = description
        self.policy = NamespacePolicy.model_validate(policy)

    class Event(Aggregate.Event):
        """Base of a namespace's events."""

    class Created(Event, Aggregate.Created):
        """A namespace came into being, with its first policy."""

        TOPIC = "namespace.created"
        name: str
        description: str | None
        policy: dict[str, object]

    class PolicySet(Event):
        """The whole policy was replaced."""

        TOPIC = "namespace.policy_set"
        policy: dict[str, object]

        def apply(self, aggregate: "Namespace") -> None:
            """Replace the policy."""
            aggregate.policy = NamespacePolicy.model_validate(self.policy)
