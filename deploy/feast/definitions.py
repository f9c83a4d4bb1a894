"""What Feast is told of the exported features: one entity, two views, a service.

Feast reads this file and `feature_store.yaml` in an environment of its own, so nothing of ours is
imported. `TRENDING_FEATURES` names the folder that `trending features export` has filled; Feast's
registry and online store lie in it too.
"""

import os
from collections.abc import Sequence
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Array, Float32, Float64, Int32, String

_TIMELESS = timedelta(0)

title = Entity(
    name="title",
    join_keys=["title_id"],
    value_type=ValueType.STRING,
    description="A film or a show, as one source tells of it.",
)


def _view(name: str, *, ttl: timedelta, schema: Sequence[Field], description: str) -> FeatureView:
    """A view of the exported file of the same name, whose rows may be pushed as well."""
    exported = FileSource(
        name=name,
        path=f"{os.environ['TRENDING_FEATURES']}/{name}.parquet",
        timestamp_field="event_timestamp",
    )
    return FeatureView(
        name=name,
        entities=[title],
        ttl=ttl,
        schema=list(schema),
        source=PushSource(name=f"{name}_push", batch_source=exported),
        description=description,
    )


title_features = _view(
    "title_features",
    ttl=_TIMELESS,  # what a page said holds until it is fetched again
    schema=[
        Field(name="text_hash", dtype=String, description="of the text that models read"),
        Field(name="recipe", dtype=String, description="how that text was composed"),
        Field(name="encoder", dtype=String, description="which encoder made the embedding"),
        Field(name="embedding", dtype=Array(Float32), description="384 numbers, a unit vector"),
        Field(name="statistics", dtype=String, description="how the plot was counted"),
        Field(name="plot_characters", dtype=Int32),
        Field(name="plot_words", dtype=Int32),
        Field(name="plot_mean_word_length", dtype=Float64, description="characters"),
        Field(name="plot_distinct_words", dtype=Float64, description="share of the words, 0 to 1"),
        Field(
            name="plot_non_ascii_letters", dtype=Float64, description="share of the letters, 0 to 1"
        ),
    ],
    description="A title's text in numbers, from the time that its page was fetched.",
)
title_trends = _view(
    "title_trends",
    ttl=timedelta(days=1),  # a trend is a day's; without a new one there is none
    schema=[
        Field(name="score", dtype=Float64, description="log2 of recent over expected, shrunk"),
        Field(name="recent", dtype=Float64, description="signals a day of late"),
        Field(name="expected", dtype=Float64, description="signals a day by its own past"),
        Field(name="signals", dtype=Int32, description="how many the score rests on"),
    ],
    description="Whether a title rises, from the beginning of a day in UTC.",
)

titles = FeatureService(
    name="titles",
    features=[title_features, title_trends],
    description="All that is known of a title: to learn genres from, or to list what rises.",
)
