"""The demo's catalogue as a CSV file: `python -m pipeline.demo_csv FILE`.

In the columns of Kaggle's `netflix_titles.csv`, as `trending import csv` takes them; what has no
column there, such as reviews, is left out.
"""

import csv
import sys
from pathlib import Path

from trending_demo.catalogue import Row, Title, demo_catalogue


def row_of(title: Title) -> dict[str, str]:
    """A title's values by column."""
    if title.seasons:
        duration = f"{title.seasons} Season{'s' if title.seasons > 1 else ''}"
    else:
        duration = f"{title.runtime_minutes} min" if title.runtime_minutes else ""
    return {
        "show_id": title.id,
        "type": "Movie" if title.kind == "film" else "TV Show",
        "title": title.name,
        "country": ", ".join(title.countries),
        "release_year": str(title.year),
        "rating": title.age_rating or "",
        "duration": duration,
        "listed_in": ", ".join(title.genres),
        "description": title.plot,
    }


def write(file: Path) -> int:
    """Write the catalogue, the same bytes every time; how many titles it has."""
    titles = demo_catalogue().titles
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, tuple(Row.model_fields), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(row_of, titles))
    return len(titles)


if __name__ == "__main__":
    sys.stdout.write(f"{write(Path(sys.argv[1]))} titles\n")
