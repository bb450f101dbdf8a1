"""Which hosts and addresses remote requests go to: the table of tricks by which requests are turned inwards."""

from ipaddress import ip_address

import pytest

from domain.errors import RemoteFailure
from infra.address_rules import is_named, literal_address, require_allowed

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "2606:4700::1111",
    "2a00:1450::1",
]
PRIVATE = [
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("::1", "loopback"),
    ("10.0.0.1", "private"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.168.1.1", "private"),
    ("100.64.0.1", "CGNAT"),
    ("100.127.255.255", "CGNAT"),
    ("fc00::1", "unique local"),
    ("fd12:3456::1", "unique local"),
]
CLOSED = [
    ("0.0.0.0", "unspecified"),  # noqa: S104
    ("0.1.2.3", "unspecified"),
    ("::", "unspecified"),
    ("169.254.169.254", "link-local"),
    ("fe80::1", "link-local"),
    ("fec0::1", "site-local"),
    ("224.0.0.1", "multicast"),
    ("ff02::1", "multicast"),
    ("255.255.255.255", "reserved"),
    ("240.0.0.1", "reserved"),
    ("192.0.0.1", "reserved"),
    ("198.18.0.1", "reserved"),
    ("203.0.113.1", "documentation"),
    ("::ffff:127.0.0.1", "v4-mapped"),
    ("::ffff:8.8.8.8", "v4-mapped"),
    ("::7f00:1", "reserved"),
    ("2002:7f00:1::", "6to4"),
    ("192.88.99.1", "6to4"),
    ("64:ff9b::7f00:1", "NAT64"),
    ("64:ff9b:1::1", "NAT64"),
    ("2001::1", "Teredo"),
    ("2001:2::1", "reserved"),
    ("2001:db8::1", "documentation"),
    ("4000::1", "reserved"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_requested(address: str) -> None:
    """The rules close what is special, and nothing else."""
    require_allowed("host", ip_address(address), named=False)


@pytest.mark.parametrize(("address", "kind"), PRIVATE)
def test_private_addresses_need_a_policy(address: str, kind: str) -> None:
    """They are requested where the policy names the host, and only there."""
    with pytest.raises(RemoteFailure, match=rf"'inner'.*{kind}.*private_hosts") as refusal:
        require_allowed("inner", ip_address(address), named=False)
    assert address not in refusal.value.message
    require_allowed("inner", ip_address(address), named=True)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(("address", "kind"), CLOSED)
def test_other_special_addresses_are_never_requested(address: str, kind: str, named: bool) -> None:
    """A policy that names a metadata service, or a name that starts to resolve to one, opens nothing."""
    with pytest.raises(RemoteFailure, match=f"{kind}.*never"):
        require_allowed("inner", ip_address(address), named=named)


@pytest.mark.parametrize(
    "host",
    [
        "0",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.1",
        "1.2.3.4.0x5",
        "foo.0x",
        "fe80::1%eth0",
        "127%2e0.0.1",
        "a%20b",
        "a b",
        "a/b",
        "a\r\nb",
        "-a.example",
        "a..example",
        "",
        "a" * 64,
        "a." * 127 + "ab",
    ],
)
def test_a_host_with_an_unusual_spelling_is_refused(host: str) -> None:
    """The resolver would understand several of these as addresses; no check could name what they mean."""
    with pytest.raises(RemoteFailure):
        literal_address(host)


@pytest.mark.parametrize(
    "host", ["example.org", "a-b.example", "inner_service", "xn--bcher-kva.example", "1a", "0xab.org"]
)
def test_names_are_left_to_the_resolver(host: str) -> None:
    """A digit in a name does not make it an address."""
    assert literal_address(host) is None


def test_a_host_is_named_with_or_without_its_port() -> None:
    """An entry with a port opens that port alone."""
    assert is_named("inner", 8080, {"inner"})
    assert is_named("inner", 8080, {"inner:8080"})
    assert not is_named("inner", 8081, {"inner:8080"})
    assert not is_named("inner", 80, {"other", "inner.example"})
    assert is_named("::1", 80, {"[::1]:80"})
    assert is_named("::1", 80, {"::1"})
