"""A title's features: its text by the recipe, the text's statistics, its embedding. No I/O.

`featurize` is a map over batches and asks only for columns that the table `titles` has too, so an
engine that spreads tables over machines can run it as it is.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trending_shared.events import TitleCleaned
from trending_shared.features import LIBRARY, RECIPE, STATISTICS, text_hash
from trending_shared.messages import Message

DIMENSION = 384
TITLE = pa.schema(
    [
        ("title_id", pa.string()),
        ("content_hash", pa.string()),
        ("name", pa.string()),
        ("plot", pa.string()),
        ("kind", pa.string()),
        ("countries", pa.list_(pa.string())),
        ("page_hash", pa.string()),
        ("fetched_at", pa.timestamp("us", "UTC")),
        ("event_id", pa.string()),
    ]
)
FEATURES = pa.schema(
    [
        ("title_id", pa.string()),
        ("content_hash", pa.string()),
        ("text_hash", pa.string()),
        ("recipe", pa.string()),
        ("encoder", pa.string()),
        ("embedding", pa.list_(pa.float32(), DIMENSION)),
        ("statistics", pa.string()),
        ("plot_characters", pa.int32()),
        ("plot_words", pa.int32()),
        ("plot_mean_word_length", pa.float64()),
        ("plot_distinct_words", pa.float64()),
        ("plot_non_ascii_letters", pa.float64()),
        ("page_hash", pa.string()),
        ("fetched_at", pa.timestamp("us", "UTC")),
        ("event_id", pa.string()),
    ]
)

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


def titles_table(messages: Sequence[Message[TitleCleaned]]) -> pa.Table:
    """The events of a batch as a table with the columns of `TITLE`, in their order."""
    rows = [
        {
            **message.event.model_dump(include=set(TITLE.names)),
            "page_hash": message.event.page.hash,
            "fetched_at": message.event.page.fetched_at,
            "event_id": str(message.id),
        }
        for message in messages
    ]
    return pa.Table.from_pylist(rows, schema=TITLE)


def featurize(titles: pa.Table, embed: Embed, encoder: str) -> pa.Table:
    """The features of one or more titles.

    Args:
        titles: the columns of `TITLE`, others are ignored; n rows.
        embed: n texts to an array of shape (n, 384).
        encoder: the version of what `embed` does.

    Returns:
        `FEATURES`: n rows in the order of `titles`.
    """
    told = titles.select(["name", "plot", "kind", "countries"]).to_pylist()
    texts = [LIBRARY[RECIPE].of(title) for title in told]
    plots = [LIBRARY[STATISTICS].of(title) for title in told]
    vectors = np.ascontiguousarray(embed(texts), np.float32)
    columns = {
        **{name: titles.column(name) for name in TITLE.names if name in FEATURES.names},
        "text_hash": [text_hash(text) for text in texts],
        "recipe": [RECIPE] * len(texts),
        "encoder": [encoder] * len(texts),
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSION),
        "statistics": [STATISTICS] * len(texts),
        "plot_characters": [plot.characters for plot in plots],
        "plot_words": [plot.words for plot in plots],
        "plot_mean_word_length": [plot.mean_word_length for plot in plots],
        "plot_distinct_words": [plot.distinct_words for plot in plots],
        "plot_non_ascii_letters": [plot.non_ascii_letters for plot in plots],
    }
    return pa.table({name: columns[name] for name in FEATURES.names}, schema=FEATURES)
