"""The guard: what is public, and that nothing else is ever connected to."""

import asyncio
import socket
import ssl
from collections.abc import Sequence

import aiohttp
import pytest
import trustme

from trending_scraper.addresses import AddressForbidden, Guard, authority, is_public
from trending_scraper.sources.base import SourceUnavailable
from trending_scraper.testing import MisbehavingSite, answer, known_addresses

PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.1"


async def addresses(guard: Guard, host: str, port: int = 80) -> list[tuple[str, int]]:
    """Where connections to a host go."""
    return [(one["host"], one["port"]) for one in await guard.resolve(host, port)]


def a_socket(guard: Guard, address: str, port: int = 80) -> None:
    """Have a socket made for an address, as for one that was never a name."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    guard.socket_to((family, socket.SOCK_STREAM, 0, "", (address, port))).close()


async def get(guard: Guard, url: str) -> str:
    async with (
        aiohttp.ClientSession(connector=guard.connector()) as session,
        session.get(url) as response,
    ):
        return await response.text()


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


async def test_connections_go_to_the_addresses_that_were_checked() -> None:
    guard = Guard(resolve=known_addresses({"films.example": [PUBLIC, "2606:4700::1111"]}))
    assert await addresses(guard, "films.example", 443) == [
        (PUBLIC, 443),
        ("2606:4700::1111", 443),
    ]
    a_socket(guard, PUBLIC, 443)


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    guard = Guard(resolve=known_addresses({"films.example": [PUBLIC, PRIVATE]}))
    with pytest.raises(AddressForbidden, match=PRIVATE):
        await guard.resolve("films.example", 80)


async def test_an_address_that_refuses_is_followed_by_the_next(site: MisbehavingSite) -> None:
    site.at("/", answer("a page"))
    port = int(site.host.rpartition(":")[2])
    guard = Guard(
        allowed=[f"films.example:{port}"],
        resolve=known_addresses({"films.example": ["127.0.0.9", "127.0.0.1"]}),
    )
    assert await get(guard, f"http://films.example:{port}/") == "a page"


async def test_a_name_without_addresses_is_unavailable() -> None:
    with pytest.raises(SourceUnavailable):
        await Guard(resolve=known_addresses({"films.example": []})).resolve("films.example", 80)


async def test_a_name_that_nobody_knows_is_unavailable() -> None:
    with pytest.raises(SourceUnavailable):
        await Guard().resolve("no label may be empty..", 80)


async def test_a_name_that_leads_elsewhere_a_moment_later_gains_nothing(
    site: MisbehavingSite,
) -> None:
    port = int(site.host.rpartition(":")[2])
    answers: list[Sequence[str]] = [["127.0.0.1"], [PUBLIC]]
    asked = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers[0] if len(asked) > 1 else answers[1]

    guard = Guard(resolve=rebinding)
    assert await addresses(guard, "films.example", port) == [(PUBLIC, port)]
    assert asked == ["films.example"], "what was checked is what is connected to"
    with pytest.raises(AddressForbidden, match=r"films\.example"):
        await get(guard, f"http://films.example:{port}/")
    assert site.connections == 0


@pytest.mark.parametrize(
    "spelling",
    ["169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "::ffff:a9fe:a9fe"],
)
async def test_the_metadata_of_a_cloud_are_refused_however_their_address_is_spelled(
    spelling: str,
) -> None:
    with pytest.raises(AddressForbidden):
        await Guard().resolve(spelling, 80)
    with pytest.raises(AddressForbidden):
        a_socket(Guard(), spelling)


THIS_MACHINE = [
    *("127.0.0.1", "localhost", "2130706433", "0x7f000001"),
    *("017700000001", "0177.0.0.1", "127.1", "0x7f.1", "0.0.0.0", "0"),
]


@pytest.mark.parametrize("spelling", [*THIS_MACHINE, "::1", "::ffff:127.0.0.1"])
async def test_this_machine_is_refused_however_it_is_spelled(spelling: str) -> None:
    with pytest.raises(AddressForbidden):
        await Guard().resolve(spelling, 80)
    with pytest.raises(AddressForbidden):
        a_socket(Guard(), spelling)


@pytest.mark.parametrize("spelling", [*THIS_MACHINE, "[::ffff:127.0.0.1]", "１２７.0.0.1"])
async def test_no_spelling_of_a_link_leads_to_this_machine(
    site: MisbehavingSite, spelling: str
) -> None:
    port = site.host.rpartition(":")[2]
    with pytest.raises((AddressForbidden, aiohttp.InvalidURL)):
        await get(Guard(), f"http://{spelling}:{port}/")
    assert site.connections == 0


async def test_an_allowed_host_may_be_private_on_its_port_alone(site: MisbehavingSite) -> None:
    site.at("/", answer("a page"))
    guard = Guard(allowed=[site.host])
    assert await get(guard, site.url("/")) == "a page"
    with pytest.raises(AddressForbidden):
        a_socket(guard, "127.0.0.1", 9092)


async def test_what_an_allowed_name_leads_to_opens_no_other_port() -> None:
    guard = Guard(allowed=["films.local:8080"], resolve=known_addresses({"films.local": [PRIVATE]}))
    assert await addresses(guard, "films.local", 8080) == [(PRIVATE, 8080)]
    a_socket(guard, PRIVATE, 8080)
    with pytest.raises(AddressForbidden):
        a_socket(guard, PRIVATE, 9092)
    with pytest.raises(AddressForbidden):
        await guard.resolve("films.local", 9092)


@pytest.mark.parametrize(("certified", "trusted"), [("films.example", True), ("127.0.0.1", False)])
async def test_an_encrypted_connection_is_to_the_name_and_not_to_the_address(
    certified: str, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    authority = trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(certified).configure_cert(server_side)
    async with await asyncio.start_server(hello, "127.0.0.1", 0, ssl=server_side) as server:
        port = server.sockets[0].getsockname()[1]
        guard = Guard(
            allowed=[f"films.example:{port}"],
            resolve=known_addresses({"films.example": ["127.0.0.1"]}),
        )
        with authority.cert_pem.tempfile() as path:
            monkeypatch.setattr("certifi.where", lambda: path)
            asked = get(guard, f"https://films.example:{port}/")
            if trusted:
                assert await asked == "hi"
            else:
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await asked
