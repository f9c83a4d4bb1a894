"""`trending dlq`: what was parked, why, and back onto its topic once the cause is mended."""

import asyncio
from typing import Annotated, Any

import typer

from trending_cli import clients
from trending_cli.output import (
    Exit,
    JsonOption,
    console,
    fail,
    print_document,
    print_json,
    print_table,
)
from trending_cli.topics import describe
from trending_shared.settings import CommonSettings
from trending_shared.topics import list_partitions, read_all
from trending_shared.unhandled import ATTEMPT, DETAIL, ORIGIN, OURS, REASON

app = typer.Typer(no_args_is_help=True, help="See, show and replay parked messages.")

TopicArgument = Annotated[str, typer.Argument(help="A dead-letter topic: <topic>-<group>-dlq.")]


async def _parked(common: CommonSettings, only: str | None = None) -> list[Any]:
    """The parked records, each origin once (parking again after a crash adds a copy)."""
    found: dict[tuple[str, str], Any] = {}
    async with clients.reader(common.kafka) as reader:
        partitions = [
            partition
            for partition in await list_partitions(common.kafka.connection)
            if partition.topic.endswith("-dlq") and only in (None, partition.topic)
        ]
        if only and not partitions:
            raise fail(f"no dead-letter topic {only}", Exit.NOT_FOUND)
        if not partitions:
            return []
        async for record in read_all(reader, partitions):
            found[record.topic, _origin(record)] = record
    return list(found.values())


def _origin(record: Any) -> str:
    """Where a parked record came from: `topic:partition:offset`."""
    return (dict(record.headers).get(ORIGIN) or b"").decode(errors="replace")


def _row(record: Any) -> dict[str, Any]:
    headers = describe(record)["headers"]
    return {
        "topic": record.topic,
        "offset": record.offset,
        "reason": headers.get(REASON),
        "detail": headers.get(DETAIL),
        "origin": headers.get(ORIGIN),
        "attempts": headers.get(ATTEMPT),
        "type": headers.get("ce_type"),
        "event_id": headers.get("ce_id"),
    }


@app.command("list")
def list_(
    topic: Annotated[str | None, typer.Argument(help="Only this dead-letter topic.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List parked messages. Status 1 if there are any."""
    rows = [_row(record) for record in asyncio.run(_parked(clients.settings(), topic))]
    if as_json:
        print_json(rows)
    elif rows:
        columns = ["topic", "offset", "reason", "detail", "origin", "attempts"]
        print_table("parked", columns, [[row[c] for c in columns] for row in rows])
    else:
        console.print("[green]no parked messages[/]")
    if rows:
        raise typer.Exit(Exit.FAILED)


@app.command()
def show(
    topic: TopicArgument,
    offset: Annotated[int, typer.Argument(help="Its offset, as `list` shows it.")],
    as_json: JsonOption = False,
) -> None:
    """Show one parked message whole."""
    for record in asyncio.run(_parked(clients.settings(), topic)):
        if record.offset == offset:
            if as_json:
                print_json(describe(record))
            else:
                print_document(describe(record))
            return
    raise fail(f"{topic} holds no record at {offset}", Exit.NOT_FOUND)


@app.command()
def replay(
    topic: TopicArgument,
    offset: Annotated[int | None, typer.Option(help="Only the record at this offset.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Put parked messages back onto the topic they came from, as they were.

    They keep their ids, so whoever has handled one already does nothing twice. The dead-letter
    topic itself keeps its records.
    """
    common = clients.settings()
    parked = asyncio.run(_parked(common, topic))
    records = [record for record in parked if offset in (None, record.offset)]
    if not records:
        raise fail(f"{topic} holds nothing to replay", Exit.NOT_FOUND)
    asyncio.run(_republish(common, records))
    if as_json:
        print_json({"replayed": len(records)})
    else:
        console.print(f"replayed {len(records)} messages")


async def _republish(common: CommonSettings, records: list[Any]) -> None:
    async with clients.publisher(common) as sender:
        for record in records:
            await sender.publish_raw(
                _origin(record).rsplit(":", 2)[0],
                key=record.key,
                value=record.value,
                headers=[(k, v or b"") for k, v in record.headers if k not in OURS],
            )
