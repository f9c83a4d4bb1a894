"""Files as they really are: what becomes of their rows, and of those that can't be used."""

import csv
import gzip
import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trending_cli.import_files import (
    BASICS_COLUMNS,
    CSV_COLUMNS,
    MAX_LINES,
    MAX_RECORD,
    PART_BYTES,
    PART_ROWS,
    RATINGS_COLUMNS,
    SHOWN,
    ImportRefused,
    Lines,
    Report,
    csv_parts,
    imdb_parts,
)

HEADER = ",".join(CSV_COLUMNS)
ALIEN = 's1,Movie,Alien,1979,"Horror Movies, Sci-Fi","In space, no one can hear ""you""."'
DARK = "s2,TV Show,Dark,2017,TV Dramas,A town loses its children."


def lines_of(content: str | bytes, name: str = "titles.csv") -> Lines:
    return Lines(io.BytesIO(content.encode() if isinstance(content, str) else content), name)


def rows_in(parts: Iterator[bytes]) -> list[dict[str, str]]:
    return [row for part in parts for row in csv.DictReader(io.StringIO(part.decode(), newline=""))]


def read(content: str | bytes) -> tuple[list[dict[str, str]], Report]:
    report = Report()
    return rows_in(csv_parts(lines_of(content), report)), report


def ids(content: str | bytes) -> tuple[list[str], dict[str, int]]:
    rows, report = read(content)
    return [row["show_id"] for row in rows], dict(report.broken)


# ---------------------------------------------------------------- CSV


def test_rows_come_out_as_they_went_in() -> None:
    (alien, dark), report = read(f"{HEADER}\n{ALIEN}\n{DARK}\n")
    assert alien["description"] == 'In space, no one can hear "you".'
    assert alien["listed_in"] == "Horror Movies, Sci-Fi"
    assert dark["title"] == "Dark"
    assert (report.rows, report.parts, report.broken.total()) == (2, 1, 0)


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeff{HEADER}\r\n{ALIEN}\r\n\r\n{DARK}",
        gzip.compress(f"{HEADER}\n{ALIEN}\n{DARK}\n".encode()),
        f"{HEADER}\n\n{ALIEN}\n\n\n{DARK}\n\n",
    ],
    ids=["Windows", "gzip", "empty lines"],
)
def test_marks_line_ends_and_gzip_make_no_difference(content: str | bytes) -> None:
    assert ids(content) == (["s1", "s2"], {})


def test_columns_that_we_dont_know_are_kept_and_their_order_is_the_files_own() -> None:
    (row,), _ = read("cast,description,listed_in,release_year,title,type,show_id\na,b,c,d,e,f,g\n")
    assert (row["cast"], row["show_id"]) == ("a", "g")


def test_a_value_may_run_over_lines() -> None:
    (row, dark), report = read(f'{HEADER}\ns1,Movie,Alien,1979,Horror,"In space\nno one"\n{DARK}')
    assert row["description"] == "In space\nno one"
    assert dark["show_id"] == "s2"
    assert not report.broken


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("s9,Movie,No Plot,1979", "ColumnsDiffer"),
        (ALIEN + ",,,", "ColumnsDiffer"),
        ('s9,Movie,"Never closed,1979,Horror,A plot.', "QuoteUnclosed"),
        ('s9,Movie,"Closed" early,1979,Horror,A plot.', "NotCsv"),
        (b"s9,Movie,Am\xe9lie,2001,Comedies,A plot.", "NotUtf8"),
        ("  ,Movie,Nameless,1979,Horror,A plot.", "IdMissing"),
        ("s9,Movie,Endless,1979,Horror," + "x" * MAX_RECORD * 3, "RowTooLong"),
        ("s9,Movie,Torn\rapart,1979,Horror,A plot.", "NotOneRow"),
    ],
)
def test_a_broken_row_is_named_and_its_neighbours_stay(broken: str | bytes, reason: str) -> None:
    row = broken.encode() if isinstance(broken, str) else broken
    content = b"\n".join([HEADER.encode(), ALIEN.encode(), row, DARK.encode(), b""])
    rows, report = read(content)
    assert [row["show_id"] for row in rows] == ["s1", "s2"]
    (example,) = report.examples
    assert str(example).startswith(f"titles.csv, line 3: {reason}: ")
    assert report.broken == {reason: 1}


def test_two_rows_with_stray_quotes_cost_each_other_nothing_else() -> None:
    stray = 's9,Movie,5" floppies,1979,Horror,A plot.'
    many = "\n".join(f"m{n},Movie,Name,1979,Horror,A plot." for n in range(2 * MAX_LINES))
    found, broken = ids(f"{HEADER}\n{stray}\n{ALIEN}\n{stray}\n{many}\n{DARK}\n")
    assert found == ["s1", *(f"m{n}" for n in range(2 * MAX_LINES)), "s2"]
    assert sum(broken.values()) == 2


def test_an_unclosed_quote_at_the_end_of_the_file_is_one_broken_row() -> None:
    assert ids(f'{HEADER}\n{ALIEN}\ns9,"') == (["s1"], {"QuoteUnclosed": 1})


def test_of_many_broken_rows_all_are_counted_and_some_are_named() -> None:
    _, report = read(f"{HEADER}\n{ALIEN}\n" + "x\n" * 500)
    assert report.broken == {"ColumnsDiffer": 500}
    assert len(report.examples) == SHOWN


@pytest.mark.parametrize("content", ["", "\n", "<html>", "tconst\ttitleType\n", "\x00\x01\x02"])
def test_a_file_with_other_columns_is_refused_by_name(content: str) -> None:
    with pytest.raises(ImportRefused, match=r"titles\.csv, line 1.*show_id"):
        read(content)


def test_a_gzip_that_ends_early_is_refused_where_it_ends() -> None:
    packed = gzip.compress(f"{HEADER}\n{ALIEN}\n".encode() + b"x\n" * 2_000)
    with pytest.raises(ImportRefused, match=r"titles\.csv, after line \d+"):
        read(packed[:-20])


def test_parts_are_cut_by_rows_and_by_bytes() -> None:
    report = Report()
    row = "s{},Movie,Name,1979,Horror,{}"
    small = "\n".join(row.format(n, "A plot.") for n in range(PART_ROWS + 1))
    parts = list(csv_parts(lines_of(f"{HEADER}\n{small}\n"), report))
    assert [part.count(b"\n") for part in parts] == [PART_ROWS + 1, 2]
    large = "\n".join(row.format(n, "x" * 100_000) for n in range(25))
    parts = list(csv_parts(lines_of(f"{HEADER}\n{large}\n"), report))
    assert [len(part) > PART_BYTES for part in parts] == [True, True, False]
    assert max(map(len, parts)) < PART_BYTES + MAX_RECORD + 1000


VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)


@given(st.lists(st.lists(VALUES, min_size=5, max_size=5), max_size=20), st.booleans())
def test_whatever_a_proper_csv_holds_is_read_as_it_was_written(
    rows: list[list[str]], windows: bool
) -> None:
    file = io.StringIO(newline="")
    ends = "\r\n" if windows else "\n"
    writer = csv.writer(file, lineterminator=ends, quoting=csv.QUOTE_ALL)
    writer.writerow(CSV_COLUMNS)
    writer.writerows(["id", *row] for row in rows)
    found, report = read(file.getvalue())
    assert [list(row.values()) for row in found] == [["id", *row] for row in rows]
    assert not report.broken


@given(st.binary(max_size=300))
def test_whatever_a_file_holds_the_last_row_is_read_if_it_begins_a_line(noise: bytes) -> None:
    clean = noise.replace(b'"', b"")
    found, _ = ids(HEADER.encode() + b"\n" + clean + b"\n" + DARK.encode() + b"\n")
    assert found[-1] == "s2"


# ---------------------------------------------------------------- IMDb


def basics(*rows: str) -> Lines:
    return lines_of("\n".join(["\t".join(BASICS_COLUMNS), *rows, ""]), "basics.tsv")


def ratings(*rows: str) -> Lines:
    return lines_of("\n".join(["\t".join(RATINGS_COLUMNS), *rows, ""]), "ratings.tsv")


def a_title(tconst: str, kind: str = "movie", *, name: str = 'Say "Cheese', adult: int = 0) -> str:
    return f"{tconst}\t{kind}\t{name}\t{name}\t{adult}\t2026\t\\N\t90\tComedy,Drama"


def test_titles_are_joined_with_their_ratings() -> None:
    report = Report()
    titles = basics(a_title("tt0000001"), a_title("tt0000003", "tvSeries"), a_title("tt0000005"))
    rated = ratings("tt0000001\t7.1\t1234", "tt0000002\t5\t9", "tt0000005\t8.0\t10")
    first, second, third = rows_in(imdb_parts(titles, rated, report))
    assert first["primaryTitle"] == 'Say "Cheese'
    assert (first["averageRating"], first["numVotes"], first["endYear"]) == ("7.1", "1234", "")
    assert (second["titleType"], second["averageRating"]) == ("tvSeries", "")
    assert third["numVotes"] == "10"
    assert report.rows == 3


def test_what_nobody_wants_is_passed_over_and_counted() -> None:
    report = Report()
    titles = basics(
        a_title("tt0000001", "tvEpisode"),
        a_title("tt0000002", adult=1),
        a_title("tt0000003"),
        a_title("tt0000004"),
        a_title("tt0000005"),
    )
    rated = ratings("tt0000003\t7.1\t99", "tt0000004\t7.1\t100")
    (row,) = rows_in(imdb_parts(titles, rated, report, min_votes=100))
    assert row["tconst"] == "tt0000004"
    assert report.passed_over == {
        "neither film nor show": 1,
        "for adults alone": 1,
        "too few votes": 2,
    }


def test_a_broken_line_of_either_file_is_named_and_its_neighbours_stay() -> None:
    report = Report()
    titles = basics(a_title("tt0000001"), "tt0000002\tmovie", "x\t" * 8 + "y", a_title("tt0000003"))
    rated = ratings("tt0000001\t7.1\t99", "tt0000002", "tt0000003\t7.2\t98")
    rows = rows_in(imdb_parts(titles, rated, report))
    assert [row["numVotes"] for row in rows] == ["99", "98"]
    assert sorted(str(row) for row in report.examples) == [
        "basics.tsv, line 3: ColumnsDiffer: 2 values under 9 columns",
        "basics.tsv, line 4: IdMissing: 'x' is no tconst",
        "ratings.tsv, line 3: ColumnsDiffer: 1 values under 3 columns",
    ]


@pytest.mark.parametrize("which", ["basics", "ratings"])
def test_a_file_that_isnt_sorted_is_refused_where_it_shows(which: str) -> None:
    titles = [a_title("tt0000001"), a_title("tt0000002")]
    rated = ["tt0000001\t7.1\t99", "tt0000002\t7.2\t98"]
    (titles if which == "basics" else rated).reverse()
    with pytest.raises(ImportRefused, match=rf"{which}\.tsv, line 3: tt0000001 follows tt0000002"):
        rows_in(imdb_parts(basics(*titles), ratings(*rated), Report()))


def test_files_that_were_mixed_up_are_refused() -> None:
    with pytest.raises(ImportRefused, match=r"basics\.tsv, line 1.*numVotes"):
        rows_in(imdb_parts(ratings(), basics(), Report()))
