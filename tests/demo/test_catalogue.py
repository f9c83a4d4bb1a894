"""Our own catalogue holds what it promises; a CSV is taken as it is, or refused with the place."""

import json
import re
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import pytest

from trending_demo.catalogue import (
    CatalogueInvalid,
    Genre,
    csv_catalogue,
    demo_catalogue,
)

HEADER = (
    "show_id,type,title,director,cast,country,date_added,"
    "release_year,rating,duration,listed_in,description"
)
GOOD = 's1,Movie,Dust,,,France,"June 2, 2021",2019,PG,90 min,"Dramas, Classic Movies",Sand.'


def a_csv(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "titles.csv"
    path.write_text("\n".join((header, *rows, "")), encoding="utf-8")
    return path


def an_entry(**changes: Any) -> dict[str, Any]:
    review = {"author": "grey_heron", "days_ago": 3, "rating": 7, "text": "It holds."}
    entry = {
        "slug": "dust-2019",
        "name": "Dust",
        "kind": "film",
        "year": 2019,
        "genres": ["Drama"],
        "countries": ["France"],
        "language": "French",
        "runtime_minutes": 90,
        "plot": "Sand.",
        "reviews": [review, review | {"author": "slow_kettle"}],
    }
    return entry | changes


def test_our_own_files_hold_fifty_five_titles_each() -> None:
    folder = resources.files("trending_demo") / "catalogue"
    counts = {
        file.name: len(json.loads(file.read_text(encoding="utf-8"))) for file in folder.iterdir()
    }
    assert counts == dict.fromkeys(counts, 55)
    assert len(demo_catalogue().titles) == 55 * len(counts) == 330


def test_no_film_or_show_is_in_our_catalogue_twice() -> None:
    names = Counter(
        (re.sub(r"\W+", "", title.name.lower()), title.kind, title.year)
        for title in demo_catalogue().titles
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_each_of_the_sixteen_genres_has_ten_titles_or_more() -> None:
    by_genre = demo_catalogue().by_genre
    assert set(by_genre) == set(get_args(Genre))
    assert {genre: len(titles) for genre, titles in by_genre.items() if len(titles) < 10} == {}


def test_plots_are_forty_to_eighty_words_long_and_all_different() -> None:
    plots = [title.plot for title in demo_catalogue().titles]
    assert [plot for plot in plots if not 40 <= len(plot.split()) <= 80] == []
    assert len(set(plots)) == len(plots)


def test_shows_have_seasons_and_films_have_none() -> None:
    titles = demo_catalogue().titles
    assert [title.id for title in titles if (title.kind == "show") != bool(title.seasons)] == []


def test_no_viewer_reviews_a_title_twice() -> None:
    for title in demo_catalogue().titles:
        assert len({review.author for review in title.reviews}) == len(title.reviews), title.id


def test_a_slug_in_two_files_is_refused_by_name(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps([an_entry()]))
    with pytest.raises(CatalogueInvalid, match=r"b\.json: dust-2019 is in the catalogue already"):
        demo_catalogue(tmp_path)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"genres": ["Western"]}, "entry 1 genres 0"),
        ({"slug": "Dust 2019"}, "entry 1 slug"),
        ({"reviews": []}, "entry 1 reviews"),
        ({"stars": 5}, "entry 1 stars"),
    ],
)
def test_an_entry_of_another_form_is_refused_with_its_place(
    tmp_path: Path, changes: dict[str, Any], where: str
) -> None:
    (tmp_path / "a.json").write_text(json.dumps([an_entry(), an_entry(slug="x") | changes]))
    with pytest.raises(CatalogueInvalid, match=rf"a\.json: {where}"):
        demo_catalogue(tmp_path)


def test_a_row_becomes_a_title(tmp_path: Path) -> None:
    show = 's2,TV Show,Tide,,,"Japan, Chile",,2020,TV-14,3 Seasons,"TV Dramas, Kids\' TV",Waves.'
    film, tide = csv_catalogue(a_csv(tmp_path, GOOD, show)).titles
    assert (film.id, film.kind, film.year, film.runtime_minutes) == ("s1", "film", 2019, 90)
    assert film.genres == ("Dramas", "Classic Movies")
    assert (tide.kind, tide.seasons, tide.runtime_minutes) == ("show", 3, None)
    assert tide.countries == ("Japan", "Chile")
    assert tide.genres == ("TV Dramas", "Kids' TV")


def test_strange_rows_are_taken_as_they_are(tmp_path: Path) -> None:
    titles = csv_catalogue(
        a_csv(
            tmp_path,
            "s3,Movie,15-Aug,,,,,2019,TV-14,124 min,Dramas,A date once.",
            's4,Movie,Stage,,,", France, ",,2017,74 min,,Movies,"Two\n lines, ""quoted""."',
            "",
            "s5,Movie,Tail\u00a0,,,,,1925,,,Movies,Silent.",
        )
    ).by_id
    assert titles["s3"].name == "15-Aug"
    assert titles["s4"].countries == ("France",)
    assert (titles["s4"].age_rating, titles["s4"].runtime_minutes) == ("74 min", None)
    assert titles["s4"].plot == 'Two\n lines, "quoted".'
    assert titles["s5"].name == "Tail\u00a0"
    assert titles["s5"].age_rating is None


def test_columns_may_come_in_any_order_after_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "titles.csv"
    header = "title,show_id,type,country,release_year,rating,duration,listed_in,description"
    path.write_text(f"\ufeff{header}\r\nDust,s1,Movie,,2019,,,Dramas,Sand.\r\n", encoding="utf-8")
    assert csv_catalogue(path).by_id["s1"].name == "Dust"


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ("s2,Movie,Tide,,,,,soon,PG,90 min,Dramas,Waves.", "line 3, column release_year"),
        ("s2,Play,Tide,,,,,2020,PG,90 min,Dramas,Waves.", "line 3, column type"),
        ("s2,Movie,Tide,,,,,2020,PG,long,Dramas,Waves.", "line 3, column duration"),
        ("s2,Movie,Tide,,,,,2020,PG,90 min,Dramas", "line 3, column description"),
        ("s2,Movie,Tide,,,,,2020,PG,90 min,Dramas,a,b", "line 3, column number 13"),
        ("../s2,Movie,Tide,,,,,2020,PG,90 min,Dramas,Waves.", "line 3, column show_id"),
        ("s1,Movie,Tide,,,,,2020,PG,90 min,Dramas,Waves.", "line 3, column show_id"),
        ('s2,Movie,"Tide,,,,,2020,PG,90 min,Dramas,Waves.', "line 3, column title"),
        ('s2,Movie,Tide,,,"a" b,,2020,PG,90 min,Dramas,Waves.', "line 3, column country"),
        ('s2,Movie,Tide,,,,,2020,PG,1 min,Dramas,"a\nb"\ns3', "line 5, column type"),
    ],
)
def test_a_malformed_row_is_refused_with_file_line_and_column(
    tmp_path: Path, row: str, place: str
) -> None:
    path = a_csv(tmp_path, GOOD, row)
    with pytest.raises(CatalogueInvalid, match=f"^{re.escape(f'{path}, {place}: ')}"):
        csv_catalogue(path)


def test_bytes_that_are_not_utf_8_are_refused_with_their_column(tmp_path: Path) -> None:
    path = a_csv(tmp_path, GOOD)
    path.write_bytes(path.read_bytes().replace(b"Dust", "Poussière".encode("latin-1")))
    with pytest.raises(CatalogueInvalid, match="line 2, column title"):
        csv_catalogue(path)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "line 1, column show_id"),
        (HEADER.replace("listed_in", "labels"), "line 1, column listed_in"),
        (HEADER + "\n", "line 2, column show_id"),
    ],
)
def test_a_file_without_header_or_titles_is_refused(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "titles.csv"
    path.write_text(text)
    with pytest.raises(CatalogueInvalid, match=place):
        csv_catalogue(path)
