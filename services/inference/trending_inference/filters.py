"""What narrows a list of titles: as parameters of a request, and as conditions of SQL."""

import json
import re
from datetime import date
from typing import Annotated, Literal

import sqlalchemy as sa
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from trending_shared.catalog import identities, title_predictions, titles
from trending_shared.events import Kind, Verdict
from trending_shared.genres import GENRES

# PostgreSQL holds no NUL, and no name has one.
Plain = Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00]*$")]
TitleId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[!-~]+$")]


def _written_out(day: object) -> object:
    if isinstance(day, str) and not _DAY.fullmatch(day):  # a number would be one of seconds
        raise ValueError("a day is written as in 2026-11-01")
    return day


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
Day = Annotated[date, BeforeValidator(_written_out)]
Year = Annotated[int, Field(ge=0, le=9999)]
MAX_HIDDEN = 200
MAX_OFFSET = 10_000

# Said to be one that another source described first. As long as that one isn't here, this one is.
_first = titles.alias()
SPEAKS_FOR_ITSELF = ~(
    sa.exists()
    .where(identities.c.title_id == titles.c.title_id)
    .where(identities.c.merged_id != titles.c.title_id)
    .where(_first.c.title_id == identities.c.merged_id)
)


class TitleFilters(BaseModel):
    """Which titles are wanted; what isn't given narrows nothing."""

    model_config = ConfigDict(frozen=True)

    kind: Kind | None = None
    genre: Plain | None = Field(
        default=None,
        description="its page says so, or the model in service does; see `min_probability`",
        examples=["Horror"],
    )
    min_probability: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="the model in service gives `genre` at least this; pages don't count then",
        examples=[0.6],
    )
    language: Plain | None = Field(
        default=None,
        description="a BCP 47 tag in any case; `pt` has `pt-BR` in it",
        examples=["en"],
    )
    country: Plain | None = Field(
        default=None,
        description="one of its countries, by its English name in any case",
        examples=["South Korea"],
    )
    year_from: Year | None = Field(default=None, examples=[1970])
    year_to: Year | None = Field(default=None, examples=[1989])
    hide: tuple[TitleId, ...] = Field(
        default=(),
        max_length=MAX_HIDDEN,
        description="ids of titles to leave out, whichever source's; may be repeated",
    )

    @model_validator(mode="after")
    def _probability_is_of_a_genre(self) -> "TitleFilters":
        if self.min_probability is not None and self.genre is None:
            raise ValueError("min_probability needs a genre")
        return self


class TrendingFilters(TitleFilters):
    """Which of a day's titles are wanted."""

    day: Day | None = Field(
        default=None,
        description="a day (UTC) in the past; the newest one that has trends, if not given",
        examples=["2026-11-01"],
    )
    age: Literal["new", "old"] | None = Field(
        default=None,
        description="new: of the day's year or the one before; old: of an earlier one",
    )
    verdict: Verdict | None = Field(
        default=None, description="rising: surely more than its own past lets expect"
    )
    min_score: Annotated[float, Field(ge=-100, le=100)] | None = Field(
        default=None, description="0 leaves out what falls", examples=[0]
    )


class Paged(BaseModel):
    """Which part of a list."""

    limit: int = Field(default=20, ge=1, le=100)
    offset: int = Field(default=0, ge=0, le=MAX_OFFSET)


class TrendingQuery(TrendingFilters, Paged):
    """A page of a day's titles; a misspelt parameter is told, not ignored."""

    model_config = ConfigDict(extra="forbid")


class FacetsQuery(TrendingFilters):
    """What there is to narrow a day's titles by."""

    model_config = ConfigDict(extra="forbid")


class HistoryQuery(BaseModel):
    """Which days of a title's history."""

    model_config = ConfigDict(extra="forbid")

    since: Day | None = Field(
        default=None,
        description="the first day (UTC); 90 days up to the last one, if not given",
        examples=["2026-10-01"],
    )
    until: Day | None = Field(
        default=None, description="the last day; the newest that has trends, if not given"
    )

    @model_validator(mode="after")
    def _days_are_in_order(self) -> "HistoryQuery":
        if self.since and self.until and self.since > self.until:
            raise ValueError("since is after until")
        return self


class TitlesQuery(TitleFilters, Paged):
    """A page of titles by name."""

    model_config = ConfigDict(extra="forbid")

    query: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")] = Field(
        default="",
        description="a part of the name, in any case, with accents or without",
        examples=["alien"],
    )


def told_by(version: str | None) -> sa.ColumnElement[bool]:
    """Joins titles with what a model said of their present texts; nothing, without a model."""
    return sa.and_(
        title_predictions.c.title_id == titles.c.title_id,
        title_predictions.c.model_version == (version or ""),
        title_predictions.c.text_hash == titles.c.text_hash,
    )


def conditions(filters: TitleFilters, day: date | None = None) -> list[sa.ColumnElement[bool]]:
    """What rows of `titles`, joined as `told_by` says, must be; a title of two sources is one.

    Args:
        day: by which a title is new or old.
    """
    wanted: list[sa.ColumnElement[bool]] = [SPEAKS_FOR_ITSELF]
    year = titles.c.year
    if filters.kind:
        wanted.append(titles.c.kind == filters.kind)
    if filters.genre is not None:
        wanted.append(_of_genre(filters.genre, filters.min_probability))
    if filters.language is not None:
        tag, stored = filters.language.lower(), sa.func.lower(titles.c.language)
        wanted.append((stored == tag) | stored.startswith(f"{tag}-", autoescape=True))
    if filters.country is not None:
        countries = sa.func.lower(sa.cast(titles.c.countries, sa.Text))
        wanted.append(countries.contains(json.dumps(filters.country.lower()), autoescape=True))
    if filters.year_from is not None:
        wanted.append(year >= filters.year_from)
    if filters.year_to is not None:
        wanted.append(year <= filters.year_to)
    if filters.hide:
        same = sa.select(identities.c.merged_id).where(identities.c.title_id.in_(filters.hide))
        wanted.append(titles.c.title_id.not_in(filters.hide))
        wanted.append(titles.c.title_id.not_in(same))
    if isinstance(filters, TrendingFilters) and filters.age and day:
        new = day.year - 1
        wanted.append(year >= new if filters.age == "new" else year < new)
    return wanted


def _of_genre(genre: str, least: float | None) -> sa.ColumnElement[bool]:
    if least is None:
        # A list's JSON text holds each genre in quotes; both dialects can look for that.
        quoted = json.dumps(genre)
        return sa.or_(
            *(
                sa.cast(table.c.genres, sa.Text).contains(quoted, autoescape=True)
                for table in (titles, title_predictions)
            )
        )
    if genre not in GENRES:  # no model knows it, and not every name can stand in a JSON path
        return sa.false()
    probability: sa.ColumnElement[float] = title_predictions.c.probabilities[genre].as_float()
    return probability >= least
