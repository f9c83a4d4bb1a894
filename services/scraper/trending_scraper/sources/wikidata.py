"""Wikidata: which ids of others mean the same title, and its kind, year, countries and length.

An item comes alone, as `Special:EntityData/Q….json`, or with others as the answer to a query. What
is queried for stands in the fragment of a job's address:

    /sparql#films/2026-11              films that came out somewhere that month
    /sparql#shows/2026-11              shows that began that month
    /sparql#imdb/tt0078748,tt5753856   items with one of these ids; likewise #tvmaze and #thetvdb

Only classes that are written down here count as film or show, so a query and an item agree.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trending_scraper.external_ids import external_ids
from trending_scraper.json_api import object_of, understood
from trending_scraper.linked_data import Node, each, first, part, text
from trending_scraper.sources.base import (
    JSON,
    Extracted,
    FetchedPage,
    FoundTitle,
    NotATitle,
    PageRequest,
    PageUnparsable,
    Source,
)
from trending_shared.events import RawTitle, ScrapeJob

SPARQL_RESULTS = JSON | {"application/sparql-results+json"}

ITEM = re.compile(r"/wiki/Special:EntityData/Q[1-9][0-9]{0,9}\.json")
MONTH = re.compile(r"/sparql#(?P<kind>films|shows)/(?P<year>[0-9]{4})-(?P<month>0[1-9]|1[0-2])")
IDS = re.compile(
    r"/sparql#(?P<scheme>imdb|tvmaze|thetvdb)/(?P<ids>[a-z0-9]{1,12}(?:,[a-z0-9]{1,12}){0,49})"
)
ADDRESSES = (ITEM, MONTH, IDS)

FILMS = {
    "Q11424": "film",
    "Q24869": "feature film",
    "Q24862": "short film",
    "Q506240": "television film",
    "Q93204": "documentary film",
    "Q202866": "animated film",
    "Q29168811": "animated feature film",
    "Q17517379": "animated short film",
    "Q20650540": "anime film",
    "Q226730": "silent film",
}
SHOWS = {
    "Q5398426": "television series",
    "Q1259759": "miniseries",
    "Q526877": "web series",
    "Q581714": "animated series",
    "Q117467246": "animated television series",
    "Q63952888": "anime television series",
    "Q15416": "television program",
}
KINDS = {"film": FILMS, "show": SHOWS}
PROPERTIES = {
    "imdb": "P345",
    "tmdb_film": "P4947",
    "tmdb_show": "P4983",
    "tvmaze": "P8600",
    "thetvdb": "P4835",
}
FIRST_SHOWN = {"films": "P577", "shows": "P580"}
UNITS = {"Q11574": 1, "Q7727": 60, "Q25235": 3600}  # seconds, minutes, hours, in seconds
NUMBER = re.compile(r"Q[1-9][0-9]{0,9}")
ENTITY = re.compile(r"http://www\.wikidata\.org/entity/(Q[1-9][0-9]{0,9})")
YEAR = re.compile(r"\+?([0-9]{4})-")
AMOUNT = re.compile(r"\+?([0-9]{1,5})(?:\.|$)")

QUERY = """
SELECT ?item
  (GROUP_CONCAT(DISTINCT STR(?class); separator="|") AS ?classes)
  (GROUP_CONCAT(DISTINCT STR(?land); separator="|") AS ?countries)
  (MIN(?label) AS ?name) (MIN(?day) AS ?began) (MIN(?length) AS ?seconds)
  (MIN(?imdb_id) AS ?imdb) (MIN(?tmdb_film_id) AS ?tmdb_film) (MIN(?tmdb_show_id) AS ?tmdb_show)
  (MIN(?tvmaze_id) AS ?tvmaze) (MIN(?thetvdb_id) AS ?thetvdb) (MIN(?article) AS ?wikipedia)
WHERE {
  <which>
  VALUES ?class { <classes> }
  ?item wdt:P31 ?class .
  <ids>
  OPTIONAL {
    ?item rdfs:label ?labelled FILTER(LANG(?labelled) IN ("en", "mul"))
    BIND(STR(?labelled) AS ?label)
  }
  OPTIONAL { ?item wdt:P577|wdt:P580 ?day }
  OPTIONAL { ?item wdt:P495/rdfs:label ?land FILTER(LANG(?land) = "en") }
  OPTIONAL { ?item p:P2047/psn:P2047/wikibase:quantityAmount ?length }
  OPTIONAL {
    ?page schema:about ?item ; schema:isPartOf <https://en.wikipedia.org/> ; schema:name ?titled
    BIND(STR(?titled) AS ?article)
  }
}
GROUP BY ?item
"""


@dataclass(frozen=True)
class Wikidata(Source):
    """Asked without a key."""

    def plan(self, job: ScrapeJob) -> PageRequest:
        match = understood(job, *ADDRESSES)
        if match.re is ITEM:
            return self.request(job.url, content_types=JSON, conditional=True)
        # The query goes the way of keys, beside the address: records name the page they are from,
        # and a kilobyte of SPARQL on each would say no more than the job's address does.
        asked = {"query": query(match), "format": "json"}
        return self.request(job.url, content_types=SPARQL_RESULTS, hidden=asked)

    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        answer = object_of(page)
        if understood(job, *ADDRESSES).re is ITEM:
            return Extracted(facts=(of_item(answer, page),))
        if not isinstance(rows := part(answer, "results").get("bindings"), list):
            raise PageUnparsable(f"{page.url} is no answer to a query")
        found = {title.source_id: title for row in each(rows) for title in of_row(row)}
        return Extracted(facts=tuple(found.values()))


# ---------------------------------------------------------------- asking


def query(asked: re.Match[str]) -> str:
    """The SPARQL for what a job's address asks."""
    if asked.re is IDS:
        ids = " ".join(f'"{one}"' for one in asked["ids"].split(","))
        scheme = asked["scheme"]
        which = f"VALUES ?{scheme}_id {{ {ids} }} ?item wdt:{PROPERTIES[scheme]} ?{scheme}_id ."
        classes = FILMS | SHOWS
    else:
        year, month = int(asked["year"]), int(asked["month"])
        which = (
            f"?item wdt:{FIRST_SHOWN[asked['kind']]} ?shown . hint:Prior hint:rangeSafe true .\n"
            f"  FILTER({_first_of(year, month)} <= ?shown"
            f" && ?shown < {_first_of(year + month // 12, month % 12 + 1)})"
        )
        classes = FILMS if asked["kind"] == "films" else SHOWS
    ids = "\n  ".join(
        f"OPTIONAL {{ ?item wdt:{number} ?{name}_id }}" for name, number in PROPERTIES.items()
    )
    parts = {
        "<which>": which,
        "<classes>": " ".join(f"wd:{name}" for name in classes),
        "<ids>": ids,
    }
    return re.sub("<which>|<classes>|<ids>", lambda found: parts[found[0]], QUERY)


def _first_of(year: int, month: int) -> str:
    return f'"{year:04}-{month:02}-01T00:00:00Z"^^xsd:dateTime'


# ---------------------------------------------------------------- reading


def of_row(row: Node) -> Iterator[FoundTitle]:
    """The title of an answer's row, unless the row doesn't say which."""
    said = {name: first(part(row, name), "value") for name in row}
    if match := ENTITY.fullmatch(said.get("item") or ""):
        yield found_title(
            match[1],
            said,
            classes=ENTITY.findall(said.get("classes") or ""),
            days=[said.get("began") or ""],
            lengths=[(said.get("seconds") or "", 1)],
            countries=sorted(filter(None, (said.get("countries") or "").split("|"))),
        )


def of_item(answer: Node, page: FetchedPage) -> FoundTitle:
    """The title that an item is.

    Raises:
        PageUnparsable: there is no item.
        NotATitle: it is something else.
    """
    item = next(each(list(part(answer, "entities").values())), {})
    id = first(item, "id") or ""
    if not NUMBER.fullmatch(id):
        raise PageUnparsable(f"{page.url} shows no item")
    claims = part(item, "claims")
    classes = [text(value.get("id")) or "" for value in each(values(claims, "P31"))]
    if not {*FILMS, *SHOWS}.intersection(classes):
        raise NotATitle(f"{page.url} is of no class of films or shows")
    labels = part(item, "labels")
    said = {name: text(values(claims, number)) for name, number in PROPERTIES.items()}
    said["name"] = first(part(labels, "en"), "value") or first(part(labels, "mul"), "value")
    said["wikipedia"] = first(part(part(item, "sitelinks"), "enwiki"), "title")
    days = each(values(claims, "P577") + values(claims, "P580"))
    return found_title(
        id,
        said,
        classes=classes,
        days=[first(value, "time") or "" for value in days],
        lengths=[
            (first(value, "amount") or "", UNITS[unit[1]])
            for value in each(values(claims, "P2047"))
            if (unit := ENTITY.fullmatch(first(value, "unit") or "")) and unit[1] in UNITS
        ],
    )


def found_title(
    id: str,
    said: Mapping[str, str | None],
    *,
    classes: Iterable[str],
    days: Iterable[str],
    lengths: Iterable[tuple[str, int]],
    countries: Iterable[str] = (),
) -> FoundTitle:
    """What is known of an item: `lengths` with the seconds of their unit, `days` in any order."""
    kinds = {kind for name in classes for kind, known in KINDS.items() if name in known}
    kind = kinds.pop() if len(kinds) == 1 else None  # some are a film in parts
    tmdb = {"film": ("movie", said.get("tmdb_film")), "show": ("tv", said.get("tmdb_show"))}
    medium, tmdb_number = tmdb[kind] if kind else ("", None)
    article = said.get("wikipedia")
    years = [match[1] for day in days if (match := YEAR.match(day))]
    seconds = [int(match[1]) * unit for amount, unit in lengths if (match := AMOUNT.match(amount))]
    return FoundTitle(
        source_id=id,
        title=RawTitle(
            name=said.get("name"),
            kind=kind,
            year=min(years, default=None),
            countries=tuple(countries),
            runtime=f"PT{min(seconds)}S" if seconds else None,
            external_ids=external_ids(
                {
                    "wikidata": id,
                    "imdb": said.get("imdb"),
                    "tmdb": tmdb_number and f"{medium}/{tmdb_number}",
                    "tvmaze": said.get("tvmaze"),
                    "thetvdb": said.get("thetvdb"),
                    "wikipedia": article and f"en:{article.replace(' ', '_')}",
                }
            ),
        ),
    )


def values(claims: Node, name: str) -> list[Any]:
    """What a property's best statements say; one that is known to be wrong is none of them."""
    statements = list(each(claims.get(name)))
    best = [one for one in statements if one.get("rank") == "preferred"]
    best = best or [one for one in statements if one.get("rank") == "normal"]
    return [part(part(one, "mainsnak"), "datavalue").get("value") for one in best]
