"""Wikidata on loopback: items, and a query service that really evaluates what it is asked."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rdflib import RDFS, XSD, Graph, Literal, Namespace, URIRef

from trending_scraper.sources.wikidata import PROPERTIES
from trending_scraper.testing import Behaviour, Crawl, MisbehavingSite, answer
from trending_shared.events import FactsScraped

WD = Namespace("http://www.wikidata.org/entity/")
WDT = Namespace("http://www.wikidata.org/prop/direct/")
P = Namespace("http://www.wikidata.org/prop/")
PSN = Namespace("http://www.wikidata.org/prop/statement/value-normalized/")
WIKIBASE = Namespace("http://wikiba.se/ontology#")
SCHEMA = Namespace("http://schema.org/")
HINT = Namespace("http://www.bigdata.com/queryHints#")
# What its query service knows without being told.
PREFIXES = {
    **{"wd": WD, "wdt": WDT, "p": P, "psn": PSN, "wikibase": WIKIBASE, "schema": SCHEMA},
    **{"hint": HINT, "rdfs": RDFS, "xsd": XSD},
}
UNITED_KINGDOM, FRANCE = WD.Q145, WD.Q142


class Wikidata:
    """Answers as https://query.wikidata.org says; other pages aren't there."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.queries: list[str] = []
        self.graph.add((HINT.Prior, HINT.rangeSafe, Literal(True)))
        for country, name in ((UNITED_KINGDOM, "United Kingdom"), (FRANCE, "France")):
            self.graph.add((country, RDFS.label, Literal(name, "en")))

    def add(self, item: str, kind: str, *, shown: str | None = None, **ids: str) -> URIRef:
        thing = WD[item]
        self.graph.add((thing, WDT.P31, WD[kind]))
        for name, value in ids.items():
            self.graph.add((thing, WDT[PROPERTIES[name]], Literal(value)))
        if shown:
            when = WDT.P577 if kind == "Q11424" else WDT.P580
            self.graph.add((thing, when, Literal(f"{shown}T00:00:00Z", datatype=XSD.dateTime)))
        return thing

    def __call__(self, target: str, headers: Mapping[str, str]) -> Behaviour:
        parts = urlsplit(target)
        asked = parse_qs(parts.query)
        if parts.path != "/sparql" or asked.get("format") != ["json"]:
            return answer("no such page", status=404)
        (query,) = asked["query"]
        self.queries.append(query)
        found = self.graph.query(query, initNs=PREFIXES).serialize(format="json")
        assert found is not None
        return answer(found, content_type="application/sparql-results+json;charset=utf-8")


def facts(crawled: Crawl) -> dict[str, dict[str, Any]]:
    return {
        event.source_id: event.title.model_dump(exclude_defaults=True)
        for event in crawled.told(FactsScraped)
    }


async def test_the_films_of_a_month_are_told_with_what_others_call_them(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    site.otherwise = wikidata = Wikidata()
    film = wikidata.add("Q10", "Q11424", shown="2010-11-05", imdb="tt9900010", tmdb_film="99")
    statement, length = URIRef("urn:statement"), URIRef("urn:length")
    article = URIRef("https://en.wikipedia.org/wiki/Lamplight_(2010_film)")
    for subject, name, value in (
        (film, WDT.P31, WD.Q24869),
        (film, WDT.P577, Literal("2011-02-01T00:00:00Z", datatype=XSD.dateTime)),
        (film, RDFS.label, Literal("Lamplight", "en")),
        (film, RDFS.label, Literal("Laternenlicht", "de")),
        (film, WDT.P495, UNITED_KINGDOM),
        (film, WDT.P495, FRANCE),
        (film, P.P2047, statement),
        (statement, PSN.P2047, length),
        (length, WIKIBASE.quantityAmount, Literal("6780", datatype=XSD.decimal)),
        (article, SCHEMA.about, film),
        (article, SCHEMA.isPartOf, URIRef("https://en.wikipedia.org/")),
        (article, SCHEMA.name, Literal("Lamplight (2010 film)", "en")),
    ):
        wikidata.graph.add((subject, name, value))
    wikidata.add("Q11", "Q11424", shown="2010-12-01", imdb="tt9900011")
    wikidata.add("Q12", "Q5398426", shown="2010-11-07", imdb="tt9900012")
    wikidata.add("Q13", "Q482994", shown="2010-11-07")
    crawled = crawl("wikidata")
    await crawled.do("/sparql#films/2010-11")
    assert facts(crawled) == {
        "Q10": {
            "name": "Lamplight",
            "kind": "film",
            "year": "2010",
            "countries": ("France", "United Kingdom"),
            "runtime": "PT6780S",
            "external_ids": {
                "wikidata": "Q10",
                "imdb": "tt9900010",
                "tmdb": "movie/99",
                "wikipedia": "en:Lamplight_(2010_film)",
            },
        }
    }


async def test_a_month_of_december_ends_with_the_year(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    site.otherwise = wikidata = Wikidata()
    wikidata.add("Q10", "Q5398426", shown="2014-12-31", tvmaze="5")
    wikidata.add("Q11", "Q5398426", shown="2015-01-01", tvmaze="6")
    crawled = crawl("wikidata")
    await crawled.do("/sparql#shows/2014-12")
    assert facts(crawled) == {
        "Q10": {
            "kind": "show",
            "year": "2014",
            "external_ids": {"wikidata": "Q10", "tvmaze": "5"},
        }
    }


async def test_items_are_found_by_the_ids_of_others_also_where_they_have_two(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    site.otherwise = wikidata = Wikidata()
    film = wikidata.add("Q10", "Q11424", imdb="tt9900010")
    wikidata.graph.add((film, WDT.P345, Literal("tt9900099")))
    wikidata.add("Q5", "Q5", imdb="nm0000005")
    crawled = crawl("wikidata")
    await crawled.do("/sparql#imdb/tt9900099,tt9900000,nm0000005")
    assert facts(crawled) == {
        "Q10": {"kind": "film", "external_ids": {"wikidata": "Q10", "imdb": "tt9900099"}}
    }


async def test_a_broken_row_or_value_is_left_out_and_its_neighbours_stay(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    film = {"type": "literal", "value": "http://www.wikidata.org/entity/Q11424"}
    rows: list[Any] = [
        {"item": {"value": f"{WD}Q10"}, "classes": film, "seconds": {"value": "1e9"}},
        {"item": {"value": "_:b0"}, "classes": film},
        {"item": {"value": f"{WD}Q11"}, "classes": 7, "began": {"value": "unknown"}},
        *("", None, [], {"item": None}),
        {"item": {"value": f"{WD}Q12"}, "classes": film, "imdb": {"value": "tt12 OR 1=1"}},
    ]
    answered = json.dumps({"results": {"bindings": rows}})
    site.otherwise = lambda target, headers: answer(answered, content_type="application/json")
    crawled = crawl("wikidata")
    await crawled.do("/sparql#shows/2026-11")
    assert facts(crawled) == {
        "Q10": {"kind": "film", "external_ids": {"wikidata": "Q10"}},
        "Q11": {"external_ids": {"wikidata": "Q11"}},
        "Q12": {"kind": "film", "external_ids": {"wikidata": "Q12"}},
    }


async def test_events_name_the_job_rather_than_the_query(
    site: MisbehavingSite, crawl: Callable[[str], Crawl]
) -> None:
    site.otherwise = wikidata = Wikidata()
    wikidata.add("Q10", "Q11424", imdb="tt9900010")
    crawled = crawl("wikidata")
    await crawled.do("/sparql#imdb/tt9900010")
    assert "wdt:P345" in wikidata.queries[0]
    told = json.dumps([event.model_dump(mode="json") for event in crawled.events])
    assert site.url("/sparql#imdb/tt9900010") in told
    assert "wdt:" not in told
