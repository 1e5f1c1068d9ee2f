"""Which IP addresses may be reached: public unicast ones, and nothing that maps to another address.

``ipaddress.is_global`` lets through NAT64, 6to4 and multicast addresses that end on this machine or its network; this
check is stricter. It is to be made after name resolution (``127.1`` and ``0x7f000001`` are names until then). Opens no
connection.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from fathom.core.errors import ToolError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[list[str]]]

_V4_REFUSED = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's metadata address in public space
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",
        ),
    )
)
_V6_PUBLIC = ipaddress.IPv6Network("2000::/3")
_V6_REFUSED = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo (2001::/32) among them
            "2001:db8::/32",
            "2002::/16",  # 6to4: carries an IPv4 address
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)


def refusal(address: str) -> str:
    """Why this IP address must not be reached, "" when it may. Raises ValueError when it is no IP address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        public = not any(ip in network for network in _V4_REFUSED) and ip.is_global
    else:
        public = ip in _V6_PUBLIC and not any(ip in network for network in _V6_REFUSED) and ip.is_global
    return "" if public and not ip.is_multicast else f"{address} is not a public address"


async def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a name, as the system resolves it. Raises ToolError when it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ToolError(f"the name {host} could not be resolved: {error}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def checked_addresses(host: str, port: int, resolver: Resolver, allow_loopback: bool = False) -> list[str]:
    """Resolve once and give the addresses to connect to. Raises ToolError when **any** of them is not public.

    ``allow_loopback`` lets 127.0.0.1 and ::1 through and nothing else; it exists for tests with a local server.
    """
    addresses = await resolver(host, port)
    if not addresses:
        raise ToolError(f"the name {host} has no address")
    for address in addresses:
        reason = refusal(address)
        if reason and not (allow_loopback and address in ("127.0.0.1", "::1")):
            raise ToolError(f"{host} was not opened: {reason}")
    return addresses


class FetchPolicy(NamedTuple):
    """Limits of a fetch, in seconds and bytes; ``redirects_s`` is for all redirects together, up to the page's head.

    ``allow_loopback`` and ``resolver`` are there for tests.
    """

    connect_s: float = 5.0
    total_s: float = 30.0
    redirects_s: float = 15.0
    max_bytes: int = 10 * 2**20
    max_hops: int = 5
    ports: frozenset[int] = frozenset({80, 443})
    allow_loopback: bool = False
    resolver: Resolver = resolve
