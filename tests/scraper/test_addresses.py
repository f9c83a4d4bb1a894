"""The guard: what is public, and that nothing else is ever connected to."""

import ssl
from collections.abc import Iterable

import httpcore
import httpx
import pytest

from trending_scraper.addresses import (
    AddressForbidden,
    GuardedNetwork,
    GuardedTransport,
    authority,
    is_public,
)
from trending_scraper.sources.base import SourceUnavailable
from trending_scraper.testing import MisbehavingSite, answer, known_addresses

PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.1"


class RecordingNetwork(httpcore.AsyncNetworkBackend):
    """Notes where it is asked to connect; addresses in `down` refuse."""

    def __init__(
        self, *, down: Iterable[str] = (), stream: httpcore.AsyncNetworkStream | None = None
    ) -> None:
        self.stream = stream or httpcore.AsyncMockStream([])
        self.connected: list[tuple[str, int]] = []
        self.down = set(down)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.connected.append((host, port))
        if host in self.down:
            raise httpcore.ConnectError("refused")
        return self.stream


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "::1",
        "::",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:a9fe:a9fe",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
        "2001:db8::1",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "not an address",
        "fe80::a9fe:a9fe",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "192.88.99.1",
        "198.18.0.1",
        "3fff::1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::192.0.0.192",
        "64:ff9b:1::a00:1",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
        "::ffff:0:10.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
    ],
)
def test_everything_else_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://Films.Example/titles", "films.example:80"),
        ("https://films.example", "films.example:443"),
        ("https://films.example:8443/x", "films.example:8443"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("http://user:secret@films.example/", None),
        ("http://films.example@10.0.0.1/", None),
        ("ftp://films.example/", None),
        ("file:///etc/passwd", None),
        ("//films.example/", None),
        ("http:///titles", None),
        ("http://[::1", None),
        ("http://films.example:99999/", None),
        ("http://films.example:0/", None),
        ("javascript:alert(1)", None),
    ],
)
def test_an_authority_is_host_and_port_of_a_plain_web_address(
    url: str, expected: str | None
) -> None:
    assert authority(url) == expected


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    network = RecordingNetwork()
    guard = GuardedNetwork(resolve=known_addresses({"films.example": [PUBLIC]}), network=network)
    await guard.connect_tcp("films.example", 443)
    assert network.connected == [(PUBLIC, 443)]


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    network = RecordingNetwork()
    guard = GuardedNetwork(
        resolve=known_addresses({"films.example": [PUBLIC, PRIVATE]}), network=network
    )
    with pytest.raises(AddressForbidden, match=PRIVATE):
        await guard.connect_tcp("films.example", 80)
    assert network.connected == []


async def test_an_address_that_refuses_is_followed_by_the_next() -> None:
    network = RecordingNetwork(down=[PUBLIC])
    guard = GuardedNetwork(
        resolve=known_addresses({"films.example": [PUBLIC, "8.8.8.8"]}), network=network
    )
    await guard.connect_tcp("films.example", 80)
    assert network.connected == [(PUBLIC, 80), ("8.8.8.8", 80)]


async def test_a_name_without_addresses_is_unavailable() -> None:
    guard = GuardedNetwork(
        resolve=known_addresses({"films.example": []}), network=RecordingNetwork()
    )
    with pytest.raises(SourceUnavailable):
        await guard.connect_tcp("films.example", 80)


async def test_a_name_that_nobody_knows_is_unavailable() -> None:
    with pytest.raises(SourceUnavailable):
        await GuardedNetwork().connect_tcp("no label may be empty..", 80)


async def test_a_name_that_leads_elsewhere_a_moment_later_gains_nothing() -> None:
    answers = [[PUBLIC], [PRIVATE]]
    asked = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers.pop(0)

    network = RecordingNetwork()
    guard = GuardedNetwork(resolve=rebinding, network=network)
    await guard.connect_tcp("films.example", 443)
    assert asked == ["films.example"], "what was checked is what is connected to"
    with pytest.raises(AddressForbidden):
        await guard.connect_tcp("films.example", 443)
    assert network.connected == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    "spelling",
    ["169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "::ffff:a9fe:a9fe"],
)
async def test_the_metadata_of_a_cloud_are_refused_however_their_address_is_spelled(
    spelling: str,
) -> None:
    network = RecordingNetwork()
    with pytest.raises(AddressForbidden):
        await GuardedNetwork(network=network).connect_tcp(spelling, 80)
    assert network.connected == []


@pytest.mark.parametrize(
    "spelling",
    [
        *("127.0.0.1", "localhost", "2130706433", "0x7f000001", "::1"),
        *("017700000001", "0177.0.0.1", "127.1", "0x7f.1", "::ffff:127.0.0.1", "0.0.0.0", "0"),
    ],
)
async def test_this_machine_is_refused_however_it_is_spelled(spelling: str) -> None:
    network = RecordingNetwork()
    with pytest.raises(AddressForbidden):
        await GuardedNetwork(network=network).connect_tcp(spelling, 80)
    assert network.connected == []


async def test_an_allowed_host_may_be_private_on_its_port_alone() -> None:
    network = RecordingNetwork()
    guard = GuardedNetwork(allowed=["127.0.0.1:8080"], network=network)
    await guard.connect_tcp("127.0.0.1", 8080)
    with pytest.raises(AddressForbidden):
        await guard.connect_tcp("127.0.0.1", 9092)
    assert network.connected == [("127.0.0.1", 8080)]


async def test_a_socket_file_is_refused() -> None:
    with pytest.raises(AddressForbidden):
        await GuardedNetwork().connect_unix_socket("/var/run/docker.sock")


async def test_every_request_of_a_client_passes_the_guard(site: MisbehavingSite) -> None:
    site.at("/", answer("a page"))
    async with httpx.AsyncClient(transport=GuardedTransport(GuardedNetwork())) as client:
        with pytest.raises(AddressForbidden):
            await client.get(site.url("/"))
    allowed = GuardedNetwork(allowed=[site.host])
    async with httpx.AsyncClient(transport=GuardedTransport(allowed)) as client:
        response = await client.get(site.url("/"))
    assert response.text == "a page"
    assert site.asked == ["/"]


async def test_an_encrypted_connection_is_to_the_name_and_not_to_the_address() -> None:
    class Stream(httpcore.AsyncMockStream):
        async def start_tls(
            self,
            ssl_context: ssl.SSLContext,
            server_hostname: str | None = None,
            timeout: float | None = None,  # noqa: ASYNC109
        ) -> httpcore.AsyncNetworkStream:
            asked.append((server_hostname, ssl_context.check_hostname, ssl_context.verify_mode))
            return self

    asked: list[tuple[str | None, bool, ssl.VerifyMode]] = []
    stream = Stream([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"])
    network = RecordingNetwork(stream=stream)
    guard = GuardedNetwork(resolve=known_addresses({"films.example": [PUBLIC]}), network=network)
    async with httpx.AsyncClient(transport=GuardedTransport(guard)) as client:
        assert (await client.get("https://films.example/")).text == "hi"
    assert network.connected == [(PUBLIC, 443)]
    assert asked == [("films.example", True, ssl.CERT_REQUIRED)]
