"""For tests: a site on loopback that also misbehaves, waiting that takes no time, pages in cans,
and crawls to the end."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

from prometheus_client import CollectorRegistry

from trending_scraper.adapters import create_source
from trending_scraper.authors import Authors
from trending_scraper.fetches import Fetches
from trending_scraper.fetching import Fetcher, Known, PageGone
from trending_scraper.metrics import ScraperMetrics
from trending_scraper.quotas import Quotas
from trending_scraper.raw_pages import RawPages
from trending_scraper.scraping import Scraper
from trending_scraper.settings import ScraperSettings
from trending_scraper.sources.base import FetchedPage, PageRequest, Source
from trending_shared.clock import FrozenClock
from trending_shared.erasures import Erasures
from trending_shared.errors import Rejected
from trending_shared.events import Event, ScrapeJob
from trending_shared.sources import read_catalogue
from trending_shared.storage import ObjectStore
from trending_shared.testing import delivered

E = TypeVar("E", bound=Event)

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]

FETCHED_AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def answer(
    body: bytes | str = b"",
    *,
    status: int = 200,
    content_type: str | None = "text/html; charset=utf-8",
    headers: Mapping[str, str] | None = None,
) -> Behaviour:
    """A proper HTTP/1.1 answer."""
    content = body.encode() if isinstance(body, str) else body
    fields = {"Content-Length": str(len(content)), **(headers or {})}
    if content_type is not None:
        fields["Content-Type"] = content_type

    async def give(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Said\r\n".encode())
        writer.write("".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode())
        writer.write(b"\r\n" + content)
        await writer.drain()

    return give


def redirect(location: str, *, status: int = 302) -> Behaviour:
    return answer(status=status, headers={"Location": location})


def endless(chunk: bytes, *, headers: Mapping[str, str] | None = None) -> Behaviour:
    """An answer that never stops."""

    async def give(writer: asyncio.StreamWriter) -> None:
        fields = {"Content-Type": "text/html", **(headers or {})}
        writer.write(b"HTTP/1.1 200 OK\r\n")
        writer.write("".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode())
        writer.write(b"\r\n")
        while True:
            writer.write(chunk)
            await writer.drain()

    return give


def nothing_there(path: str, headers: Mapping[str, str]) -> Behaviour:
    return answer("no such page", status=404)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """No answer at all: the connection ends."""
    writer.close()


async def stay_silent(writer: asyncio.StreamWriter) -> None:
    """No answer at all: the connection stays."""
    await asyncio.Event().wait()


class MisbehavingSite:
    """An HTTP server on loopback that does as it is told, path by path.

    The behaviours of a path are shown one after another, the last for ever; other paths are what
    `otherwise` makes of path and headers: nothing, unless a test sets it. `asked` lists the paths
    in the order of their requests, `headers` what came with each; `on_request` is told a path as
    it comes.
    """

    def __init__(self) -> None:
        self.behaviours: dict[str, list[Behaviour]] = {}
        self.otherwise: Callable[[str, Mapping[str, str]], Behaviour] = nothing_there
        self.asked: list[str] = []
        self.on_request: Callable[[str], None] = lambda path: None
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    def at(self, path: str, *behaviours: Behaviour) -> None:
        self.behaviours[path] = list(behaviours)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    await self._serve(reader, writer)
        finally:
            self._serving.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = first.split(" ")[1]
        self.asked.append(path)
        self.on_request(path)
        fields = (line.partition(": ") for line in lines if line)
        self.headers.append({name.lower(): value for name, _, value in fields})
        behaviours = self.behaviours.get(path) or [self.otherwise(path, self.headers[-1])]
        behaviour = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
        await behaviour(writer)


class Waiting:
    """Waits by moving a clock that otherwise stands still."""

    def __init__(self, clock: FrozenClock) -> None:
        self.clock = clock
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.advance(timedelta(seconds=seconds))
        await asyncio.sleep(0)


class CannedFetcher:
    """Has pages at hand, by address."""

    def __init__(self, pages: Mapping[str, str | bytes]) -> None:
        self._pages = pages
        self.asked: list[tuple[PageRequest, AbstractSet[str]]] = []

    async def fetch(
        self, request: PageRequest, *, hosts: AbstractSet[str], known: Known | None = None
    ) -> FetchedPage:
        self.asked.append((request, hosts))
        page = self._pages.get(request.url)
        if page is None:
            raise PageGone(f"{request.url} answers 404")
        body = page.encode() if isinstance(page, str) else page
        return FetchedPage(request.url, body, "utf-8", FETCHED_AT)


class Crawl:
    """A scraper of one source; does jobs, and those they lead to, until none is left.

    `events` are all it published, `refused` the addresses and reasons of jobs that can never work,
    `waits` the seconds it waited out of politeness.
    """

    def __init__(self, source: Source, fetcher: Fetcher, waits: list[float]) -> None:
        self.source = source
        self.waits = waits
        self.events: list[Event] = []
        self.refused: list[tuple[str, str]] = []
        store = ObjectStore.at("memory:///")
        self._scraper = Scraper(
            sources=[source],
            fetcher=fetcher,
            raw_pages=RawPages(store),
            fetches=Fetches(store),
            erasures=Erasures(store),
            quotas=Quotas(store, clock=FrozenClock(FETCHED_AT)),
            authors=Authors(b"a key of this test"),
            metrics=ScraperMetrics(CollectorRegistry()),
        )

    async def do(self, path: str, **changes: Any) -> None:
        url = f"{self.source.entry.base}{path}"
        waiting = [delivered(ScrapeJob(**({"source": self.source.name, "url": url} | changes)))]
        while waiting:
            message = waiting.pop(0)
            try:
                found = await self._scraper.on_scrape_job(message)
            except Rejected as error:
                self.refused.append((message.event.url, error.reason))
                continue
            self.events += [one.event for one in found]
            waiting += [one for one in found if isinstance(one.event, ScrapeJob)]

    def told(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


def a_source(name: str, base: str, *, key: str | None = None, **changes: Any) -> Source:
    """A source of the catalogue that is asked at another address; `changes` are to its entry."""
    entry = read_catalogue()[name].model_copy(update={"base": base, "hosts": frozenset()} | changes)
    settings: dict[str, Any] = {"demo_url": base} if name == "demo" else {}
    if entry.key:
        field = entry.key.variable.removeprefix("SCRAPER_").lower()
        settings[field] = key or "a key of this test"
    return create_source(name, entry, ScraperSettings(accept_imdb_terms=True, **settings))


def known_addresses(table: Mapping[str, Sequence[str]]) -> Callable[..., Awaitable[Sequence[str]]]:
    """A resolver with a table of its own."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return table[host]

    return resolve
