"""Small datasets: titles whose genres show in their words, and snapshots of them in a store."""

import hashlib
import io
import random
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from trending_shared.clock import SystemClock
from trending_shared.datasets import DatasetFile, DatasetManifest, rows_key
from trending_shared.features import RECIPE, compose_text
from trending_shared.storage import ObjectStore

WORDS = {
    "Comedy": ["laughs", "prank", "silly", "wedding", "clown", "joke"],
    "Crime": ["heist", "detective", "murder", "police", "thief", "gun"],
    "Horror": ["ghost", "haunted", "scream", "cursed", "grave", "night"],
}
FILLER = (
    *("the", "a", "of", "in", "two", "young", "town", "family", "one", "day", "finds", "their"),
    *("after", "life", "who", "when", "river", "winter", "letter", "window", "uncle", "train"),
)


def a_row(number: int, genres: Sequence[str], plot: str, **changes: Any) -> dict[str, Any]:
    """A row of a dataset, as far as training reads it; its kinds take turns."""
    row: dict[str, Any] = {
        "title_id": f"t{number:04}",
        "source": "demo",
        "source_id": f"s{number}",
        "kind": ("film", "show")[number % 2],
        "name": f"Title {number}",
        "year": 1990 + number % 35,
        "genres": list(genres),
        "plot": plot,
        "countries": ["Japan"],
        "language": "en",
        "license": "test",
        "reviews": [f"Seen {times} times." for times in range(number % 3)],
        "rating_count": number or None,
    } | changes
    told = {name: row[name] for name in ("name", "plot", "kind", "countries")}
    return {"text": compose_text(**told)} | row


def some_rows(
    count: int = 150, *, rare: int = 0, swap: bool = False, sure: bool = True
) -> list[dict[str, Any]]:
    """Titles of three genres, one in four of two; each plot is another.

    Args:
        rare: so many of the first are Anime besides, which no word tells.
        swap: every story tells of the next genre instead.
        sure: a title tells of its own genres only; else one in two of a foreign one too.
    """
    chance = random.Random(7)
    names = sorted(WORDS)
    rows = []
    for number in range(count):
        genres = chance.sample(names, k=1 + (number % 4 == 0))
        told = [names[(names.index(genre) + swap) % len(names)] for genre in genres]
        words = [word for genre in told for word in chance.sample(WORDS[genre], k=2)]
        if not sure:
            words += chance.choices(WORDS[chance.choice(names)], k=number % 2)
        words += chance.choices(FILLER, k=chance.randrange(10, 25))
        chance.shuffle(words)
        rows.append(a_row(number, genres + ["Anime"] * (number < rare), " ".join(words)))
    return rows


def cut_dataset(
    store: ObjectStore, name: str, rows: Sequence[dict[str, Any]], *, recipe: str = RECIPE
) -> DatasetManifest:
    """Put a snapshot of rows into a store."""
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(list(rows))
    pq.write_table(table, buffer)
    data = buffer.getvalue()
    file = DatasetFile(key=rows_key(name), sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    licenses = [row["license"] for row in rows]
    manifest = DatasetManifest(
        dataset_id=name,
        created_at=SystemClock().now(),
        rows=len(rows),
        labelled=len(rows),
        reviews=0,
        columns={field.name: str(field.type) for field in table.schema},
        recipe=recipe,
        tables={},
        files=(file,),
        sources={"demo": len(rows)},
        licenses={license: licenses.count(license) for license in sorted(set(licenses))},
        labels={},
        code_version="test",
        requested_by=uuid4(),
        correlation_id=uuid4(),
    )
    store.put(file.key, data)
    store.put(manifest.key, manifest.model_dump_json().encode())
    return manifest
