"""The source catalogue: which sources there are, under which terms, and how they may be asked.

It is data (`sources.yaml` beside this module, or the file that SOURCES_FILE names), read by the
scraper, whose adapters do the asking, and by everyone who has to say where a record comes from.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Literal
from uuid import uuid5

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from trending_shared.errors import SettingInvalid
from trending_shared.events import ScrapeJob
from trending_shared.messages import NAMESPACE, Message, first_message

NAME = r"^[a-z][a-z0-9_]{0,31}$"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS_BACK = {"day": 0, "yesterday": 1, "two_days_ago": 2}
DATE_FORM = re.compile(r"(%[Ymd]|[-/._])*")


class Part(BaseModel):
    """A part of the catalogue; a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Key(Part):
    """A key of the user's own, without which a source can't be asked."""

    variable: str = Field(pattern=r"^SCRAPER_[A-Z0-9_]+$", description="the setting that holds it")
    where: str = Field(description="where to get one")


class Robots(Part):
    """Whether a site's robots.txt decides what may be fetched, and why."""

    decision: Literal["obey", "api"] = Field(
        description="obey: as for any crawler; api: the terms of a documented API decide instead"
    )
    reason: str


class Schedule(Part):
    """A job that is published once a period."""

    every: timedelta = Field(ge=timedelta(minutes=1), le=timedelta(days=366))
    url: str = Field(
        description="where to begin; {day}, {yesterday} and {two_days_ago} stand for UTC dates, "
        "counted from the beginning of the period: 2026-11-25, or 2026/11/25 by {day:%Y/%m/%d}"
    )
    page: Literal["list", "detail"] = "list"
    max_pages: int = Field(default=1000, ge=1, le=100_000)

    @field_validator("url")
    @classmethod
    def _has_only_dates_to_fill_in(cls, url: str) -> str:
        for _, name, form, conversion in Formatter().parse(url):
            if name is None:
                continue
            if name not in DAYS_BACK or conversion or not DATE_FORM.fullmatch(form or ""):
                raise ValueError(f"{name!r} is no date to fill in: {', '.join(DAYS_BACK)}")
        return url

    def url_on(self, day: date) -> str:
        """Where to begin in a period that begins on a day."""
        return self.url.format_map(
            {name: day - timedelta(days=back) for name, back in DAYS_BACK.items()}
        )

    def begins(self, now: datetime) -> datetime:
        """When the period began that `now` lies in, in UTC.

        Periods are counted from the first day of 1970, so everyone finds the same.
        """
        return EPOCH + (now - EPOCH) // self.every * self.every

    def job(self, source: str, now: datetime) -> ScrapeJob:
        """The job of the period that `now` lies in."""
        return ScrapeJob(
            source=source,
            url=self.url_on(self.begins(now).date()),
            page=self.page,
            max_pages=self.max_pages,
        )


def job_of_period(
    source: str, name: str, schedule: Schedule, moment: datetime
) -> Message[ScrapeJob]:
    """The job of the period that a moment lies in.

    Its id says which period of which schedule it is, so whoever publishes it publishes the same.
    """
    begins = schedule.begins(moment)
    id = uuid5(NAMESPACE, f"{source}/{name}:{begins.isoformat()}")
    return first_message(schedule.job(source, begins), id=id)


class SourceEntry(Part):
    """What is known of one source."""

    title: str
    home: str = Field(description="the page that describes it to people")
    gives: str = Field(description="what it is asked for, in a sentence")
    adapter: str = Field(pattern=NAME, description="the scraper's module that knows its answers")
    base: str = Field(default="", description="where its addresses begin; empty: told by a setting")
    hosts: frozenset[str] = Field(
        default=frozenset(), description="further hosts that it may send us to, as host:port"
    )
    license: str = Field(description="SPDX expression for the terms of its records")
    attribution: str = Field(default="", description="what must stand where its records are shown")
    terms: str = Field(description="where the terms are")
    training: Literal["allowed", "ask", "forbidden"] = Field(
        description="whether models may learn from its texts; ask: with written permission"
    )
    commercial: bool = Field(description="whether its records may be used commercially")
    robots: Robots
    delay: timedelta = Field(ge=timedelta(), description="the least time between two requests")
    daily_limit: int | None = Field(default=None, description="requests a day, if it has a limit")
    key: Key | None = None
    consent: str | None = Field(
        default=None,
        pattern=r"^SCRAPER_[A-Z0-9_]+$",
        description="the setting by which a user accepts terms that not everyone can accept",
    )
    fields: tuple[str, ...] = Field(description="what its records hold, by our names")
    refresh: str = Field(description="how often it changes, in words")
    max_records: int = Field(default=1000, ge=1, description="from one page, at most")
    schedule: Mapping[str, Schedule] = {}
    options: Mapping[str, str] = Field(
        default={}, description="what its adapter wants to know besides"
    )


class Catalogue(Part):
    """All sources by name."""

    sources: Mapping[str, SourceEntry]


def read_catalogue(path: Path | None = None) -> Mapping[str, SourceEntry]:
    """The sources of a file, or of the catalogue that comes with this package.

    Raises:
        SettingInvalid: the file can't be read or isn't a catalogue; says where.
    """
    try:
        text = path.read_text() if path else _own()
        return Catalogue.model_validate({"sources": yaml.safe_load(text)}).sources
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingInvalid(f"SOURCES_FILE: {path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        raise SettingInvalid(
            f"SOURCES_FILE: {path or 'sources.yaml'}: {where}: {first['msg']}"
        ) from error


def _own() -> str:
    return (files("trending_shared") / "sources.yaml").read_text()
