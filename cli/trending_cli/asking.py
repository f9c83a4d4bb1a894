"""Beginning a story on Kafka: whoever asks again under the same id follows what was asked then."""

from collections.abc import Callable
from typing import Any

from trending_cli import clients
from trending_shared.messages import Message
from trending_shared.settings import CommonSettings
from trending_shared.topics import all_event_topics, ensure_topics
from trending_shared.walk import Walk, watching


async def ask(
    common: CommonSettings,
    message: Message[Any],
    *,
    until: Callable[[Walk], bool] = lambda walk: True,
) -> tuple[Walk, bool]:
    """Publish the first message of a story, unless it is on its topic, and see what came of it.

    Args:
        until: whether enough has come; asked whenever something has.

    Returns:
        The story as far as it is known, and whether it began just now.

    Raises:
        BrokerUnavailable: Kafka didn't answer.
    """
    kafka, kind = common.kafka, type(message.event)
    async with clients.publisher(common) as sender:
        topics = all_event_topics(partitions=kafka.partitions)
        await ensure_topics(topics, kafka.connection, kafka.replication_factor)
        async with watching(kafka, message.id, first=kind) as watcher:
            walk = watcher.walks[message.id]
            while not await watcher.caught_up():
                await watcher.poll(0.2)
            new = walk.count(kind) == 0
            if new:
                await sender.publish([message])
            while not until(walk):
                await watcher.poll()
    return walk, new
