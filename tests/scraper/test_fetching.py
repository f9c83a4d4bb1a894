"""Fetching from a real server that does what servers do."""

import asyncio
import gzip
import os
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from trending_scraper.addresses import (
    AddressForbidden,
    Guard,
    HostNotAllowed,
)
from trending_scraper.fetching import (
    MAX_BODY,
    BodyTooLarge,
    ContentTypeRefused,
    HttpFetcher,
    Known,
    PageGone,
    PageRefused,
    TooManyRedirects,
)
from trending_scraper.pacing import Pacing
from trending_scraper.robots import RobotsDenied
from trending_scraper.sources.base import (
    FetchedPage,
    PageRequest,
    PageUnparsable,
    SourceUnavailable,
)
from trending_scraper.testing import (
    FETCHED_AT,
    Behaviour,
    MisbehavingSite,
    Waiting,
    answer,
    endless,
    hang_up,
    known_addresses,
    redirect,
    stay_silent,
)
from trending_shared.clock import FrozenClock
from trending_shared.errors import TrendingError

METADATA = "169.254.169.254:80"

Fetch = Callable[..., Awaitable[FetchedPage]]
MakeFetcher = Callable[..., HttpFetcher]


@pytest.fixture
def waiting(clock: FrozenClock) -> Waiting:
    return Waiting(clock)


@pytest.fixture
async def make_fetcher(
    site: MisbehavingSite, clock: FrozenClock, waiting: Waiting
) -> AsyncIterator[MakeFetcher]:
    async with AsyncExitStack() as stack:

        def make(
            *,
            allowed: Sequence[str] | None = None,
            resolve: Callable[..., Awaitable[Sequence[str]]] | None = None,
            page_timeout: timedelta = timedelta(seconds=60),
        ) -> HttpFetcher:
            hosts = [site.host] if allowed is None else allowed
            fetcher = HttpFetcher(
                guard=Guard(allowed=hosts, resolve=resolve) if resolve else Guard(allowed=hosts),
                pacing=Pacing(clock=clock, sleep=waiting),
                user_agent="trending-now/1 (+mailto:us@films.example)",
                clock=clock,
                page_timeout=page_timeout,
            )
            stack.push_async_exit(fetcher)
            return fetcher

        yield make


@pytest.fixture
def fetch(site: MisbehavingSite, make_fetcher: MakeFetcher) -> Fetch:
    fetcher = make_fetcher()

    async def from_site(path: str = "/titles/1", **changes: Any) -> FetchedPage:
        request = PageRequest(site.url(path), **changes)
        return await fetcher.fetch(request, hosts=frozenset({site.host}))

    return from_site


# ---------------------------------------------------------------- pages


async def test_a_page_comes_with_its_address_charset_and_time(
    site: MisbehavingSite, fetch: Fetch
) -> None:
    site.at("/titles/1", answer("<h1>Alien</h1>", content_type='Text/HTML; Charset="ISO-8859-1"'))
    page = await fetch()
    assert page == FetchedPage(
        url=site.url("/titles/1"),
        body=b"<h1>Alien</h1>",
        charset="ISO-8859-1",
        fetched_at=FETCHED_AT + timedelta(seconds=1),
        waited=1.0,
    )


async def test_we_say_who_we_are_and_keep_no_cookies(site: MisbehavingSite, fetch: Fetch) -> None:
    site.at("/titles/1", answer("first", headers={"Set-Cookie": "seen=1"}))
    await fetch()
    await fetch()
    last = site.headers[-1]
    assert last["user-agent"] == "trending-now/1 (+mailto:us@films.example)"
    assert last["accept-encoding"] == "gzip"
    assert "cookie" not in last


async def test_an_environment_with_a_proxy_changes_nothing(
    site: MisbehavingSite, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    site.at("/titles/1", answer("a page"))
    assert (await fetch()).body == b"a page"


async def test_one_connection_serves_many_pages(site: MisbehavingSite, fetch: Fetch) -> None:
    site.at("/robots.txt", answer("", content_type="text/plain"))
    site.at("/titles/1", answer("a page"))
    for _ in range(5):
        await fetch()
    assert site.connections == 1


async def test_a_compressed_page_is_decompressed(site: MisbehavingSite, fetch: Fetch) -> None:
    body = b"<h1>Alien</h1>" * 1000
    site.at("/titles/1", answer(gzip.compress(body), headers={"Content-Encoding": "gzip"}))
    assert (await fetch()).body == body


@pytest.mark.parametrize("size", [MAX_BODY, MAX_BODY + 1])
async def test_a_body_is_read_up_to_the_limit(
    site: MisbehavingSite, fetch: Fetch, size: int
) -> None:
    site.at("/titles/1", answer(b"x" * size))
    if size <= MAX_BODY:
        assert len((await fetch()).body) == size
    else:
        with pytest.raises(BodyTooLarge):
            await fetch()


async def test_a_page_of_ten_megabytes_is_too_large(site: MisbehavingSite, fetch: Fetch) -> None:
    site.at("/titles/1", answer(b"x" * 10_000_000))
    with pytest.raises(BodyTooLarge):
        await fetch()


async def test_a_body_without_an_end_is_too_large(site: MisbehavingSite, fetch: Fetch) -> None:
    site.at("/titles/1", endless(b"x" * 65536))
    with pytest.raises(BodyTooLarge):
        await fetch()


async def test_a_gzip_bomb_is_too_large_and_never_unpacked(
    site: MisbehavingSite, fetch: Fetch
) -> None:
    bomb = gzip.compress(bytes(200_000_000))
    assert len(bomb) < MAX_BODY
    site.at("/titles/1", answer(bomb, headers={"Content-Encoding": "gzip"}))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            await fetch()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * MAX_BODY


async def test_data_without_an_end_behind_a_small_gzip_page_is_too_large(
    site: MisbehavingSite, fetch: Fetch
) -> None:
    site.at("/titles/1", endless(gzip.compress(b"small"), headers={"Content-Encoding": "gzip"}))
    with pytest.raises(BodyTooLarge):
        await fetch()


@pytest.mark.parametrize("body", [b"no gzip at all", gzip.compress(os.urandom(1000))[:-20]])
async def test_broken_gzip_is_unparsable(site: MisbehavingSite, fetch: Fetch, body: bytes) -> None:
    site.at("/titles/1", answer(body, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(PageUnparsable):
        await fetch()


@pytest.mark.parametrize("content_type", ["image/png", "application/json", "", None])
async def test_other_media_than_asked_for_are_refused_unread(
    site: MisbehavingSite, fetch: Fetch, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type is not None else {}
    site.at("/titles/1", endless(b"x" * 65536, headers=headers))
    if content_type is None:
        site.at("/titles/1", answer("?", content_type=None))
    with pytest.raises(ContentTypeRefused):
        await fetch()


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "deflate"])
async def test_a_coding_nobody_asked_for_is_refused(
    site: MisbehavingSite, fetch: Fetch, coding: str
) -> None:
    site.at("/titles/1", answer(b"?", headers={"Content-Encoding": coding}))
    with pytest.raises(ContentTypeRefused):
        await fetch()


# ---------------------------------------------------------------- answers that are no pages


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, PageGone),
        (410, PageGone),
        (401, PageRefused),
        (403, PageRefused),
        (451, PageRefused),
        (204, PageRefused),
        (302, PageRefused),
        (304, PageRefused),
        (408, SourceUnavailable),
        (429, SourceUnavailable),
        (500, SourceUnavailable),
        (503, SourceUnavailable),
    ],
)
async def test_an_answer_that_is_no_page_has_a_name(
    site: MisbehavingSite, fetch: Fetch, status: int, error: type[Exception]
) -> None:
    site.at("/titles/1", answer(status=status))
    with pytest.raises(error, match=str(status)):
        await fetch()
    assert site.asked.count("/titles/1") == 1


async def test_a_connection_that_ends_without_an_answer_is_tried_again(
    site: MisbehavingSite, fetch: Fetch
) -> None:
    site.at("/titles/1", hang_up, hang_up, answer("at last"))
    assert (await fetch()).body == b"at last"


async def test_a_site_that_always_hangs_up_is_unavailable(
    site: MisbehavingSite, fetch: Fetch
) -> None:
    site.at("/robots.txt", answer("", content_type="text/plain"))
    site.at("/titles/1", hang_up)
    with pytest.raises(SourceUnavailable):
        await fetch()
    assert site.asked.count("/titles/1") == 3


async def test_a_refused_connection_is_unavailable(
    site: MisbehavingSite, make_fetcher: MakeFetcher
) -> None:
    async with MisbehavingSite() as gone:
        host, url = gone.host, gone.url("/titles/1")
    with pytest.raises(SourceUnavailable):
        await make_fetcher(allowed=[host]).fetch(PageRequest(url), hosts=frozenset({host}))


async def test_a_silent_site_is_unavailable_after_a_while(
    site: MisbehavingSite, make_fetcher: MakeFetcher
) -> None:
    site.at("/titles/1", stay_silent)
    fetcher = make_fetcher(page_timeout=timedelta(milliseconds=50))
    with pytest.raises(SourceUnavailable, match="Timeout"):
        await fetcher.fetch(PageRequest(site.url("/titles/1")), hosts=frozenset({site.host}))


async def test_a_site_that_trickles_for_ever_is_unavailable(
    site: MisbehavingSite, make_fetcher: MakeFetcher
) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    site.at("/titles/1", trickle)
    fetcher = make_fetcher(page_timeout=timedelta(milliseconds=50))
    with pytest.raises(SourceUnavailable, match="Timeout"):
        await fetcher.fetch(PageRequest(site.url("/titles/1")), hosts=frozenset({site.host}))


async def test_something_that_isnt_http_is_unavailable(site: MisbehavingSite, fetch: Fetch) -> None:
    async def babble(writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await writer.drain()

    site.at("/titles/1", babble)
    with pytest.raises(SourceUnavailable):
        await fetch()


# ---------------------------------------------------------------- conditional requests

NAMES = {"ETag": 'W/"v1"', "Last-Modified": "Sun, 01 Nov 2026 10:00:00 GMT"}


async def test_a_page_tells_by_which_names_its_state_may_be_asked_for(
    site: MisbehavingSite, fetch: Fetch
) -> None:
    site.at("/titles/1", answer("a page", headers=NAMES))
    page = await fetch()
    assert (page.etag, page.last_modified) == (NAMES["ETag"], NAMES["Last-Modified"])


@pytest.mark.parametrize(
    "etag", ["v1", '"a"b"', '"' + "x" * 300 + '"', '"\xe9"', '"a b"', 'w/"v1"']
)
async def test_a_name_that_we_could_not_send_back_is_none(
    site: MisbehavingSite, fetch: Fetch, etag: str
) -> None:
    site.at("/titles/1", answer("a page", headers={"ETag": etag, "Last-Modified": "ä" * 50}))
    page = await fetch()
    assert (page.etag, page.last_modified) == (None, None)


async def test_a_page_that_is_still_the_known_one_has_no_body(
    site: MisbehavingSite, make_fetcher: MakeFetcher
) -> None:
    site.at("/titles/1", answer(status=304, content_type=None))
    url = site.url("/titles/1")
    page = await make_fetcher().fetch(
        PageRequest(url),
        hosts=frozenset({site.host}),
        known=Known(url, NAMES["ETag"], NAMES["Last-Modified"]),
    )
    assert (page.modified, page.body) == (False, b"")
    assert site.headers[-1]["if-none-match"] == NAMES["ETag"]
    assert site.headers[-1]["if-modified-since"] == NAMES["Last-Modified"]
    assert not any("if-none-match" in headers for headers in site.headers[:-1])


async def test_a_changed_page_comes_although_we_know_an_older_one(
    site: MisbehavingSite, make_fetcher: MakeFetcher
) -> None:
    site.at("/titles/1", answer("changed"))
    url = site.url("/titles/1")
    page = await make_fetcher().fetch(
        PageRequest(url), hosts=frozenset({site.host}), known=Known(url, NAMES["ETag"], None)
    )
    assert (page.modified, page.body) == (True, b"changed")
    assert "if-modified-since" not in site.headers[-1]


async def test_what_we_know_of_a_page_is_told_where_it_came_from_and_not_on_the_way(
    site: MisbehavingSite, make_fetcher: MakeFetcher
) -> None:
    site.at("/titles/old", redirect("/titles/1"))
    site.at("/titles/1", answer(status=304, content_type=None))
    page = await make_fetcher().fetch(
        PageRequest(site.url("/titles/old")),
        hosts=frozenset({site.host}),
        known=Known(site.url("/titles/1"), NAMES["ETag"], None),
    )
    assert not page.modified
    assert ["if-none-match" in headers for headers in site.headers] == [False, False, True]


@pytest.mark.parametrize("known", [None, ("/titles/2", "v1"), ("/titles/1", None)])
async def test_a_304_that_nobody_asked_for_is_no_page(
    site: MisbehavingSite, make_fetcher: MakeFetcher, known: tuple[str, str | None] | None
) -> None:
    site.at("/titles/1", answer(status=304, content_type=None))
    with pytest.raises(PageRefused):
        await make_fetcher().fetch(
            PageRequest(site.url("/titles/1")),
            hosts=frozenset({site.host}),
            known=Known(site.url(known[0]), known[1], None) if known else None,
        )


# ---------------------------------------------------------------- politeness


async def test_pages_are_a_second_apart_where_the_site_doesnt_say(
    site: MisbehavingSite, fetch: Fetch, waiting: Waiting
) -> None:
    site.at("/titles/1", answer("a page"))
    await fetch()
    await fetch()
    assert waiting.waits == [1.0, 1.0]  # robots.txt was the first


@pytest.mark.parametrize(("said", "wait"), [("0", None), ("0.25", 0.25), ("900", 60.0)])
async def test_the_sites_crawl_delay_is_kept(
    site: MisbehavingSite, fetch: Fetch, waiting: Waiting, said: str, wait: float | None
) -> None:
    robots = f"User-agent: *\nCrawl-delay: {said}\n"
    site.at("/robots.txt", answer(robots, content_type="text/plain"))
    site.at("/titles/1", answer("a page"))
    page = await fetch(delay=timedelta())
    assert waiting.waits == ([] if wait is None else [wait])
    assert page.waited == (wait or 0.0)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_site_is_asked_again_when_it_says_so(
    site: MisbehavingSite, fetch: Fetch, waiting: Waiting, status: int
) -> None:
    site.at(
        "/titles/1", answer(status=status, headers={"Retry-After": "7"}), answer("now it is fine")
    )
    assert (await fetch()).body == b"now it is fine"
    assert waiting.waits == [1.0, 7.0]


async def test_a_busy_site_may_name_a_date(
    site: MisbehavingSite, fetch: Fetch, waiting: Waiting
) -> None:
    at = {"Retry-After": "Sun, 01 Nov 2026 12:00:21 GMT"}
    site.at("/titles/1", answer(status=503, headers=at), answer("now it is fine"))
    await fetch()
    assert waiting.waits == [1.0, 20.0]


async def test_a_site_that_stays_busy_is_unavailable(site: MisbehavingSite, fetch: Fetch) -> None:
    site.at("/titles/1", answer(status=429, headers={"Retry-After": "2"}))
    with pytest.raises(SourceUnavailable, match="429"):
        await fetch()
    assert site.asked.count("/titles/1") == 3


async def test_a_long_pause_is_kept_without_waiting_it_out(
    site: MisbehavingSite, fetch: Fetch, clock: FrozenClock
) -> None:
    site.at("/titles/1", answer(status=429, headers={"Retry-After": "3600"}), answer("later"))
    for _ in range(2):
        with pytest.raises(SourceUnavailable):
            await fetch()
    assert site.asked.count("/titles/1") == 1
    clock.advance(timedelta(hours=1))
    assert (await fetch()).body == b"later"


async def test_a_documented_api_is_asked_at_its_own_pace_and_without_its_robots_txt(
    site: MisbehavingSite, fetch: Fetch, waiting: Waiting
) -> None:
    site.at("/robots.txt", answer("User-agent: *\nDisallow: /\n", content_type="text/plain"))
    site.at("/titles/1", answer("a page"))
    for _ in range(3):
        await fetch(robots=False, delay=timedelta(seconds=0.2))
    assert site.asked == ["/titles/1"] * 3
    assert waiting.waits == [0.2, 0.2]


async def test_a_site_that_answers_429_without_a_time_is_asked_more_slowly(
    site: MisbehavingSite, fetch: Fetch, waiting: Waiting
) -> None:
    site.at("/titles/1", answer(status=429), answer("a page"))
    with pytest.raises(SourceUnavailable):
        await fetch()
    await fetch()
    await fetch()
    assert waiting.waits == [1.0, 2.0, 1.9]


async def test_a_site_that_is_broken_is_left_alone_and_tried_again_by_one(
    site: MisbehavingSite, fetch: Fetch, clock: FrozenClock
) -> None:
    site.at("/robots.txt", answer("", content_type="text/plain"))
    site.at("/titles/1", *[answer(status=500)] * 6, answer("a page"))
    for _ in range(5):
        with pytest.raises(SourceUnavailable, match="500"):
            await fetch()
    for _ in range(3):
        with pytest.raises(SourceUnavailable, match="left alone") as refused:
            await fetch()
    assert site.asked.count("/titles/1") == 5
    assert refused.value.not_before == clock.now() + timedelta(seconds=30)
    clock.advance(timedelta(seconds=30))
    with pytest.raises(SourceUnavailable, match="500"):
        await fetch()
    clock.advance(timedelta(minutes=1))
    assert (await fetch()).body == b"a page"


@pytest.mark.parametrize(
    "behaviour",
    [
        answer(status=404),
        answer(status=429),
        answer(status=503, headers={"Retry-After": "0"}),
        answer("?", content_type="image/png"),
    ],
)
async def test_a_site_that_answers_isnt_broken_whatever_it_says(
    site: MisbehavingSite, fetch: Fetch, behaviour: Behaviour
) -> None:
    site.at("/titles/1", behaviour)
    for _ in range(8):
        with pytest.raises(TrendingError) as refused:
            await fetch()
        assert "left alone" not in str(refused.value)


# ---------------------------------------------------------------- keys of the user's own

KEY = "s3cret/key=of mine"
SENT: dict[str, Any] = {
    "hidden": {"api_key": KEY},
    "headers": {"Authorization": "Bearer t0ken-of-mine"},
}
FORMS = ("s3cret", "t0ken")


async def test_a_key_goes_to_the_site_and_nowhere_else(site: MisbehavingSite, fetch: Fetch) -> None:
    wire = "/titles?page=2&q=a%20b&api_key=s3cret%2Fkey%3Dof+mine"
    site.at(wire, answer("a page"))
    page = await fetch("/titles?page=2&q=a%20b", **SENT)
    assert site.asked == ["/robots.txt", wire]
    assert [headers.get("authorization") for headers in site.headers] == [
        None,
        "Bearer t0ken-of-mine",
    ]
    assert page.url == site.url("/titles?page=2&q=a%20b")
    assert not any(form in repr(page) for form in FORMS)


@pytest.mark.parametrize(
    "behaviour",
    [
        hang_up,
        stay_silent,
        answer(status=401),
        answer(status=404),
        answer(status=500),
        answer(status=429, headers={"Retry-After": "5"}),
        answer("?", content_type="image/png"),
        answer("no gzip", headers={"Content-Encoding": "gzip"}),
        endless(b"x" * 65536),
        redirect("/titles?page=2&api_key=s3cret%2Fkey%3Dof+mine"),
        redirect("http://elsewhere.example/?api_key=s3cret%2Fkey%3Dof+mine"),
        redirect("/login?then=/titles%3Fapi_key=s3cret%2Fkey%3Dof%20mine"),
        redirect("/t0ken-of-mine/titles"),
    ],
)
async def test_no_error_and_no_log_has_a_key(
    site: MisbehavingSite, make_fetcher: MakeFetcher, behaviour: Behaviour
) -> None:
    site.at("/robots.txt", answer("", content_type="text/plain"))
    site.at("/titles?page=2&api_key=s3cret%2Fkey%3Dof+mine", behaviour)
    fetcher = make_fetcher(page_timeout=timedelta(milliseconds=200))
    request = PageRequest(site.url("/titles?page=2"), **SENT)
    with capture_logs() as logs, pytest.raises(TrendingError) as failed:
        await fetcher.fetch(request, hosts=frozenset({site.host}))
    told = "".join(traceback.format_exception(failed.value)) + repr(logs) + repr(request)
    assert not any(form in told for form in FORMS)


async def test_a_key_that_cant_be_sent_isnt_quoted(fetch: Fetch) -> None:
    headers = {"Authorization": "Bearer t0ken\nof-mine"}
    with pytest.raises(SourceUnavailable, match="control character") as failed:
        await fetch(headers=headers, robots=False)
    assert "t0ken" not in "".join(traceback.format_exception(failed.value))


async def test_a_key_goes_along_on_its_own_host_and_not_to_another(
    site: MisbehavingSite, make_fetcher: MakeFetcher
) -> None:
    async with MisbehavingSite() as other:
        site.at("/titles/1?api_key=s3cret%2Fkey%3Dof+mine", redirect("/titles/2"))
        site.at(
            "/titles/2?api_key=s3cret%2Fkey%3Dof+mine",
            redirect(other.url("/titles/3?api_key=s3cret%2Fkey%3Dof+mine&page=2")),
        )
        other.at("/titles/3?page=2", answer("a page"))
        page = await make_fetcher(allowed=[site.host, other.host]).fetch(
            PageRequest(site.url("/titles/1"), robots=False, **SENT),
            hosts=frozenset({site.host, other.host}),
        )
        assert page.url == other.url("/titles/3?page=2")
        assert len(site.asked) == 2
        assert "authorization" not in other.headers[-1]


# ---------------------------------------------------------------- robots.txt


async def test_a_page_that_robots_txt_denies_is_never_asked_for(
    site: MisbehavingSite, fetch: Fetch
) -> None:
    site.at("/robots.txt", answer("User-agent: *\nDisallow: /titles/\n", content_type="text/plain"))
    with pytest.raises(RobotsDenied):
        await fetch()
    assert site.asked == ["/robots.txt"]


@pytest.mark.parametrize(
    "path", ["/open/../private/1", "/open/%2e%2E/private/1", "/private%2F1", "/%70rivate/1"]
)
async def test_robots_txt_is_asked_about_the_path_that_is_sent(
    site: MisbehavingSite, fetch: Fetch, path: str
) -> None:
    site.at("/robots.txt", answer("User-agent: *\nDisallow: /private", content_type="text/plain"))
    with pytest.raises(RobotsDenied):
        await fetch(path)
    assert site.asked == ["/robots.txt"]


async def test_a_forbidden_robots_txt_allows_everything(
    site: MisbehavingSite, fetch: Fetch
) -> None:
    site.at("/robots.txt", answer(status=403))
    site.at("/titles/1", answer("a page"))
    assert (await fetch()).body == b"a page"


async def test_a_failing_robots_txt_keeps_us_out_for_now(
    site: MisbehavingSite, fetch: Fetch, clock: FrozenClock
) -> None:
    site.at("/robots.txt", answer(status=500), answer(status=404))
    site.at("/titles/1", answer("a page"))
    with pytest.raises(SourceUnavailable):
        await fetch()
    assert site.asked == ["/robots.txt"]
    clock.advance(timedelta(minutes=2))
    assert (await fetch()).body == b"a page"


async def test_robots_txt_is_read_whatever_its_type_and_cut_where_it_is_too_long(
    site: MisbehavingSite, fetch: Fetch
) -> None:
    body = b"User-agent: *\nDisallow: /titles/\n" + b"# long\n" * 200_000
    site.at("/robots.txt", answer(body, content_type="application/octet-stream"))
    with pytest.raises(RobotsDenied):
        await fetch()


async def test_a_robots_txt_that_moved_is_followed(site: MisbehavingSite, fetch: Fetch) -> None:
    site.at("/robots.txt", redirect("/rules"))
    site.at("/rules", answer("User-agent: *\nDisallow: /titles/\n", content_type="text/plain"))
    with pytest.raises(RobotsDenied):
        await fetch()


async def test_a_robots_txt_that_moves_in_circles_allows_everything(
    site: MisbehavingSite, fetch: Fetch
) -> None:
    site.at("/robots.txt", redirect("/robots.txt"))
    site.at("/titles/1", answer("a page"))
    assert (await fetch()).body == b"a page"


# ---------------------------------------------------------------- redirects


async def test_a_redirect_is_followed_and_its_end_told(site: MisbehavingSite, fetch: Fetch) -> None:
    site.at("/titles/1", redirect("../films/alien#cast", status=301))
    site.at("/films/alien", answer("moved"))
    page = await fetch()
    assert (page.url, page.body) == (site.url("/films/alien"), b"moved")


@pytest.mark.parametrize(("redirects", "arrives"), [(5, True), (6, False)])
async def test_five_redirects_are_followed(
    site: MisbehavingSite, fetch: Fetch, redirects: int, arrives: bool
) -> None:
    for number in range(1, redirects + 1):
        site.at(f"/titles/{number}", redirect(f"/titles/{number + 1}"))
    site.at(f"/titles/{redirects + 1}", answer("the end"))
    if arrives:
        assert (await fetch()).body == b"the end"
    else:
        with pytest.raises(TooManyRedirects):
            await fetch()


async def test_a_redirect_to_itself_ends(site: MisbehavingSite, fetch: Fetch) -> None:
    site.at("/titles/1", redirect("/titles/1"))
    with pytest.raises(TooManyRedirects):
        await fetch()
    assert site.asked.count("/titles/1") == 6


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "https://elsewhere.example/",
        "//elsewhere.example/titles/1",
        "file:///etc/passwd",
        "http://[broken",
    ],
)
async def test_a_redirect_away_from_the_source_is_refused(
    site: MisbehavingSite, fetch: Fetch, location: str
) -> None:
    site.at("/titles/1", redirect(location))
    with pytest.raises(HostNotAllowed):
        await fetch()


@pytest.mark.parametrize(
    "host", [METADATA, "2852039166:80", "0xa9fea9fe:80", "[::ffff:a9fe:a9fe]:80", "127.1:80"]
)
async def test_a_redirect_to_a_private_address_is_refused_even_on_a_host_of_the_source(
    site: MisbehavingSite, make_fetcher: MakeFetcher, host: str
) -> None:
    site.at("/titles/1", redirect(f"http://{host}/latest/meta-data/"))
    with pytest.raises(AddressForbidden):
        await make_fetcher().fetch(
            PageRequest(site.url("/titles/1")), hosts=frozenset({site.host, host})
        )


async def test_a_redirect_into_what_robots_txt_denies_is_refused(
    site: MisbehavingSite, fetch: Fetch
) -> None:
    site.at("/robots.txt", answer("User-agent: *\nDisallow: /private\n", content_type="text/plain"))
    site.at("/titles/1", redirect("/private/notes"))
    with pytest.raises(RobotsDenied):
        await fetch()
    assert "/private/notes" not in site.asked


async def test_an_address_that_isnt_the_sources_is_never_resolved(
    make_fetcher: MakeFetcher,
) -> None:
    fetcher = make_fetcher(resolve=known_addresses({}))
    with pytest.raises(HostNotAllowed):
        await fetcher.fetch(
            PageRequest("http://elsewhere.example/"), hosts=frozenset({"films.example:80"})
        )


async def test_a_source_whose_name_leads_to_a_private_address_is_refused(
    make_fetcher: MakeFetcher,
) -> None:
    resolve = known_addresses({"films.example": ["93.184.215.14", "192.168.0.10"]})
    with pytest.raises(AddressForbidden):
        await make_fetcher(resolve=resolve).fetch(
            PageRequest("http://films.example/titles/1"), hosts=frozenset({"films.example:80"})
        )
