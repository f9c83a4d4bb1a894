"""`trending topics`: what lies in Kafka, who is behind, and what is coming by."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated, Any

import typer
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from rich.text import Text

from trending_cli import clients
from trending_cli.output import (
    Exit,
    JsonOption,
    console,
    fail,
    print_document,
    print_json,
    print_table,
    shown,
)
from trending_shared.events import EVENTS
from trending_shared.settings import CommonSettings
from trending_shared.topics import list_partitions, look_at, read_to_end

app = typer.Typer(no_args_is_help=True, help="Look into Kafka's topics.")


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List topics with their partitions and records, marks of transactions included."""
    rows = asyncio.run(_sizes(clients.settings()))
    if as_json:
        print_json([{"topic": t, "partitions": p, "records": n} for t, p, n in rows])
    else:
        print_table("topics", ["topic", "partitions", "records"], rows)


async def _sizes(common: CommonSettings) -> list[tuple[str, int, int]]:
    async with clients.reader(common.kafka) as reader:
        partitions = await list_partitions(common.kafka.connection)
        look_at(reader, partitions)
        first = await reader.beginning_offsets(partitions)
        last = await reader.end_offsets(partitions)
    count = Counter(partition.topic for partition in partitions)
    records: Counter[str] = Counter()
    for partition in partitions:
        records[partition.topic] += last[partition] - first[partition]
    return [(topic, count[topic], records[topic]) for topic in sorted(count)]


@app.command()
def lag(as_json: JsonOption = False) -> None:
    """Show for each consumer group how many records it has yet to handle."""
    rows = asyncio.run(_lag(clients.settings()))
    if as_json:
        print_json([{"group": g, "topic": t, "partition": p, "lag": n} for g, t, p, n in rows])
    else:
        print_table("lag", ["group", "topic", "partition", "lag"], rows)


async def _lag(common: CommonSettings) -> list[tuple[str, str, int, int]]:
    rows = []
    async with clients.admin(common.kafka) as admin, clients.reader(common.kafka) as reader:
        for group, *_ in await admin.list_consumer_groups():
            committed = await admin.list_consumer_group_offsets(group)
            look_at(reader, list(committed))
            ends = await reader.end_offsets(list(committed))
            for partition, place in sorted(committed.items()):
                start = max(0, place.offset)
                behind = max(0, ends[partition] - start)
                if behind and not await _holds_records(reader, partition, start):
                    behind = 0
                rows.append((group, partition.topic, partition.partition, behind))
    return sorted(rows)


async def _holds_records(reader: AIOKafkaConsumer, partition: TopicPartition, start: int) -> bool:
    """Whether there is anything to handle from an offset on.

    Offsets are also taken by Kafka's own marks of a transaction's end, and by what a transaction
    took back.
    """
    async with aclosing(read_to_end(reader, {partition: start})) as records:
        async for _ in records:
            return True
    return False


@app.command()
def tail(
    topic: Annotated[str, typer.Argument(help="Topic to read.")],
    count: Annotated[int, typer.Option("-n", min=1, help="Records to show.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the newest records of a topic, headers and body."""
    asyncio.run(_tail(clients.settings(), topic, count, follow=follow, as_json=as_json))


async def _tail(
    common: CommonSettings, topic: str, count: int, *, follow: bool, as_json: bool
) -> None:
    async with clients.reader(common.kafka) as reader:
        everything = await list_partitions(common.kafka.connection)
        partitions = [partition for partition in everything if partition.topic == topic]
        if not partitions:
            known = ", ".join(sorted(event.topic for event in EVENTS))
            raise fail(f"no topic {topic}; those of events are {known}", Exit.NOT_FOUND)
        records = await _newest(reader, partitions, count)
        records.sort(key=lambda record: (record.timestamp, record.partition, record.offset))
        for record in records[-count:]:
            _show(record, as_json=as_json)
        while follow:
            for batch in (await reader.getmany(timeout_ms=500)).values():
                for record in batch:
                    _show(record, as_json=as_json)


async def _newest(
    reader: AIOKafkaConsumer, partitions: Sequence[TopicPartition], count: int
) -> list[ConsumerRecord]:
    """At least the last `count` records of each partition, as far as it has so many.

    It looks further back where offsets without a record lie in between.
    """
    firsts = await reader.beginning_offsets(partitions)
    ends = await reader.end_offsets(partitions)
    back = count
    while True:
        starts = {each: max(firsts[each], ends[each] - back) for each in partitions}
        found = [record async for record in read_to_end(reader, starts)]
        given = Counter(TopicPartition(record.topic, record.partition) for record in found)
        if all(given[each] >= count or starts[each] == firsts[each] for each in partitions):
            return found
        back *= 2


def describe(record: Any) -> dict[str, Any]:
    """A record as plain data; what isn't UTF-8 or JSON is shown as text."""
    headers = {
        name: None if value is None else value.decode(errors="replace")
        for name, value in record.headers
    }
    text = (record.value or b"").decode(errors="replace")
    try:
        body: Any = json.loads(text)
    except ValueError:
        body = text
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": record.key.decode(errors="replace") if record.key else None,
        "headers": headers,
        "body": body,
    }


def _show(record: Any, *, as_json: bool) -> None:
    described = describe(record)
    if as_json:
        print_json(described)
        return
    headers = described["headers"]
    place = Text(f"{record.topic}:{record.partition}:{record.offset} ", "bold")
    facts = [headers.get("ce_time"), headers.get("ce_type"), f"key={described['key']}"]
    console.print(place + shown(" ".join(filter(None, facts))), soft_wrap=True)
    print_document(described["body"])
