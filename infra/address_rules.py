"""Which addresses a remote request may go to, and which spellings of a host are understood at all.

Public unicast addresses are requested. Loopback, private, shared (CGNAT) and unique local addresses only where a
namespace's policy names the host. Nothing else ever, named or not: link-local addresses hold the metadata services of
the clouds, and the transition ranges (v4-mapped, 6to4, NAT64, Teredo) spell one address as another.

Sources: IANA IPv4 and IPv6 special-purpose address registries (RFC 6890), RFC 3879 for site-local.
"""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from domain.errors import RemoteFailure

Address = IPv4Address | IPv6Address

HOST_LENGTH_MAX = 253

Kinds = tuple[tuple[str, IPv4Network | IPv6Network], ...]


def _table(kind: str, *networks: str) -> Kinds:
    return tuple((kind, ip_network(network)) for network in networks)


# Requested where the policy names the host.
_PRIVATE: Kinds = (
    *_table("a loopback", "127.0.0.0/8", "::1/128"),
    *_table("a private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    *_table("a shared (CGNAT)", "100.64.0.0/10"),
    *_table("a unique local", "fc00::/7"),
)
# Never requested. The first that fits gives the name.
_CLOSED: Kinds = (
    *_table("an unspecified", "0.0.0.0/8", "::/128"),
    *_table("a link-local", "169.254.0.0/16", "fe80::/10"),
    *_table("a site-local", "fec0::/10"),
    *_table("a multicast", "224.0.0.0/4", "ff00::/8"),
    *_table("a v4-mapped", "::ffff:0:0/96", "::ffff:0:0:0/96"),
    *_table("a NAT64", "64:ff9b::/96", "64:ff9b:1::/48"),
    *_table("a Teredo", "2001::/32"),
    *_table("a 6to4", "192.88.99.0/24", "2002::/16"),
    *_table(
        "a documentation", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"
    ),
    *_table("a reserved", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "2001::/23"),
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")

# An underscore is no host name by RFC 1123, but service names inside container networks have it.
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*")
_ENDS_IN_A_NUMBER = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$")


def literal_address(host: str) -> Address | None:
    """The address that `host` spells, None if it is a name.

    Raises RemoteFailure for what is neither: one address has one spelling here, so the decimal, octal, hexadecimal and
    shortened forms, which `getaddrinfo` would accept, are refused, as are IPv6 zones.
    """
    if not host or len(host) > HOST_LENGTH_MAX:
        raise RemoteFailure(f"The URL's host is missing or longer than {HOST_LENGTH_MAX} characters.")
    try:
        address = ip_address(host)
    except ValueError:
        if _ENDS_IN_A_NUMBER.search(host):
            raise RemoteFailure(
                f"'{host}' is not an address in its usual form. Write four decimal numbers, such as 192.0.2.1."
            ) from None
        if not _NAME.fullmatch(host):
            raise RemoteFailure(f"'{host}' is not a host name.") from None
        return None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise RemoteFailure(f"'{host}' names an IPv6 zone, which is not requested.")
    return address


def is_named(host: str, port: int, private_hosts: Collection[str]) -> bool:
    """Whether a policy's `private_hosts` (`host` or `host:port`, IPv6 with or without brackets) holds this host."""
    bracketed = f"[{host}]" if ":" in host else host
    return not {host, bracketed, f"{bracketed}:{port}"}.isdisjoint(private_hosts)


def require_allowed(host: str, address: Address, *, named: bool) -> None:
    """Return if `address` may be connected to. `named` says that the policy names the host as private.

    Raises RemoteFailure with the kind of the address, not the address: names inside a network are not for callers.
    """
    kind = _kind(address, _PRIVATE)
    if kind:
        if named:
            return
        raise RemoteFailure(
            f"'{host}' has {kind} address. The namespace's policy must name the host in private_hosts to allow that."
        )
    kind = _kind(address, _CLOSED)
    if kind is None and isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST_V6:
        kind = "a reserved"
    if kind:
        raise RemoteFailure(f"'{host}' has {kind} address, which is never requested.")


def _kind(address: Address, kinds: Kinds) -> str | None:
    return next((kind for kind, network in kinds if address in network), None)
