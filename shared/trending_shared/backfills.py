"""What a backfill passes from function to function, as columns of Arrow tables.

The first function reads pages, and its lines are those of a replay (`replays`). The others are the
services' own, in `trending_cleaner.backfilling` and `trending_featurizer.backfilling`.
"""

import pyarrow as pa

from trending_shared.engines import named

READ_PAGES = "trending_scraper.replaying:read_pages"

PAGES = pa.schema(
    [
        ("place", pa.int64()),  # among all pages, in the order in which they were fetched
        ("page", pa.string()),  # `replays.KeptPage` as JSON
    ]
)
LINES = pa.schema(
    [
        ("place", pa.int64()),  # of its page
        ("number", pa.int64()),  # on its page
        ("line", pa.string()),  # `replays.Line` as JSON
    ]
)
LINKED = pa.schema(
    [
        *LINES,
        ("title_id", pa.string()),  # none of a line that tells no record
        # What records of one title, or reviews that may be copies, have in common.
        ("links", pa.list_(pa.string())),
    ]
)
TAKEN = pa.schema(
    [
        ("table", pa.string()),
        ("rows", pa.large_binary()),  # of that table, as an Arrow stream
    ]
)


def read_pages(pages: pa.Table) -> pa.Table:
    """`PAGES` to `LINES`: what the scraper tells of each page."""
    read = named(READ_PAGES)
    rows = [
        {"place": place, "number": number, "line": line}
        for place, page in zip(pages["place"].to_pylist(), pages["page"].to_pylist(), strict=True)
        for number, line in enumerate(read([page]))
    ]
    return pa.Table.from_pylist(rows, schema=LINES)


def leave_pages(linked: pa.Table) -> pa.Table:
    """`LINKED` to `LINES`: what is said of pages, and of no record."""
    return linked.filter(linked["title_id"].is_null()).select(LINES.names)


def pack(table: pa.Table) -> bytes:
    """A table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def unpack(stream: bytes) -> pa.Table:
    return pa.ipc.open_stream(stream).read_all()
