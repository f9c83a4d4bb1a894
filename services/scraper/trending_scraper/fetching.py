"""Fetching pages: politely, from allowed hosts only, and never more than can be stomached."""

import asyncio
import re
import zlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Protocol
from urllib.parse import unquote_plus, urldefrag, urlencode, urljoin

import aiohttp
import stamina
from opentelemetry.trace import SpanKind
from yarl import URL

from trending_scraper.addresses import AddressForbidden, Guard, HostNotAllowed, authority
from trending_scraper.breaker import Breaker
from trending_scraper.pacing import Pacing, polite_delay, retry_after
from trending_scraper.robots import MAX_BYTES, Robots, RobotsDenied, RobotsFile
from trending_scraper.sources.base import (
    FetchedPage,
    PageRequest,
    PageUnparsable,
    SourceUnavailable,
)
from trending_shared.clock import Clock
from trending_shared.errors import Declined, Rejected
from trending_shared.tracing import OFF, Tracing, fail

MAX_BODY = 2 * 1024 * 1024  # bytes, as it travels and decoded; film pages have a tenth of it
MAX_HEADER = 32 * 1024  # bytes a line; some sites' policies of their content are long
MAX_REDIRECTS = 5
ATTEMPTS = 3
SHORTEST_KEY = 8  # characters; shorter values, such as the version of an API, are no secret
REDIRECTS = frozenset({301, 302, 303, 307, 308})
SLOW_DOWN = frozenset({429, 503})
NOT_NOW = frozenset({408, 425, 429})
GONE = frozenset({404, 410})
GZIP = frozenset({"gzip", "x-gzip"})
CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';,]+)""", re.IGNORECASE)

ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,256}"')  # RFC 9110, section 8.8.3, in ASCII
HTTP_DATE = re.compile(r"[A-Za-z0-9,: -]{1,40}")


class ConnectionBroken(aiohttp.ClientError):
    """There was no connection, or it ended before anything was answered."""


# A kept-alive connection may end just as it is used again: these are worth another try at once.
BROKEN = (
    ConnectionBroken,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientPayloadError,
    aiohttp.ClientResponseError,
)
# The last is about what we wanted to send.
TROUBLE = (aiohttp.ClientError, TimeoutError, ValueError)


class BodyTooLarge(Rejected):
    """A page is larger than any we want, as it travels or once decoded."""


class ContentTypeRefused(Rejected):
    """A page is of a media type or content coding that its source has no use for."""


class TooManyRedirects(Rejected):
    """An address leads to another, and that to another, and so on."""


class PageGone(Declined):
    """There is no such page (any more), as 404 or 410 say; lists have such links every day."""


class PageRefused(Rejected):
    """The site answers with something else than a page, as 401 or 403 do."""


@dataclass(frozen=True, slots=True)
class Known:
    """A state of a page that we have, by the names that the site gave it (RFC 9110, section 8.8).

    They are told to `url` alone, which is where the page came from.
    """

    url: str
    etag: str | None
    last_modified: str | None

    @property
    def conditions(self) -> dict[str, str]:
        named = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in named.items() if value}


class Fetcher(Protocol):
    """Gets a page from one of the hosts given, or says that it is still the `known` one."""

    async def fetch(
        self, request: PageRequest, *, hosts: AbstractSet[str], known: Known | None = None
    ) -> FetchedPage: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read: bodies of these types (all, if none are named) up to `limit` bytes.

    A longer one is `cut`, or else an error. A page that is still the `known` one isn't wanted.
    """

    content_types: AbstractSet[str] | None = None
    limit: int = MAX_BODY
    cut: bool = False
    known: Known | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host said; `body` is read only if the status is 200.

    `conditional` says that the host was told what we know, and so may answer 304.
    """

    url: str
    status: int
    headers: Mapping[str, str]  # by names in any case
    body: bytes = b""
    seconds: float = 0.0
    waited: float = 0.0
    conditional: bool = False

    @property
    def redirected_to(self) -> str | None:
        """The next address, which may be no address at all; none if this isn't a redirect."""
        location = self.headers.get("location", "")
        if self.status not in REDIRECTS or not location:
            return None
        try:
            return urldefrag(urljoin(self.url, location)).url
        except ValueError:
            return location


class HttpFetcher:
    """Fetches over HTTP; an async context manager that owns the connections to its hosts.

    There are no cookies, no proxies from the environment, no credentials from a netrc file, and no
    redirects that nobody checked.

    Args:
        guard: makes the connections.
        user_agent: names us, and says whom to write to.
        read_timeout: the longest silence of a host.
        page_timeout: the longest that one answer may take in all.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        pacing: Pacing,
        user_agent: str,
        clock: Clock,
        connect_timeout: timedelta = timedelta(seconds=5),
        read_timeout: timedelta = timedelta(seconds=15),
        page_timeout: timedelta = timedelta(seconds=60),
        tracing: Tracing = OFF,
    ) -> None:
        self._guard = guard
        self._tracing = tracing
        self._pacing = pacing
        self._clock = clock
        self._headers = {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "gzip"}
        self._timeout = aiohttp.ClientTimeout(
            total=page_timeout.total_seconds(),
            sock_connect=connect_timeout.total_seconds(),
            sock_read=read_timeout.total_seconds(),
        )
        self._breaker = Breaker(clock=clock)
        self._robots = Robots(self._ask_robots, clock=clock)
        self._retrying = stamina.AsyncRetryingCaller(
            attempts=ATTEMPTS - 1, timeout=None, wait_initial=0.1, wait_max=1.0
        ).on(BROKEN)

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        """Made where it is used, as it belongs to the event loop that runs then."""
        return aiohttp.ClientSession(
            connector=self._guard.connector(),
            headers=self._headers,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            middlewares=(asked_once,),
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
        )

    async def __aenter__(self) -> "HttpFetcher":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def fetch(
        self, request: PageRequest, *, hosts: AbstractSet[str], known: Known | None = None
    ) -> FetchedPage:
        """Get a page; every redirect on the way is checked like the first address.

        Args:
            request: what to ask for, and how.
            hosts: the only ones to ask.
            known: what we have of the page; the answer may be that it wasn't modified.

        Raises:
            HostNotAllowed, AddressForbidden, RobotsDenied: we may not go there.
            TooManyRedirects, PageGone, PageRefused: there is no page.
            ContentTypeRefused, BodyTooLarge, PageUnparsable: it's none we can read.
            SourceUnavailable: the site doesn't answer now, or wants to be left alone.
        """
        wanted = Wanted(request.content_types, known=known)
        answer = await self._follow(request, hosts, wanted)
        unmodified = answer.status == 304 and answer.conditional
        if answer.status in GONE:
            raise PageGone(f"{answer.url} answers {answer.status}")
        if answer.status >= 500 or answer.status in NOT_NOW | request.not_now:
            raise SourceUnavailable(f"{answer.url} answers {answer.status}")
        if answer.status != 200 and not unmodified:
            raise PageRefused(f"{answer.url} answers {answer.status}")
        charset = CHARSET.search(answer.headers.get("content-type", ""))
        return FetchedPage(
            url=answer.url,
            body=answer.body,
            charset=charset[1] if charset else None,
            fetched_at=self._clock.now(),
            seconds=answer.seconds,
            waited=answer.waited,
            etag=sendable(answer.headers.get("etag"), ETAG),
            last_modified=sendable(answer.headers.get("last-modified"), HTTP_DATE),
            modified=not unmodified,
        )

    async def _ask_robots(self, url: str, hosts: AbstractSet[str]) -> RobotsFile:
        try:
            answer = await self._follow(
                PageRequest(url, robots=False), hosts, Wanted(limit=MAX_BYTES, cut=True)
            )
        except TooManyRedirects:
            return RobotsFile(404)  # RFC 9309, section 2.3.1.2
        return RobotsFile(answer.status, answer.body)

    async def _follow(
        self, request: PageRequest, hosts: AbstractSet[str], wanted: Wanted
    ) -> Answer:
        for _ in range(MAX_REDIRECTS + 1):
            host = authority(request.url)
            if host is None or host not in hosts:
                raise HostNotAllowed(f"{request.url} isn't on {', '.join(sorted(hosts))}")
            delay = request.delay
            if request.robots:
                target = URL(request.url)
                rules = await self._robots.rules(f"{target.scheme}://{host}", hosts)
                if not rules.allow(str(target)):
                    raise RobotsDenied(f"robots.txt of {host} keeps us from {request.url}")
                delay = polite_delay(delay, rules.crawl_delay, self._pacing.default_delay)
            answer = await self._ask_patiently(request, host, delay, wanted)
            if answer.redirected_to is None:
                return answer
            request = redirected(request, answer.redirected_to)
        raise TooManyRedirects(f"more than {MAX_REDIRECTS} redirects, the last to {request.url}")

    async def _ask_patiently(
        self, request: PageRequest, host: str, delay: timedelta | None, wanted: Wanted
    ) -> Answer:
        """Ask again when a busy site says when to; its pause then holds for everyone."""
        for _ in range(ATTEMPTS):
            self._breaker.check(host)
            try:
                answer = await self._ask_twice(request, host, delay, wanted)
            except TROUBLE as error:
                self._breaker.failed(host)
                raise SourceUnavailable(f"{request.url}: {hushed(told(error), request)}") from None
            except SourceUnavailable as error:
                if error.not_before is None:  # or else the host asked for patience
                    self._breaker.failed(host)
                raise
            except Rejected:
                self._breaker.answered(host)
                raise
            pause = retry_after(answer.headers.get("retry-after"), self._clock.now())
            self._learn(host, answer, pause)
            if answer.status not in SLOW_DOWN or pause is None:
                break  # or else the next turn waits, or gives up if that would be too long
        return answer

    async def _ask_twice(
        self, request: PageRequest, host: str, delay: timedelta | None, wanted: Wanted
    ) -> Answer:
        """Ask, and if the connection broke ask again; looking after retries costs a page's time."""
        try:
            return await self._ask_in_turn(request, host, delay, wanted)
        except BROKEN:
            return await self._retrying(self._ask_in_turn, request, host, delay, wanted)

    def _learn(self, host: str, answer: Answer, pause: timedelta | None) -> None:
        """Have pace and circuit follow what a host answers."""
        if answer.status in SLOW_DOWN:
            began = self._clock.now() - timedelta(seconds=answer.seconds)
            self._pacing.slow_down(host, began)
            if pause is not None:
                self._pacing.hold(host, pause)
        else:
            self._pacing.speed_up(host)
        if answer.status >= 500 and pause is None:
            self._breaker.failed(host)
        else:
            self._breaker.answered(host)

    async def _ask_in_turn(
        self, request: PageRequest, host: str, delay: timedelta | None, wanted: Wanted
    ) -> Answer:
        known = wanted.known
        conditions = known.conditions if known and known.url == request.url else {}
        async with self._pacing.turn(host, delay) as waited:
            if request.permit:
                await asyncio.to_thread(request.permit)
            began = self._clock.now()
            address = URL(request.url)  # without what isn't to be seen
            asked = {
                "http.request.method": "GET",
                "server.address": address.host or "",
                "server.port": address.port or 0,
                "url.full": str(address.with_user(None)),
            }
            with self._tracing.span("GET", asked, kind=SpanKind.CLIENT) as span:
                async with self._session.get(
                    wire_address(request),
                    headers={**request.headers, **conditions},
                    allow_redirects=False,
                ) as response:
                    span.set_attribute("http.response.status_code", response.status)
                    read = response.status == 200
                    body = await read_body(request.url, response, wanted) if read else b""
                if response.status >= 400:
                    fail(span, str(response.status))
            return Answer(
                url=request.url,
                status=response.status,
                headers=response.headers,
                body=body,
                seconds=(self._clock.now() - began).total_seconds(),
                waited=waited,
                conditional=bool(conditions),
            )


def wire_address(request: PageRequest) -> URL:
    """Where a request really goes; the rest of its query stays as it is written."""
    url = URL(request.url)
    if not request.hidden:
        return url
    query = "&".join(filter(None, [url.raw_query_string, urlencode(request.hidden)]))
    return URL(f"{url.origin()}{url.raw_path}?{query}", encoded=True)


def redirected(request: PageRequest, url: str) -> PageRequest:
    """The request that follows a redirect; what was meant for one host isn't told another.

    Raises:
        PageRefused: the new address repeats a secret where it can't be taken out.
    """
    path, mark, query = url.partition("?")
    if request.hidden and mark:
        parts = query.split("&")
        kept = [part for part in parts if unquote_plus(part.split("=")[0]) not in request.hidden]
        url = f"{path}?{'&'.join(kept)}" if kept else path
    if hushed(unquote_plus(url), request) != unquote_plus(url):
        raise PageRefused(f"{request.url} leads to an address that repeats what we sent")
    if authority(url) != authority(request.url):
        return replace(request, url=url, headers={}, hidden={})
    return replace(request, url=url)


def hushed(text: str, request: PageRequest) -> str:
    """A text without what a request holds that is nobody's business."""
    words = (value.rpartition(" ")[2] for value in request.headers.values())  # after "Bearer"
    for value in (*request.hidden.values(), *words):
        if len(value) >= SHORTEST_KEY:
            text = text.replace(value, "…")
    return text


def told(error: Exception) -> str:
    """What went wrong, without the address, which as it was sent may hold secrets."""
    said = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    return f"{type(error).__name__} {said}".strip()


async def asked_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from asking a second time by itself, which would be out of turn.

    Raises:
        AddressForbidden: the host is a number that no connection is tried to.
        ConnectionBroken: the connection did.
    """
    try:
        return await handler(request)
    except aiohttp.InvalidURL as error:
        raise AddressForbidden(f"{request.url.raw_host} is an address in disguise") from error
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionBroken(str(error)) from error


def sendable(value: str | None, form: re.Pattern[str]) -> str | None:
    """What a site sent, if it has a form in which it may be sent back."""
    return value if value is not None and form.fullmatch(value) else None


async def read_body(url: str, response: aiohttp.ClientResponse, wanted: Wanted) -> bytes:
    """Read a body as far as it is wanted, its content coding removed.

    Raises:
        ContentTypeRefused: its type isn't wanted; nothing was read.
        BodyTooLarge: it is longer than wanted; what came until then is dropped.
        PageUnparsable: its coding is broken.
    """
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if wanted.content_types is not None and media_type not in wanted.content_types:
        raise ContentTypeRefused(f"{url} is {media_type or 'of no type'}")
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in GZIP and coding != "identity":
        raise ContentTypeRefused(f"{url} comes as {coding}, which nobody asked for")
    inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS) if coding in GZIP else None
    body, travelled = bytearray(), 0
    async for chunk in response.content.iter_any():
        travelled += len(chunk)
        if inflate is None:
            body += chunk
        else:
            try:  # one chunk may hold a thousand times its size, so no more than needed is made
                body += inflate.decompress(chunk, wanted.limit + 1 - len(body))
            except zlib.error as error:
                raise PageUnparsable(f"{url} is broken gzip: {error}") from error
        if len(body) > wanted.limit or travelled > wanted.limit:
            if wanted.cut:
                return bytes(body[: wanted.limit])
            raise BodyTooLarge(f"{url} has more than {wanted.limit} bytes")
    if inflate is not None and not inflate.eof:
        raise PageUnparsable(f"{url} is gzip that ends early")
    return bytes(body)
