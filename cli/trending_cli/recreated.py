"""Topics made anew under tables that were fed from their predecessors.

A table takes a record whose offset it has passed for one that it holds already, and skips it. That
makes redelivery harmless, and a topic that begins again at offset 0 silently loses its records.
"""

import asyncio
from collections.abc import Iterable

from aiokafka import TopicPartition

from trending_cli import clients
from trending_shared.errors import StoreUnavailable
from trending_shared.events import ReviewCleaned, ReviewScraped, TitleCleaned, TitleScraped
from trending_shared.settings import CommonSettings
from trending_shared.storage import ObjectStore, in_short
from trending_shared.topics import list_partitions, look_at

_READERS = {
    TitleScraped.topic: "cleaner",
    ReviewScraped.topic: "cleaner",
    TitleCleaned.topic: "featurizer",
    ReviewCleaned.topic: "featurizer",
}  # what is appended to tables, and by which consumer group


async def recreated_topics(common: CommonSettings) -> list[str]:
    """Topics that end before the offsets that tables have on record, in order.

    Raises:
        BrokerUnavailable: Kafka didn't answer.
        StoreUnavailable: the tables' storage didn't answer.
    """
    async with clients.reader(common.kafka) as reader:
        existing = await list_partitions(common.kafka.connection)
        look_at(reader, existing)
        ends = await reader.end_offsets(existing)
    usual = {
        TopicPartition(topic, number)
        for topic in _READERS
        for number in range(common.kafka.partitions)
    }  # also if the topic is gone
    places = usual.union(place for place in existing if place.topic in _READERS)
    marks = await asyncio.to_thread(_marks, common.store, places)
    return sorted({place.topic for place, mark in marks.items() if mark >= ends.get(place, 0)})


def remedy(topics: Iterable[str], common: CommonSettings) -> str:
    """What to tell whoever runs the house."""
    other = "STORE_URL" if common.store_url else "TRENDING_HOME"
    return (
        f"Kafka at {common.kafka.bootstrap_servers} holds fewer records of {', '.join(topics)} "
        f"than the tables in {common.store} have seen: these topics were made anew, and their "
        "first records would be taken for known ones and skipped. Remove the folder "
        f"{common.home}, or set {other} to another place"
    )


def _marks(store: str, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The highest offset of each partition that any table holds; none of one that feeds no table.

    They are Delta application transactions.
    """
    # Here, because they take half a second, and most commands need no table.
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    from trending_shared.tables import storage_options, table_uri, transaction_name

    names = {key.split("/")[1] for key in ObjectStore.at(store).keys("tables")}
    found: dict[TopicPartition, int] = {}
    try:
        for name in names:
            table = DeltaTable(table_uri(store, name), storage_options=storage_options())
            for place in places:
                app = transaction_name(_READERS[place.topic], place.topic, place.partition)
                mark = table.transaction_version(app)
                if mark is not None:
                    found[place] = max(mark, found.get(place, mark))
    except (DeltaError, OSError) as error:
        raise StoreUnavailable(f"tables of {store}: {in_short(error)}") from error
    return found
