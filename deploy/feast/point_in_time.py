"""What was known of titles at given moments: Feast's point-in-time join without its gaps."""

import pandas as pd
from feast import FeatureService, FeatureStore

KEYS = ["title_id", "event_timestamp"]
AT_ONCE = 20_000  # moments; Feast pairs each with every version of its title, all in memory


def features_at(
    store: FeatureStore, service: FeatureService, moments: pd.DataFrame
) -> pd.DataFrame:
    """The features of a service as they were in force at given moments.

    Feast's file store leaves a moment out if its title has rows, but none in force then: a title
    that was scraped later, or whose trend is too old. With several views at once the moment loses
    what the other views know, too. So each view is asked by itself, and what is left out is null.

    Args:
        moments: `title_id` and `event_timestamp` (UTC, nanoseconds), one row or more.

    Returns:
        The moments in their order with a column for each feature. Whole numbers among which one is
        missing are floats, as everywhere in pandas.
    """
    parts = []
    for first in range(0, len(moments), AT_ONCE):
        part = moments[KEYS].iloc[first : first + AT_ONCE]
        for view in service.feature_view_projections:
            known = store.get_historical_features(
                entity_df=part[KEYS].drop_duplicates(),
                features=[f"{view.name}:{feature.name}" for feature in view.features],
            )
            part = part.merge(known.to_df(), on=KEYS, how="left")
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
