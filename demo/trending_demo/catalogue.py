"""What the site shows: our own catalogue of films and shows, or the rows of a CSV."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

Kind = Literal["film", "show"]
Genre = Literal[
    "Action & Adventure",
    "Anime",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Faith & Spirituality",
    "Horror",
    "Kids & Family",
    "Music & Musicals",
    "Reality",
    "Romance",
    "Sci-Fi & Fantasy",
    "Sports",
    "Stand-Up & Talk",
    "Thriller & Mystery",
]
Year = Annotated[int, Field(ge=1870, le=2100)]
Text = Annotated[str, Field(min_length=1)]

# One field of a CSV record by RFC 4180, up to the comma or line end behind it.
FIELD = re.compile(r'(?:"(?:[^"]|"")*+"|(?!")[^,\r\n]*+)(?=,|[\r\n]|\Z)')


class CatalogueInvalid(ValueError):
    """A catalogue can't be shown; the message says in which file, where in it, and why."""


class Review(BaseModel):
    """A viewer's opinion; `rating` is on a scale of 1 to 10."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    author: Text
    days_ago: Annotated[int, Field(ge=0, le=120)]
    rating: Annotated[int, Field(ge=1, le=10)]
    text: Text


@dataclass(frozen=True)
class Title:
    """A film or a show; `runtime_minutes` of a show is that of a typical episode."""

    id: str
    name: str
    kind: Kind
    year: int
    genres: tuple[str, ...]
    plot: str
    countries: tuple[str, ...] = ()
    language: str | None = None
    runtime_minutes: int | None = None
    seasons: int | None = None
    age_rating: str | None = None
    reviews: tuple[Review, ...] = ()

    @property
    def rating(self) -> float | None:
        """The mean of its reviews, to one decimal."""
        if not self.reviews:
            return None
        return round(sum(review.rating for review in self.reviews) / len(self.reviews), 1)


@dataclass(frozen=True)
class Catalogue:
    """Titles with unique ids.

    `snapshot_at` is the time at which a file that never changes was written: its pages have no
    views. It is None for our own catalogue, whose pages change every day.
    """

    titles: tuple[Title, ...]
    snapshot_at: datetime | None = None

    @cached_property
    def by_id(self) -> dict[str, Title]:
        return {title.id: title for title in self.titles}

    @cached_property
    def by_genre(self) -> dict[str, tuple[Title, ...]]:
        """The titles of each genre in alphabetical order."""
        found: dict[str, list[Title]] = {}
        for title in self.titles:
            for genre in title.genres:
                found.setdefault(genre, []).append(title)
        return {genre: tuple(found[genre]) for genre in sorted(found)}

    def with_more(self, other: "Catalogue") -> "Catalogue":
        """This one and, in front, what has come since.

        Raises:
            CatalogueInvalid: a title is in both.
        """
        if twice := sorted(self.by_id.keys() & other.by_id.keys()):
            raise CatalogueInvalid(f"{twice[0]} is in the catalogue already")
        return Catalogue((*other.titles, *self.titles), self.snapshot_at)


# ---------------------------------------------------------------- our own catalogue


class Entry(BaseModel):
    """A title as our own files have it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    name: Text
    kind: Kind
    year: Year
    genres: Annotated[tuple[Genre, ...], Field(min_length=1, max_length=3)]
    countries: Annotated[tuple[Text, ...], Field(min_length=1)]
    language: Text
    runtime_minutes: Annotated[int, Field(gt=0)]
    seasons: Annotated[int, Field(gt=0)] | None = None
    plot: Text
    reviews: Annotated[tuple[Review, ...], Field(min_length=2, max_length=4)]

    def as_title(self) -> Title:
        return Title(
            id=self.slug,
            name=self.name,
            kind=self.kind,
            year=self.year,
            genres=self.genres,
            plot=self.plot,
            countries=self.countries,
            language=self.language,
            runtime_minutes=self.runtime_minutes,
            seasons=self.seasons,
            reviews=tuple(sorted(self.reviews, key=lambda review: review.days_ago)),
        )


ENTRIES = TypeAdapter(list[Entry])


def demo_catalogue(folder: Traversable | None = None) -> Catalogue:
    """Read our own catalogue, newest titles first.

    Raises:
        CatalogueInvalid: an entry isn't of the form above, or two have the same slug.
    """
    folder = folder or resources.files("trending_demo") / "catalogue"
    found: dict[str, Title] = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".json"):
            continue
        try:
            entries = ENTRIES.validate_json(file.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = " ".join(str(part) for part in first["loc"])
            raise CatalogueInvalid(f"{file}: entry {where}: {first['msg']}") from error
        for entry in entries:
            if entry.slug in found:
                raise CatalogueInvalid(f"{file}: {entry.slug} is in the catalogue already")
            found[entry.slug] = entry.as_title()
    return Catalogue(tuple(sorted(found.values(), key=lambda title: (-title.year, title.name))))


# ---------------------------------------------------------------- a CSV


class Row(BaseModel):
    """The columns we show of a row; others, such as the names of cast and crew, are passed over."""

    model_config = ConfigDict(frozen=True)

    show_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    type: Literal["Movie", "TV Show"]
    title: Text
    country: str
    release_year: Year
    rating: str
    duration: Annotated[str, Field(pattern=r"^([0-9]+ (min|Seasons?))?$")]
    listed_in: str
    description: str

    def as_title(self) -> Title:
        number, _, unit = self.duration.partition(" ")
        return Title(
            id=self.show_id,
            name=self.title,
            kind="film" if self.type == "Movie" else "show",
            year=self.release_year,
            genres=split(self.listed_in),
            plot=self.description,
            countries=split(self.country),
            runtime_minutes=int(number) if unit == "min" else None,
            seasons=int(number) if unit.startswith("Season") else None,
            age_rating=self.rating or None,
        )


def split(values: str) -> tuple[str, ...]:
    """The parts of a comma-separated value, without the empty ones that stray commas leave."""
    return tuple(part.strip() for part in values.split(",") if part.strip())


def csv_catalogue(path: Path) -> Catalogue:
    """Read a CSV (UTF-8, header row) with the columns of `Row`: one title a row.

    Values are taken as they are, the strange ones too.

    Raises:
        CatalogueInvalid: a row can't be read; the message names file, line and column.
        OSError: the file can't be opened.
    """
    found: dict[str, Title] = {}
    line = 1
    for line, values in csv_records(path):
        try:
            row = Row.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise invalid(path, line, str(first["loc"][0]), first["msg"]) from error
        if row.show_id in found:
            raise invalid(path, line, "show_id", f"{row.show_id} has a row already")
        found[row.show_id] = row.as_title()
    if not found:
        raise invalid(path, line + 1, "show_id", "there are no titles")
    snapshot_at = datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
    return Catalogue(tuple(found.values()), snapshot_at)


def csv_records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The first line of each record below the header, and its values by column.

    Empty lines are passed over. Bytes that aren't UTF-8 become surrogates, which `Row` refuses with
    the name of their column.
    """
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            broken = broken_field("".join(lines[line - 1 : reader.line_num]))
            raise invalid(path, line, column_name(header, broken), str(error)) from error
        if header is None:
            header = values or []
            for column in Row.model_fields:
                if column not in header:
                    raise invalid(path, line, column, "the header lacks this column")
        elif values is None:
            return
        elif values:
            if len(values) != len(header):
                column = column_name(header, min(len(values), len(header)))
                problem = f"the row has {len(values)} columns, the header {len(header)}"
                raise invalid(path, line, column, problem)
            yield line, dict(zip(header, values, strict=True))


def broken_field(record: str) -> int:
    """Which field of a malformed record, from 0, isn't as RFC 4180 has it."""
    position = index = 0
    while field := FIELD.match(record, position):
        position = field.end() + 1
        index += 1
    return index


def column_name(header: list[str] | None, index: int) -> str:
    return header[index] if header and index < len(header) else f"number {index + 1}"


def invalid(path: Path, line: int, column: str, problem: str) -> CatalogueInvalid:
    return CatalogueInvalid(f"{path}, line {line}, column {column}: {problem}")
