"""TVmaze on loopback: an index in pages by number, changes, schedules, a limit of requests."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from trending_scraper.testing import Behaviour, Crawl, MisbehavingSite, answer
from trending_shared.events import (
    FactsScraped,
    PageUnchanged,
    ScrapeJob,
    SignalScraped,
    TitleScraped,
)

PAGE = 250  # numbers, not shows: those that were deleted leave gaps


def a_show(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"Show {number}",
        "type": "Scripted",
        "language": "English",
        "genres": ["Drama"],
        "premiered": "2020-01-01",
        "rating": {"average": 7.5},
        "weight": number % 101,
        "network": {"name": "One", "country": {"name": "Canada", "code": "CA"}},
        "webChannel": None,
        "externals": {"tvrage": None, "thetvdb": None, "imdb": f"tt{9900000 + number}"},
        "summary": f"<p>The story of the number {number}.</p>",
    } | changes


def as_json(value: Any, **changes: Any) -> Behaviour:
    return answer(json.dumps(value), content_type="application/json; charset=UTF-8", **changes)


class Tvmaze:
    """Answers as https://www.tvmaze.com/api says."""

    def __init__(self, *shows: dict[str, Any]) -> None:
        self.shows = {show["id"]: show for show in shows}
        self.changed: dict[str, int] = {}
        self.on_air: dict[str, list[int]] = {}

    def __call__(self, target: str, headers: Mapping[str, str]) -> Behaviour:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        match parts.path.strip("/").split("/"):
            case ["shows"]:
                page = int(query.get("page", 0))
                found = [show for number, show in self.shows.items() if number // PAGE == page]
                return as_json(found) if found else as_json({"status": 404}, status=404)
            case ["shows", number] if int(number) in self.shows:
                show = self.shows[int(number)]
                tag = f'"{hash(json.dumps(show))}"'
                if headers.get("if-none-match") == tag:
                    return answer(status=304, content_type=None, headers={"ETag": tag})
                return as_json(show, headers={"ETag": tag})
            case ["updates", "shows"]:
                return as_json(self.changed)
            case ["schedule"]:
                shows = [self.shows[number] for number in self.on_air.get(query["date"], [])]
                return as_json([{"id": 9, "season": 1, "show": show} for show in shows])
            case ["schedule", "web"]:
                shows = [self.shows[number] for number in self.on_air.get(query["date"], [])]
                return as_json([{"id": 9, "_embedded": {"show": show}} for show in shows])
        return as_json({"status": 404}, status=404)


async def test_the_index_is_read_page_by_page_until_there_is_none(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    site.otherwise = Tvmaze(*(a_show(number) for number in range(1, 700, 3)))
    tvmaze = crawl("tvmaze")
    await tvmaze.do("/shows?page=0")
    assert site.asked == [f"/shows?page={page}" for page in range(4)]
    assert tvmaze.refused == [(site.url("/shows?page=3"), "PageGone")]
    titles = tvmaze.told(TitleScraped)
    assert [title.source_id for title in titles] == [str(number) for number in range(1, 700, 3)]
    assert {title.license for title in titles} == {"CC-BY-SA-4.0"}
    assert titles[0].title.external_ids == {"tvmaze": "1", "imdb": "tt9900001"}


async def test_the_index_is_read_no_further_than_the_job_says(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    site.otherwise = Tvmaze(*(a_show(number) for number in range(1, 700, 3)))
    await crawl("tvmaze").do("/shows?page=0", max_pages=2)
    assert site.asked == ["/shows?page=0", "/shows?page=1"]


async def test_what_changed_is_asked_for_at_the_pace_that_the_catalogue_says(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    site.otherwise = tvmaze_site = Tvmaze(a_show(5), a_show(7, summary=None))
    tvmaze_site.changed = {"5": 1704794065, "7": 1704794122, "8": 1704794123}
    tvmaze = crawl("tvmaze")
    await tvmaze.do("/updates/shows?since=day")
    assert site.asked == ["/updates/shows?since=day", "/shows/5", "/shows/7", "/shows/8"]
    assert tvmaze.waits == [0.5, 0.5, 0.5]
    assert [job.page for job in tvmaze.told(ScrapeJob)] == ["detail"] * 3
    assert [title.title.name for title in tvmaze.told(TitleScraped)] == ["Show 5"]
    assert [facts.title.name for facts in tvmaze.told(FactsScraped)] == ["Show 7"]
    assert tvmaze.refused == [(site.url("/shows/8"), "PageGone")]


async def test_a_broken_show_or_field_is_left_out_and_its_neighbours_stay(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    odd = a_show(
        2, genres="Drama", rating=[], network="One", externals=7, premiered=None, weight=-1
    )
    shows = [a_show(1), None, "a show", {"id": "x", "name": "X"}, a_show(2**70), odd, a_show(3)]
    site.at("/shows?page=0", as_json(shows))
    tvmaze = crawl("tvmaze")
    await tvmaze.do("/shows?page=0")
    assert [title.source_id for title in tvmaze.told(TitleScraped)] == ["1", "2", "3"]
    assert tvmaze.told(TitleScraped)[1].title.model_dump(exclude_defaults=True) == {
        "name": "Show 2",
        "kind": "show",
        "genres": ("Drama", "Scripted"),
        "plot": "<p>The story of the number 2.</p>",
        "language": "English",
        "external_ids": {"tvmaze": "2"},
    }


async def test_too_many_requests_are_waited_out(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    site.otherwise = Tvmaze(a_show(5))
    site.at(
        "/shows/5",
        as_json({"status": 429}, status=429, headers={"Retry-After": "7"}),
        as_json(a_show(5)),
    )
    tvmaze = crawl("tvmaze")
    await tvmaze.do("/shows/5", page="detail")
    assert len(tvmaze.told(TitleScraped)) == 1
    assert sum(tvmaze.waits) == 7


async def test_a_show_that_hasnt_changed_isnt_told_again(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    site.otherwise = tvmaze_site = Tvmaze(a_show(5))
    tvmaze = crawl("tvmaze")
    await tvmaze.do("/shows/5", page="detail")
    await tvmaze.do("/shows/5", page="detail")
    assert (len(tvmaze.told(TitleScraped)), len(tvmaze.told(PageUnchanged))) == (1, 1)
    tvmaze_site.shows[5] = a_show(5, weight=100)
    await tvmaze.do("/shows/5", page="detail")
    assert len(tvmaze.told(TitleScraped)) == 2


async def test_a_schedule_tells_its_shows_and_how_much_they_are_looked_at(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    site.otherwise = tvmaze_site = Tvmaze(a_show(5), a_show(99))
    tvmaze_site.on_air = {"2026-11-01": [5, 99, 5]}
    tvmaze = crawl("tvmaze")
    for path in ("/schedule?country=US&date=2026-11-01", "/schedule/web?date=2026-11-01"):
        await tvmaze.do(path)
    assert [title.source_id for title in tvmaze.told(TitleScraped)] == ["5", "99"] * 2
    signals = tvmaze.told(SignalScraped)
    assert [(one.source_id, one.metric, one.counts[0].count) for one in signals] == [
        ("5", "weight", 5),
        ("99", "weight", 99),
    ] * 2
    assert {one.counts[0].day.isoformat() for one in signals} == {"2026-11-01"}


async def test_a_day_without_shows_is_no_error(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    site.otherwise = Tvmaze()
    tvmaze = crawl("tvmaze")
    await tvmaze.do("/schedule?country=US&date=2026-11-01")
    assert tvmaze.refused == []
    assert tvmaze.told(TitleScraped) == []
