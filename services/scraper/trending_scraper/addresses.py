"""Which addresses may be connected to: the guard against server-side request forgery (SSRF).

It stands in the network layer. A name is resolved once, every address it has is checked, and the
connection goes to a checked address, so neither a redirect, an unusual spelling of an address nor
a name that resolves differently a moment later gets past it (OWASP, "Server-Side Request Forgery
Prevention"; CWE-918, CWE-367).
"""

import asyncio
import socket
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Sequence,
)
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import cast

import httpcore
import httpx

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
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
        return None
    port = parsed.port
    if port is None:
        port = 443 if parsed.scheme == "https" else 80
    if not 1 <= port <= 65535:
        return None
    return host_and_port(parsed.raw_host.decode("ascii"), port)


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


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only.

    `allowed` names the exceptions as `host:port`; they may have any address.
    """

    def __init__(
        self,
        *,
        allowed: Collection[str] = (),
        resolve: Resolve = resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allowed = frozenset(allowed)
        self._resolve = resolve
        self._network = network or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers.

        Raises:
            AddressForbidden: one of the host's addresses isn't public.
            SourceUnavailable: it has none.
        """
        found = await self._resolve(host, port)
        if host_and_port(host, port) not in self._allowed:
            for address in found:
                if not is_public(address):
                    raise AddressForbidden(f"{host} has the address {address}, which isn't public")
        failed: Exception = SourceUnavailable(f"{host} has no address")
        for address in found:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise AddressForbidden(f"{path} is a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx over a connection pool whose network is guarded.

    httpx's own transport takes no network backend; httpcore's pool does. Proxies, retries and
    HTTP/2 are left out, each a way around the guard or of no use here.
    """

    def __init__(self, network: httpcore.AsyncNetworkBackend) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=CONNECTIONS_PER_HOST, keepalive_expiry=30.0, network_backend=network
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises what httpcore raises, besides the guard's own errors."""
        url = request.url
        response = await self._pool.handle_async_request(
            httpcore.Request(
                request.method,
                httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        stream = PooledStream(cast("AsyncIterable[bytes]", response.stream))
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=stream,
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class PooledStream(httpx.AsyncByteStream):
    """A response's body on its way; closing it gives its connection back."""

    def __init__(self, parts: AsyncIterable[bytes]) -> None:
        self._parts = parts

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._parts)

    async def aclose(self) -> None:
        close = getattr(self._parts, "aclose", None)
        if close:
            await close()
