"""Reading files that are imported: row by row, however large they are, and into parts.

A row that can't be used is named and passed over; its neighbours never suffer for it.
"""

import csv
import gzip
import io
import re
import zlib
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from trending_shared.errors import Rejected

MAX_RECORD = 128 * 1024  # bytes; as JSON an event of it fits into one of Kafka's records
MAX_LINES = 100  # that a quoted value may run over; after an unclosed quote no more are read again
PART_ROWS = 500
PART_BYTES = 1024 * 1024
SHOWN = 20  # broken rows that are told one by one
NULL = "\\N"
GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
TCONST = re.compile(r"tt[0-9]{7,10}")

CSV_COLUMNS = ("show_id", "type", "title", "release_year", "listed_in", "description")
BASICS_COLUMNS = (
    *("tconst", "titleType", "primaryTitle", "originalTitle"),
    *("isAdult", "startYear", "endYear", "runtimeMinutes", "genres"),
)
RATINGS_COLUMNS = ("tconst", "averageRating", "numVotes")
FILMS_AND_SHOWS = frozenset({"movie", "tvMovie", "short", "tvSeries", "tvMiniSeries"})

Values = list[str]


class ImportRefused(Rejected):
    """A file can't be imported; the message says which, and where in it the reason lies."""


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that can't be used."""

    file: str
    line: int
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}: {self.detail}"


@dataclass
class Report:
    """What became of the rows of an import."""

    rows: int = 0
    parts: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    examples: list[BrokenRow] = field(default_factory=list)

    def found_broken(self, row: BrokenRow) -> None:
        self.broken[row.reason] += 1
        if len(self.examples) < SHOWN:
            self.examples.append(row)


class Lines:
    """The lines of a file, gzip'd or not, with their numbers; some may be given back.

    `read` says how many bytes of the file itself have been read.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self.name = name
        packed = file.read(2) == GZIP
        file.seek(0)
        self._stream: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=file) if packed else file
        self._given_back: deque[tuple[int, bytes]] = deque()
        self._number = 0

    @property
    def read(self) -> int:
        return self._file.tell()

    def next(self) -> tuple[int, bytes] | None:
        """The number and the bytes of the next line; of a longer one only `MAX_RECORD` + 1 bytes.

        Raises:
            ImportRefused: the file can't be read on.
        """
        if self._given_back:
            return self._given_back.popleft()
        try:
            line = piece = self._stream.readline(MAX_RECORD + 1)
            while len(piece) > MAX_RECORD and not piece.endswith(b"\n"):
                piece = self._stream.readline(MAX_RECORD + 1)  # the rest of a line without end
        except (EOFError, OSError, zlib.error) as error:
            raise ImportRefused(
                f"{self.name}, after line {self._number}: it can't be read on: {error}"
            ) from error
        if not line:
            return None
        self._number += 1
        return self._number, line.removeprefix(BOM) if self._number == 1 else line

    def give_back(self, lines: Iterable[tuple[int, bytes]]) -> None:
        self._given_back.extendleft(reversed(list(lines)))


# ---------------------------------------------------------------- rows


def csv_rows(lines: Lines) -> Iterator[tuple[int, Values] | BrokenRow]:
    """The records of a CSV file (RFC 4180, UTF-8), the header first.

    A quote that is never closed costs the line it stands in, not all that follow.
    """
    width = 0
    while taken := _take_record(lines):
        number, text = taken[0][0], b"".join(line for _, line in taken)
        found = _read_record(text)
        if isinstance(found, list):
            if not found:
                continue
            width = width or len(found)
            if len(found) == width:
                yield number, found
                continue
            found = ("ColumnsDiffer", f"{len(found)} values under {width} columns")
        lines.give_back(taken[1:])
        yield BrokenRow(lines.name, number, *found)


def _take_record(lines: Lines) -> list[tuple[int, bytes]]:
    """The lines of the next record: as many as it takes for its quotes to be even in number."""
    taken: list[tuple[int, bytes]] = []
    size = quotes = 0
    while line := lines.next():
        taken.append(line)
        size += len(line[1])
        quotes += line[1].count(b'"')
        if quotes % 2 == 0 or size > MAX_RECORD or len(taken) == MAX_LINES:
            break
    return taken


def _read_record(text: bytes) -> Values | tuple[str, str]:
    """The values of a record, or why there are none."""
    if len(text) > MAX_RECORD:
        return "RowTooLong", f"more than {MAX_RECORD} bytes"
    if text.count(b'"') % 2:
        return "QuoteUnclosed", "a quote is opened and never closed"
    try:
        records = list(csv.reader(io.StringIO(text.decode(), newline=""), strict=True))
    except UnicodeDecodeError as error:
        return "NotUtf8", f"byte {error.start + 1} isn't UTF-8"
    except csv.Error as error:
        return "NotCsv", str(error)
    if len(records) > 1:
        return "NotOneRow", "a quote or a line end stands where none may"
    return records[0] if records else []


def tsv_rows(lines: Lines) -> Iterator[tuple[int, Values] | BrokenRow]:
    """The lines of a TSV file without quoting, as IMDb writes them, the header first."""
    width = 0
    while line := lines.next():
        number, text = line
        if len(text) > MAX_RECORD:
            yield BrokenRow(lines.name, number, "RowTooLong", f"more than {MAX_RECORD} bytes")
            continue
        try:
            values = text.decode().rstrip("\r\n").split("\t")
        except UnicodeDecodeError as error:
            yield BrokenRow(lines.name, number, "NotUtf8", f"byte {error.start + 1} isn't UTF-8")
            continue
        width = width or len(values)
        if len(values) != width:
            detail = f"{len(values)} values under {width} columns"
            yield BrokenRow(lines.name, number, "ColumnsDiffer", detail)
            continue
        yield number, values


def table(
    rows: Iterator[tuple[int, Values] | BrokenRow], name: str, columns: Collection[str]
) -> tuple[Values, Iterator[tuple[int, Values] | BrokenRow]]:
    """The header of a file, and the rows below it.

    Raises:
        ImportRefused: the header lacks one of these columns.
    """
    first = next(rows, None)
    header = first[1] if isinstance(first, tuple) else []
    if missing := [column for column in columns if column not in header]:
        raise ImportRefused(f"{name}, line 1: the header lacks {', '.join(missing)}")
    return header, rows


# ---------------------------------------------------------------- parts


def parts(header: Values, rows: Iterable[Values], report: Report) -> Iterator[bytes]:
    """Rows as CSV documents of `PART_ROWS` rows or `PART_BYTES` bytes, each with the header."""
    held = io.StringIO(newline="")
    writer = csv.writer(held, lineterminator="\r\n")  # so that it quotes either of the two
    count = 0
    for row in rows:
        if not count:
            writer.writerow(header)
        writer.writerow(row)
        count += 1
        report.rows += 1
        if count == PART_ROWS or held.tell() >= PART_BYTES:
            report.parts += 1
            yield held.getvalue().encode()
            held.seek(0)
            held.truncate()
            count = 0
    if count:
        report.parts += 1
        yield held.getvalue().encode()


def csv_parts(lines: Lines, report: Report) -> Iterator[bytes]:
    """The parts of a file in the columns of Kaggle's netflix_titles.csv.

    Raises:
        ImportRefused: a column is missing, or the file can't be read on.
    """
    header, rows = table(csv_rows(lines), lines.name, CSV_COLUMNS)
    id = header.index("show_id")

    def usable() -> Iterator[Values]:
        for row in rows:
            if isinstance(row, BrokenRow):
                report.found_broken(row)
            elif not row[1][id].strip():
                report.found_broken(BrokenRow(lines.name, row[0], "IdMissing", "no show_id"))
            else:
                yield row[1]

    yield from parts(header, usable(), report)


def imdb_parts(
    basics: Lines, ratings: Lines, report: Report, *, min_votes: int = 0
) -> Iterator[bytes]:
    """The parts of IMDb's title.basics, its films and shows joined with their title.ratings.

    Both files are read once, side by side, because both are sorted by `tconst`.

    Raises:
        ImportRefused: one isn't sorted, a column is missing, or it can't be read on.
    """
    titles = _by_tconst(basics, BASICS_COLUMNS, report)
    rated = _by_tconst(ratings, RATINGS_COLUMNS, report)

    def joined() -> Iterator[Values]:
        rating = next(rated, None)
        for tconst, title in titles:
            while rating and rating[0] < tconst:
                rating = next(rated, None)
            own = rating[1] if rating and rating[0] == tconst else {}
            if title["titleType"] not in FILMS_AND_SHOWS:
                report.passed_over["neither film nor show"] += 1
            elif title["isAdult"] == "1":
                report.passed_over["for adults alone"] += 1
            elif min_votes and _whole(own.get("numVotes", "")) < min_votes:
                report.passed_over["too few votes"] += 1
            else:
                yield [*title.values(), *(own.get(name, "") for name in RATINGS_COLUMNS[1:])]
        for _ in rated:
            pass  # a rating that comes too late shows that its title went without

    yield from parts([*BASICS_COLUMNS, *RATINGS_COLUMNS[1:]], joined(), report)


def _by_tconst(
    lines: Lines, columns: Collection[str], report: Report
) -> Iterator[tuple[str, Mapping[str, str]]]:
    header, rows = table(tsv_rows(lines), lines.name, columns)
    places = {column: header.index(column) for column in columns}
    last = ""
    for row in rows:
        if isinstance(row, BrokenRow):
            report.found_broken(row)
            continue
        number, values = row
        found = {column: values[place] for column, place in places.items()}
        tconst = found["tconst"]
        if not TCONST.fullmatch(tconst):
            detail = f"{tconst[:20]!a} is no tconst"
            report.found_broken(BrokenRow(lines.name, number, "IdMissing", detail))
            continue
        if tconst <= last:
            raise ImportRefused(
                f"{lines.name}, line {number}: {tconst} follows {last}; it must be sorted by tconst"
            )
        last = tconst
        yield tconst, {name: "" if value == NULL else value for name, value in found.items()}


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
