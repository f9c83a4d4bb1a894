"""Which addresses may be connected to: the guard against server-side request forgery (SSRF).

It stands in the network layer. A name is resolved once, every address it has is checked, and the
connection goes to a checked address, so neither a redirect, an unusual spelling of an address nor
a name that resolves differently a moment later gets past it (OWASP, "Server-Side Request Forgery
Prevention"; CWE-918, CWE-367).
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import certifi
from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from trending_scraper.sources.base import SourceUnavailable
from trending_shared.errors import Rejected

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

CONNECTIONS_PER_HOST = 4
GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291, section 2.4
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
NOT_SO_PUBLIC = (  # Python's ipaddress takes these for public, or did in a version we run on
    IPv4Network("192.0.0.0/24"),  # protocol assignments, RFC 6890; a cloud's metadata live there
    IPv4Network("192.88.99.0/24"),  # relays of 6to4, RFC 7526
    IPv4Network("168.63.129.16/32"),  # a cloud's metadata, at an address like any other
    IPv6Network("3fff::/20"),  # documentation, RFC 9637
)


class HostNotAllowed(Rejected):
    """An address leads to a host that isn't its source's."""


class AddressForbidden(Rejected):
    """A host has an address that isn't public, and isn't allowed by name."""


def authority(url: str) -> str | None:
    """Where an http(s) address leads, as `host:port`; none for anything else.

    The port is always there, the host in lower case; user and password make an address no address.
    """
    try:
        parsed = URL(url)
    except ValueError:
        return None
    if parsed.scheme not in ("http", "https") or parsed.user or parsed.password:
        return None
    if not parsed.raw_host or not parsed.port:
        return None
    return host_and_port(parsed.raw_host, parsed.port)


def host_and_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host.lower()}:{port}"


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, whatever it is wrapped in."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            parsed = parsed.ipv4_mapped
        elif parsed in NAT64:
            parsed = IPv4Address(int(parsed) & 0xFFFF_FFFF)
        elif parsed not in GLOBAL_UNICAST or (
            parsed.sixtofour and not is_public(str(parsed.sixtofour))
        ):
            return False
    if any(parsed in network for network in NOT_SO_PUBLIC):
        return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


async def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a host, as the system knows them.

    Raises:
        SourceUnavailable: the name has none now.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SourceUnavailable(f"{host} has no address: {error}") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guard(AbstractResolver):
    """Lets connections go to public addresses only.

    It gives a name's addresses once all of them are checked, and makes each socket, whose address
    it looks at again: one that was never a name (an IP address in a link) is seen there first.

    Args:
        allowed: the exceptions as `host:port`; they may have any address.
        resolve: the addresses of a name.
    """

    def __init__(self, *, allowed: Collection[str] = (), resolve: Resolve = resolve) -> None:
        self._allowed = frozenset(allowed)
        self._resolve = resolve
        self._excepted: set[str] = set()
        """The addresses that allowed names have, as `host:port`."""

    def connector(self) -> TCPConnector:
        """A pool of connections that are guarded; to be made, and closed, where they are used.

        Names are resolved whenever a connection is made, as none is kept for long.
        """
        return TCPConnector(
            resolver=self,
            use_dns_cache=False,
            socket_factory=self.socket_to,
            limit=0,  # by host alone
            limit_per_host=CONNECTIONS_PER_HOST,
            keepalive_timeout=30.0,
            ssl=ssl.create_default_context(cafile=certifi.where()),
        )

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name, each of which may be connected to.

        Raises:
            AddressForbidden: one of them isn't public.
            SourceUnavailable: it has none.
        """
        found = await self._resolve(host, port)
        if not found:
            raise SourceUnavailable(f"{host} has no address")
        if host_and_port(host, port) in self._allowed:
            self._excepted.update(host_and_port(address, port) for address in found)
        else:
            for address in found:
                if not is_public(address):
                    raise AddressForbidden(f"{host} has the address {address}, which isn't public")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in found
        ]

    def socket_to(self, address: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        """A socket for an address in the form that getaddrinfo has.

        Raises:
            AddressForbidden: it isn't public.
        """
        family, kind, protocol, _, (host, port, *_) = address
        if not is_public(host) and host_and_port(host, port) not in self._allowed | self._excepted:
            raise AddressForbidden(f"{host} isn't a public address")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Nothing is kept open."""
