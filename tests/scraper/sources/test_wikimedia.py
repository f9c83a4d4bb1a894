"""Wikimedia on loopback: the views of articles, by day."""

import json
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any
from urllib.parse import unquote

from trending_scraper.testing import Behaviour, Crawl, MisbehavingSite, answer
from trending_shared.events import SignalScraped

PAGEVIEWS = "/api/rest_v1/metrics/pageviews"
DARK = "Dark_(TV_series)"


class Wikimedia:
    """Answers as https://wikimedia.org/api/rest_v1/ says."""

    def __init__(self, views: Mapping[tuple[str, date], int]) -> None:
        self.views = views

    def __call__(self, target: str, headers: Mapping[str, str]) -> Behaviour:
        match target.removeprefix(PAGEVIEWS).strip("/").split("/"):
            case ["top", project, "all-access", year, month, day]:
                asked = date(int(year), int(month), int(day))
                listed = sorted(
                    ((views, article) for (article, on), views in self.views.items() if on == asked)
                )
                articles = [
                    {"article": article, "views": views, "rank": rank}
                    for rank, (views, article) in enumerate(reversed(listed), 1)
                ]
                items = [{"project": project, "access": "all-access", "articles": articles}]
                return self._answer(items if articles else [])
            case ["per-article", project, "all-access", "user", article, "daily", start, end]:
                return self._answer(
                    [
                        {"project": project, "article": name, "timestamp": f"{on:%Y%m%d}00"}
                        | {"granularity": "daily", "access": "all-access", "views": views}
                        for (name, on), views in self.views.items()
                        if name == unquote(article) and start <= f"{on:%Y%m%d}" <= end
                    ]
                )
        return self._answer([])

    def _answer(self, items: list[Any]) -> Behaviour:
        if items:
            return answer(json.dumps({"items": items}), content_type="application/json")
        problem = json.dumps({"title": "Not found.", "detail": "no data loaded yet"})
        return answer(problem, status=404, content_type="application/problem+json")


async def test_the_days_of_an_article_are_one_signal(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    first = date(2026, 10, 1)
    days = [first + timedelta(days=n) for n in range(31)]
    site.otherwise = Wikimedia({(DARK, day): 1000 + n for n, day in enumerate(days)})
    wikimedia = crawl("wikimedia")
    await wikimedia.do(
        f"{PAGEVIEWS}/per-article/en.wikipedia/all-access/user/Dark_%28TV_series%29"
        "/daily/20261001/20261028"
    )
    (signal,) = wikimedia.told(SignalScraped)
    assert (signal.metric, signal.external_ids) == ("pageviews", {"wikipedia": f"en:{DARK}"})
    assert signal.license == "CC0-1.0"
    counted = [(one.day, one.count) for one in signal.counts]
    assert counted == [(day, 1000 + n) for n, day in enumerate(days[:28])]


async def test_a_days_most_read_articles_are_told_by_one_request(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    day = date(2026, 10, 30)
    site.otherwise = Wikimedia({(f"Article_{n}", day): 10_000 + n for n in range(1000)})
    wikimedia = crawl("wikimedia")
    await wikimedia.do(f"{PAGEVIEWS}/top/en.wikipedia/all-access/2026/10/30")
    signals = wikimedia.told(SignalScraped)
    assert len(signals) == 1000
    assert signals[0].external_ids == {"wikipedia": "en:Article_999"}
    assert {one.counts[0].day for one in signals} == {day}
    assert len(site.asked) == 1


async def test_a_day_that_isnt_counted_yet_is_gone_for_this_job(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    site.otherwise = Wikimedia({})
    wikimedia = crawl("wikimedia")
    await wikimedia.do(path := f"{PAGEVIEWS}/top/en.wikipedia/all-access/2026/10/31")
    assert wikimedia.refused == [(site.url(path), "PageGone")]
