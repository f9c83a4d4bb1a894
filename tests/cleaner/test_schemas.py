"""How an event becomes a row, in tables that are older than the code too."""

from pathlib import Path

import pyarrow as pa

from trending_cleaner.schemas import TITLES, row_of
from trending_shared.messages import Position, first_message
from trending_shared.tables import OffsetTable
from trending_shared.testing import a_title_cleaned, a_title_scraped


def test_the_confidence_of_each_genre_stands_beside_it() -> None:
    event = a_title_cleaned(
        genres=("Comedy", "Drama"), genre_confidence={"Drama": 0.9, "Comedy": 1.0}
    )
    row = row_of(first_message(a_title_scraped()), event, code_version="1")
    assert (row["genres"], row["genre_confidence"]) == (("Comedy", "Drama"), [1.0, 0.9])
    assert set(row) == set(TITLES.names)


def test_a_table_of_an_earlier_version_takes_new_rows_and_keeps_its_own(tmp_path: Path) -> None:
    earlier = pa.schema([field for field in TITLES if field.name != "genre_confidence"])
    row = row_of(first_message(a_title_scraped()), a_title_cleaned(), code_version="1")
    was = {name: row[name] for name in earlier.names}
    old = OffsetTable(tmp_path.as_uri(), "titles", schema=earlier, owner="cleaner")
    old.append([(Position("titles-scraped", 0, 0), was)])
    new = OffsetTable(tmp_path.as_uri(), "titles", schema=TITLES, owner="cleaner")
    event = a_title_cleaned(genre_confidence={"Horror": 1.0, "Sci-Fi & Fantasy": 0.8})
    row = row_of(first_message(a_title_scraped()), event, code_version="2")
    new.append([(Position("titles-scraped", 0, 1), row)])
    rows = sorted(new.read().to_pylist(), key=lambda row: row["code_version"])
    assert [row["genre_confidence"] for row in rows] == [None, [1.0, 0.8]]
    assert [row["name"] for row in rows] == ["Alien", "Alien"]
