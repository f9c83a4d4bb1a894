"""`trending topics`: what lies in Kafka, who is behind, and what is coming by."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple
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
from trending_shared.backlog import count_records, measure_lag
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
        records = await count_records(reader, partitions)
    count = Counter(partition.topic for partition in partitions)
    return [(topic, count[topic], records[topic]) for topic in sorted(count)]


@app.command()
def lag(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that have handled all.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show for each consumer group how many records it has yet to handle."""
    rows = asyncio.run(_lag(clients.settings()))
    if as_json:
        print_json([{"group": g, "topic": t, "partition": p, "lag": n} for g, t, p, n in rows])
        return
    behind = [row for row in rows if everything or row[-1]]
    if behind:
        print_table("lag", ["group", "topic", "partition", "lag"], behind)
    else:
        groups = len({group for group, *_ in rows})
        console.print(f"[green]nothing waits for any of {groups} groups[/]")


async def _lag(common: CommonSettings) -> list[tuple[str, str, int, int]]:
    async with clients.admin(common.kafka) as admin, clients.reader(common.kafka) as reader:
        return [astuple(lag) for lag in await measure_lag(admin, reader)]


@app.command()
def tail(
    topic: Annotated[str, typer.Argument(help="Topic to read.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Records to show.")] = 10,
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
    look_at(reader, partitions)
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
