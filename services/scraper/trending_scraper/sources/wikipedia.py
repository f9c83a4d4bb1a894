"""Wikipedia's summaries: the first paragraph of an article, if it is a film's or show's.

What an article is about is what its short description says in front of all details: `2010 film by
…`, `German television series (2017–2020)`. A film's director, festival, soundtrack or sequel list
says something else there. Only English descriptions are understood.
"""

import re
from dataclasses import dataclass

from trending_scraper.external_ids import external_ids
from trending_scraper.json_api import object_of, understood
from trending_scraper.linked_data import first, part
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

SUMMARY = re.compile(r"/api/rest_v1/page/summary/[^/?#]{1,1000}")
DETAILS = re.compile(
    r"[,;:(]|\s(?:about|aired|airing|at|based|broadcast|by|created|directed|featuring|for|from"
    r"|hosted|in|of|on|presented|produced|set|starring|that|which|with|written)\b"
)
FILM = re.compile(r"\b(?:film|movie|animated short)$", re.IGNORECASE)
SHOW = re.compile(
    r"\b(?:(?:television|tv|web|streaming|anime|animated|comedy|documentary|drama|limited|reality)"
    r"[ -]series|mini-?series|docuseries|sitcom|soap opera|telenovela"
    r"|(?:television|tv) (?:drama|program|programme|serial)|(?:game|quiz|reality|talk|television"
    r"|tv|variety) show)$",
    re.IGNORECASE,
)
OTHER_MEDIUM = re.compile(r"\b(?:audio|book|comics?|manga|novel|podcast|radio)\b", re.IGNORECASE)
YEAR = re.compile(r"(?<![0-9])(?:18|19|20)[0-9]{2}(?![0-9])")
IN_BRACKETS = re.compile(r"\(([^()]*)\)$")
WHICH_ONE = re.compile(
    r" \((?:[^()]* )?(?:film|movie|series|miniseries|program|programme|serial|show|sitcom|short"
    r"|telenovela)\)$"
)


@dataclass(frozen=True)
class Wikipedia(Source):
    """Asked without a key, one request after another."""

    def plan(self, job: ScrapeJob) -> PageRequest:
        understood(job, SUMMARY)
        return self.request(job.url, content_types=JSON, conditional=True)

    def extract(self, job: ScrapeJob, page: FetchedPage) -> Extracted:
        summary = object_of(page)
        titles = part(summary, "titles")
        name = first(titles, "normalized") or first(summary, "title")
        language = first(summary, "lang")
        if name is None or language is None:
            raise PageUnparsable(f"{page.url} is no summary of an article")
        description = first(summary, "description") or ""
        kind = kind_of(description)
        if first(summary, "type") != "standard" or kind is None:
            raise NotATitle(f"{page.url} is about {description[:200]!r}")
        article = f"{language}:{(first(titles, 'canonical') or name).replace(' ', '_')}"
        plot = first(summary, "extract")
        found = FoundTitle(
            source_id=article,
            title=RawTitle(
                name=WHICH_ONE.sub("", name),
                kind=kind,
                year=year_of(description),
                plot=plot,
                external_ids=external_ids(
                    {"wikipedia": article, "wikidata": first(summary, "wikibase_item")}
                ),
            ),
        )
        return Extracted(titles=(found,)) if plot else Extracted(facts=(found,))


def kind_of(description: str) -> str | None:
    """Film or show, if a short description says that the article is about one."""
    subject = DETAILS.split(description, maxsplit=1)[0].strip()
    if OTHER_MEDIUM.search(subject):
        return None
    return "film" if FILM.search(subject) else "show" if SHOW.search(subject) else None


def year_of(description: str) -> str | None:
    """The year in front of a description's details, or in the brackets at its end."""
    in_brackets = IN_BRACKETS.search(description)
    for text in (DETAILS.split(description, maxsplit=1)[0], in_brackets[1] if in_brackets else ""):
        if found := YEAR.search(text):
            return found[0]
    return None
