"""What every adapter promises, held against answers in the shape that its source documents.

`fixtures/<source>/cases.yaml` lists answers (written by hand: no source's own texts), the jobs they
answer, and what is to be read from them: `titles` and `facts` by id, `reviews` by their title's id,
`signals`, `follow`, `next_url`, or the name of an `error`. A source joins by adding its folder;
`options.yaml` stands for what an operator writes into the entry of a site of his own.
"""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from trending_scraper.adapters import ADAPTERS
from trending_scraper.addresses import authority
from trending_scraper.authors import Authors
from trending_scraper.fetches import Fetches
from trending_scraper.metrics import ScraperMetrics
from trending_scraper.quotas import Quotas
from trending_scraper.raw_pages import RawPages
from trending_scraper.scraping import Scraper
from trending_scraper.sources.base import (
    Extracted,
    FetchedPage,
    FoundTitle,
    JobNotUnderstood,
    Source,
)
from trending_scraper.testing import FETCHED_AT, CannedFetcher, a_source
from trending_shared.clock import FrozenClock
from trending_shared.erasures import Erasures
from trending_shared.errors import Rejected
from trending_shared.events import EVENTS, ScrapeJob
from trending_shared.messages import Message
from trending_shared.sources import read_catalogue
from trending_shared.storage import ObjectStore
from trending_shared.testing import delivered

FIXTURES = Path(__file__).parent / "fixtures"
CATALOGUE = read_catalogue()
SOURCES = sorted(folder.name for folder in FIXTURES.iterdir())
KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
ELSEWHERE = "https://films.example"  # where sources are that say no address
FOUND = {"titles", "facts", "reviews", "signals", "follow", "next_url"}


@dataclass(frozen=True)
class Case:
    """An answer of a source, the job it answers, and what is to be found in it."""

    name: str
    source: Source
    job: ScrapeJob
    body: bytes
    expected: dict[str, Any]
    error: str | None

    @property
    def fetched(self) -> FetchedPage:
        return FetchedPage(self.source.plan(self.job).url, self.body, "utf-8", FETCHED_AT)

    async def events(self, body: bytes | None = None) -> list[Message[Any]]:
        """What the scraper publishes when the source answers so."""
        store = ObjectStore.at("memory:///")
        scraper = Scraper(
            sources=[self.source],
            fetcher=CannedFetcher(
                {self.source.plan(self.job).url: self.body if body is None else body}
            ),
            raw_pages=RawPages(store),
            fetches=Fetches(store),
            erasures=Erasures(store),
            quotas=Quotas(store, clock=FrozenClock(FETCHED_AT)),
            authors=Authors(b"a key of this test"),
            metrics=ScraperMetrics(CollectorRegistry()),
        )
        return await scraper.on_scrape_job(delivered(self.job))


def source_of(name: str) -> Source:
    entry, options = CATALOGUE[name], FIXTURES / name / "options.yaml"
    own = {"options": yaml.safe_load(options.read_text())} if options.exists() else {}
    return a_source(name, entry.base or ELSEWHERE, key=KEY, hosts=entry.hosts, **own)


def read_cases(name: str) -> Iterator[Case]:
    folder, source = FIXTURES / name, source_of(name)
    for written in yaml.safe_load((folder / "cases.yaml").read_text()):
        url = urljoin(source.entry.base or ELSEWHERE, written.pop("url"))
        body = written.pop("body")
        yield Case(
            name=f"{name}/{body}",
            source=source,
            job=ScrapeJob(source=name, url=url, page=written.pop("page", "list")),
            body=(folder / body).read_bytes(),
            error=written.pop("error", None),
            expected=written,
        )


CASES = {case.name: case for name in SOURCES for case in read_cases(name)}
READABLE = {name: case for name, case in CASES.items() if case.error is None}
with_every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
with_every_readable_case = pytest.mark.parametrize("case", READABLE.values(), ids=READABLE)


def told(found: Extracted, base: str) -> dict[str, Any]:
    """What was found, as `cases.yaml` writes it."""
    said: dict[str, Any] = {
        "titles": {title.source_id: fields(title) for title in found.titles},
        "facts": {title.source_id: fields(title) for title in found.facts},
        "reviews": {
            title.source_id: [
                one.review.model_dump(mode="json", exclude_defaults=True)
                | ({"author": one.author} if one.author else {})
                for one in title.reviews
            ]
            for title in (*found.titles, *found.facts)
            if title.reviews
        },
        "signals": [
            {
                "source_id": signal.source_id,
                "metric": signal.metric,
                "external_ids": dict(signal.external_ids),
                "counts": {one.day: one.count for one in signal.counts},
            }
            for signal in found.signals
        ],
        "follow": [one.url.removeprefix(base) for one in found.follow],
        "next_url": found.next_url and found.next_url.removeprefix(base),
    }
    return {name: value for name, value in said.items() if value}


def fields(title: FoundTitle) -> dict[str, Any]:
    said: dict[str, Any] = title.title.model_dump(mode="json", exclude_defaults=True)
    return said


# ---------------------------------------------------------------- what is found


@with_every_case
def test_an_answer_leads_to_what_it_says(case: Case) -> None:
    assert case.expected.keys() <= FOUND
    if case.error:
        with pytest.raises(Rejected) as raised:
            case.source.extract(case.job, case.fetched)
        assert raised.value.reason == case.error
    else:
        found = case.source.extract(case.job, case.fetched)
        assert told(found, case.source.entry.base or ELSEWHERE) == case.expected


@with_every_readable_case
async def test_every_event_survives_its_way_and_names_its_licence(case: Case) -> None:
    messages = await case.events()
    known = {event.topic: event for event in EVENTS}
    for message in messages:
        assert known[message.event.topic].model_validate_json(message.body()) == message.event
        assert getattr(message.event, "license", case.source.license) == case.source.entry.license
    found = case.source.extract(case.job, case.fetched)
    assert len({message.id for message in messages}) == len(messages) >= found.records


@pytest.mark.parametrize("name", SOURCES)
def test_what_the_catalogue_promises_of_a_source_occurs(name: str) -> None:
    occurring: set[str] = set()
    for case in READABLE.values():
        if case.source.name == name:
            found = case.source.extract(case.job, case.fetched)
            occurring |= {"signals"} if found.signals else set()
            for title in (*found.titles, *found.facts):
                occurring |= fields(title).keys() | ({"reviews"} if title.reviews else set())
            for signal in found.signals:
                occurring |= {"external_ids"} if signal.external_ids else set()
    assert set(CATALOGUE[name].fields) <= occurring


# ---------------------------------------------------------------- what is asked for


@with_every_case
async def test_no_key_is_in_an_event_or_an_address(case: Case) -> None:
    assert KEY not in case.source.plan(case.job).url
    if case.error is None:
        assert not any(KEY.encode() in message.body() for message in await case.events())


@with_every_readable_case
def test_what_an_answer_leads_to_is_at_its_source_and_understood(case: Case) -> None:
    found = case.source.extract(case.job, case.fetched)
    following = [(one.url, one.page) for one in found.follow]
    following += [(found.next_url, case.job.page)] if found.next_url else []
    for url, page in following:
        request = case.source.plan(ScrapeJob(source=case.source.name, url=url, page=page))
        assert authority(url) in case.source.hosts
        assert authority(request.url) in case.source.hosts


@pytest.mark.parametrize("name", SOURCES)
def test_scheduled_jobs_are_understood(name: str) -> None:
    source = source_of(name)
    for schedule in source.entry.schedule.values():
        url = schedule.url_on(date(2026, 11, 25))
        request = source.plan(ScrapeJob(source=name, url=url, page=schedule.page))
        assert authority(request.url) in source.hosts


APIS = [name for name in SOURCES if CATALOGUE[name].robots.decision == "api"]


@pytest.mark.parametrize("path", ["", "/", "/no/such/page", "/?query=anything", "http://["])
@pytest.mark.parametrize("name", APIS)
def test_an_address_of_another_form_isnt_understood(name: str, path: str) -> None:
    source = source_of(name)
    url = path if "[" in path else source.entry.base + path
    with pytest.raises(JobNotUnderstood):
        source.plan(ScrapeJob(source=name, url=url))


@with_every_case
def test_documented_apis_are_asked_under_their_terms_and_other_sites_as_robots_txt_says(
    case: Case,
) -> None:
    request = case.source.plan(case.job)
    assert request.robots == (case.source.entry.robots.decision == "obey")
    assert request.delay == case.source.entry.delay


# ---------------------------------------------------------------- answers in other shapes

DEEP: Any = []
for _ in range(60):
    DEEP = [DEEP]
ODD: list[Any] = [
    *(None, True, False, 0, -1, 7, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf")),
    *("", " ", "?", "\x00", "\ud800", "٣", "http://[", "2026-13-45", "x" * 5000, "-" * 300),
    *([], {}, [[]], [None], {"id": None}, {"name": {"name": {}}}, {"": ""}, DEEP),
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each part of a JSON value as the object or list it is in, and its name or number there."""
    within = value.items() if isinstance(value, dict) else enumerate(value)
    for name, part in list(within):
        yield value, name
        if isinstance(part, dict | list):
            yield from places(part)


@st.composite
def changed(draw: st.DrawFn, body: bytes) -> bytes:
    """An answer with some parts dropped, replaced, renamed, or of another type."""
    try:
        value = json.loads(body)
    except ValueError:
        return draw(cut(body))
    for _ in range(draw(st.integers(1, 4))):
        found = list(places(value))
        if not found:
            break
        within, name = draw(st.sampled_from(found))
        match draw(st.sampled_from(["drop", "replace", "wrap", "move"])):
            case "drop":
                del within[name]
            case "replace":
                within[name] = deepcopy(draw(st.sampled_from(ODD)))
            case "wrap":
                within[name] = draw(st.sampled_from([[within[name]], {"name": within[name]}]))
            case "move":
                other, other_name = draw(st.sampled_from(found))
                within[name] = deepcopy(other[other_name])
    return json.dumps(value).encode()


@st.composite
def cut(draw: st.DrawFn, body: bytes) -> bytes:
    """An answer of which a part is missing, or that has something else in its place."""
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(body))] * 2)))
    return body[:start] + draw(st.binary(max_size=40)) + body[end:]


@with_every_case
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
async def test_an_odd_answer_leads_to_events_or_is_rejected(
    case: Case, data: st.DataObject
) -> None:
    body = data.draw(changed(case.body) | cut(case.body) | st.sampled_from([b"null", b"[]", b"{}"]))
    try:
        for message in await case.events(body):
            message.body()
    except Rejected:
        pass


@pytest.mark.parametrize("body", [b"<html>busy</html>", b"[" * 100_000, b"\xff\xfe\xff", b"NaN"])
@pytest.mark.parametrize("name", APIS)
def test_what_isnt_an_answer_at_all_is_unparsable(name: str, body: bytes) -> None:
    case = next(case for case in CASES.values() if case.source.name == name)
    page = FetchedPage(case.job.url, body, None, FETCHED_AT)
    with pytest.raises(Rejected) as raised:
        case.source.extract(case.job, page)
    assert raised.value.reason == "PageUnparsable"


def test_there_is_an_answer_of_every_source() -> None:
    assert {CATALOGUE[name].adapter for name in SOURCES} <= ADAPTERS.keys()
