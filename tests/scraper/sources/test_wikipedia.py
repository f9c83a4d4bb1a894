"""Wikipedia's short descriptions, and its summaries on loopback."""

import json
from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote

import pytest

from trending_scraper.sources.wikipedia import WHICH_ONE, kind_of, year_of
from trending_scraper.testing import Behaviour, Crawl, MisbehavingSite, answer, redirect
from trending_shared.events import TitleScraped

SUMMARY = "/api/rest_v1/page/summary/"


@pytest.mark.parametrize(
    ("description", "kind", "year"),
    [
        ("2010 film by Christopher Nolan", "film", "2010"),
        ("1979 science fiction horror film directed by Ridley Scott", "film", "1979"),
        ("Upcoming film", "film", None),
        ("2019 South Korean film", "film", "2019"),
        ("2012 television film set in 1917", "film", "2012"),
        ("Film about the year 1917", "film", None),
        ("American crime drama television series (2008–2013)", "show", "2008"),
        ("German science fiction thriller television series (2017–2020)", "show", "2017"),
        ("British TV sitcom", "show", None),
        ("2022 South Korean television series", "show", "2022"),
        ("Japanese anime television series", "show", None),
        ("2019 American miniseries", "show", "2019"),
        ("Mexican telenovela", "show", None),
        ("American late-night talk show", "show", None),
        ("American film director (born 1970)", None, None),
        ("American film series", None, None),
        ("2010 soundtrack album by Hans Zimmer", None, None),
        ("Fifth season of television series", None, None),
        ("Episode of television series Breaking Bad", None, None),
        ("Character in television series", None, None),
        ("Japanese manga series", None, None),
        ("British radio comedy series", None, None),
        ("1965 novel by Frank Herbert", None, None),
        ("Film festival in France", None, None),
        ("Film genre", None, None),
        ("", None, None),
    ],
)
def test_a_short_description_says_what_an_article_is_about(
    description: str, kind: str | None, year: str | None
) -> None:
    assert kind_of(description) == kind
    if kind:
        assert year_of(description) == year


@pytest.mark.parametrize(
    ("article", "name"),
    [
        ("Dark (TV series)", "Dark"),
        ("It (2017 film)", "It"),
        ("Chernobyl (miniseries)", "Chernobyl"),
        ("(500) Days of Summer", "(500) Days of Summer"),
        ("Birdman or (The Unexpected Virtue of Ignorance)",) * 2,
    ],
)
def test_a_name_is_an_articles_without_what_tells_it_from_others(article: str, name: str) -> None:
    assert WHICH_ONE.sub("", article) == name


class Wikipedia:
    """Answers as https://en.wikipedia.org/api/rest_v1/ says."""

    def __init__(self, descriptions: Mapping[str, str], moved: Mapping[str, str]) -> None:
        self.descriptions = descriptions
        self.moved = moved

    def __call__(self, target: str, headers: Mapping[str, str]) -> Behaviour:
        title = unquote(target.removeprefix(SUMMARY))
        if title in self.moved:
            return redirect(quote(self.moved[title], safe=""))
        if title not in self.descriptions:
            return answer("{}", status=404, content_type="application/problem+json")
        name = title.replace("_", " ")
        summary = {
            "type": "standard",
            "title": name,
            "titles": {"canonical": title, "normalized": name},
            "lang": "en",
            "wikibase_item": "Q1",
            "description": self.descriptions[title],
            "extract": f"{name} is told about here.",
        }
        media_type = (
            'application/json; charset=utf-8; profile="https://www.mediawiki.org/wiki/Specs/'
            'Summary/1.4.2"'
        )
        return answer(json.dumps(summary), content_type=media_type)


async def test_summaries_of_films_and_shows_become_titles_and_others_are_declined(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    site.otherwise = Wikipedia(
        {"Dark_(TV_series)": "German television series (2017–2020)", "Darkness": "Lack of light"},
        moved={"Dark_(Netflix)": "Dark_(TV_series)"},
    )
    wikipedia = crawl("wikipedia")
    for article in ("Dark_(Netflix)", "Darkness", "Dorkness"):
        await wikipedia.do(SUMMARY + quote(article), page="detail")
    (title,) = wikipedia.told(TitleScraped)
    assert title.source_id == "en:Dark_(TV_series)"
    assert title.title.plot == "Dark (TV series) is told about here."
    assert title.license == "CC-BY-SA-4.0"
    assert title.page.url == site.url(f"{SUMMARY}Dark_%28TV_series%29")
    assert wikipedia.refused == [
        (site.url(f"{SUMMARY}Darkness"), "NotATitle"),
        (site.url(f"{SUMMARY}Dorkness"), "PageGone"),
    ]
