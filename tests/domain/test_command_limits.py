"""What the commands bound beside the definition itself: provenance, names, a namespace's hosts."""

from typing import Any

import pytest
from pydantic import ValidationError

from domain.commands import CreateNamespace, RegisterTool, ReviseTool, SetNamespacePolicy
from domain.namespace import Namespace, NamespacePolicy
from tests.domain.given import tool

BAD_HOSTS = ["a\n", "a\x00b", "a\x7f", "a\u00a0b", "a\u200bb", "a" * 254, ":80", "a:99999", "a:b", "a:80:80"]
LINK_LOCAL = [
    "169.254.169.254",
    "169.254.169.254:80",
    "fe80::1",
    "[fe80::1]",
    "[fe80::1]:80",
    "::ffff:169.254.169.254",
]


def registration(**fields: Any) -> RegisterTool:
    return RegisterTool.model_validate({"namespace": "default", "definition": tool(), **fields})


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a\n", "a/b", "ä"])
def test_a_provenance_name_is_short_and_plain(name: str) -> None:
    """It becomes a key of every read model."""
    with pytest.raises(ValidationError, match="1 to 64"):
        registration(provenance={name: "x"})
    with pytest.raises(ValidationError, match="1 to 64"):
        ReviseTool.model_validate({"definition": tool(), "provenance": {name: "x"}})


def test_provenance_as_catalogues_write_it() -> None:
    """Up to the bound."""
    assert registration(provenance={"server": "x", "a" * 64: "y", "x-y.z_1": ""}).provenance["server"] == "x"


@pytest.mark.parametrize("namespace", ["a\n", "\na", "A", "a" * 64, ""])
def test_a_namespace_has_no_line_end(namespace: str) -> None:
    """Its name is part of every address."""
    with pytest.raises(ValidationError):
        registration(namespace=namespace)


def set_hosts(*hosts: str) -> SetNamespacePolicy:
    return SetNamespacePolicy.model_validate({"policy": {"private_hosts": list(hosts)}})


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_what_can_be_no_host_is_refused(host: str) -> None:
    """Control characters, blanks, too long a name, no port."""
    with pytest.raises(ValidationError, match="is not a host"):
        set_hosts(host)
    with pytest.raises(ValidationError, match="is not a host"):
        CreateNamespace.model_validate({"definition": {"name": "n", "policy": {"private_hosts": [host]}}})


@pytest.mark.parametrize("host", LINK_LOCAL)
def test_link_local_addresses_can_never_be_allowed(host: str) -> None:
    """They are refused when a request is made, so an entry would only pretend."""
    with pytest.raises(ValidationError, match="can never be allowed"):
        set_hosts(host)


def test_hosts_that_are_accepted() -> None:
    """Names, addresses and ports."""
    hosts = ["10.0.0.1", "10.0.0.1:8080", "[::1]:80", "::1", "a" * 253, "db.internal", "localhost:9"]
    assert set_hosts(*hosts).policy.private_hosts == sorted(hosts)


def test_a_policy_in_the_log_is_read_under_the_rules_of_its_day() -> None:
    """A stricter rule for new policies must not stop a replay."""
    policy = NamespacePolicy(private_hosts=["169.254.169.254"]).model_dump()
    namespace = Namespace(name="n", description=None, policy=policy)
    assert namespace.policy.private_hosts == ["169.254.169.254"]
