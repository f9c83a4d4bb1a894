"""Features of titles over a table of them: for `trending backfill`."""

from functools import lru_cache
from pathlib import Path
from uuid import UUID

import pyarrow as pa

from trending_featurizer.featurizing import TITLE, featurize
from trending_featurizer.settings import FeaturizerSettings
from trending_shared.encoder import SentenceEncoder
from trending_shared.events import TitleCleaned
from trending_shared.messages import id_after
from trending_shared.settings import read_settings


def compute(titles: pa.Table) -> pa.Table:
    """Rows of the table `titles` to `FEATURES`, in their order; every text is encoded anew."""
    encoder = _encoder(read_settings(FeaturizerSettings).encoder_cache)
    events = [
        str(id_after(UUID(cause), TitleCleaned, title_id))
        for cause, title_id in zip(
            titles["event_id"].to_pylist(), titles["title_id"].to_pylist(), strict=True
        )
    ]
    place = TITLE.get_field_index("event_id")
    told = titles.select(TITLE.names).set_column(place, TITLE.field(place), pa.array(events))
    return featurize(told, encoder.encode, encoder.version)


@lru_cache(maxsize=1)
def _encoder(cache: Path) -> SentenceEncoder:
    # One thread: whoever calls this from several processes has given each of them a core.
    return SentenceEncoder.load(cache, threads=1)
