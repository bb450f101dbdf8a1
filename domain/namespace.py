"""Namespaces: the tenant that owns definitions, and the policy under which they change."""

import ipaddress
import re
from typing import Annotated

from eventsourcing.domain import Aggregate
from pydantic import AfterValidator, Field, field_validator

from domain.definition import ApprovalPolicy, DefinitionModel
from domain.identity import NamespaceSlug

PRIVATE_HOSTS_MAX = 100
HOST_LENGTH_MAX = 253
"""Characters of a host name (RFC 1035)."""

_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:]*):([0-9]{1,5})")

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


# Checked on commands only: a policy in the log was accepted under the rules of its day and must be read for ever.
def _refuse_bad_hosts(policy: NamespacePolicy) -> NamespacePolicy:
    for host in policy.private_hosts:
        if not _is_host(host):
            raise ValueError(
                f"{host[:100]!r} in private_hosts is not a host or host:port: at most {HOST_LENGTH_MAX} characters, "
                "no blanks and no control characters"
            )
        if _is_link_local(host):
            raise ValueError(
                f"'{host}' in private_hosts is link-local; such addresses, among them the metadata services of "
                "clouds, can never be allowed"
            )
    return policy


NewNamespacePolicy = Annotated[NamespacePolicy, AfterValidator(_refuse_bad_hosts)]
"""A policy that a client sets. Link-local addresses (169.254.169.254) are never requested, so it must not name one."""


def _is_host(host: str) -> bool:
    name, port = _parted(host)
    return (
        0 < len(name) <= HOST_LENGTH_MAX
        and (":" not in name or _address(name) is not None)
        and (not port or int(port) < 2**16)
        and not any(mark.isspace() or not mark.isprintable() for mark in host)
    )


def _is_link_local(host: str) -> bool:
    address = _address(_parted(host)[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address is not None and (mapped or address).is_link_local


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _parted(host: str) -> tuple[str, str]:
    """Name and port; a bare IPv6 address has colons and no port."""
    found = _WITH_PORT.fullmatch(host)
    return (found[1], found[2]) if found else (host, "")


class NamespaceDefinition(DefinitionModel):
    """A namespace as a client describes it."""

    name: NamespaceSlug
    description: str | None = Field(default=None, max_length=4096)
    policy: NewNamespacePolicy = NamespacePolicy()


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
