"""Leads exported features through Feast and back, and compares every value with the export.

`python round_trip.py FOLDER` registers `definitions.py`, fills the online store from the Parquet
files in FOLDER, and asks for all of it again: the newest row of each title online, what was in
force at many moments by point-in-time joins, and a row of each view that is pushed. Status 1 if a
value differs, 3 if nothing was exported to FOLDER.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from feast import FeatureStore

HERE = Path(__file__).parent
VIEWS = ("title_features", "title_trends")
SERVICE = "titles"
KEYS = ["title_id", "event_timestamp"]
SINCE = "event_timestamp in seconds"  # Feast keeps no more of it online
NOBODY = "nobody"  # a title that there isn't
INSTANT = pd.Timedelta(microseconds=1)  # the least by which two exported times differ
DIFFERENT, NOTHING_EXPORTED = 1, 3

Tables = Mapping[str, pa.Table]


@dataclass(frozen=True)
class Check:
    """What came back of a view in one way, held against the export."""

    view: str
    way: str
    rows: int
    different: int
    first: str | None
    """The first row that differs, and how."""


# ---------------------------------------------------------------- what is to come back


def in_force(
    exported: pa.Table, moments: pd.DataFrame, *, within: timedelta | None = None
) -> pa.Table:
    """The exported row in force at each moment, nulls without one: an as-of join without Feast.

    Args:
        moments: `KEYS`, in any order; n rows.
        within: how long a row is in force at most.

    Returns:
        n rows in the order of `moments`, with all columns but `KEYS`.
    """
    joined = pd.merge_asof(
        moments.assign(place=range(len(moments))).sort_values("event_timestamp"),
        _keys(exported).assign(row=range(exported.num_rows)).sort_values("event_timestamp"),
        on="event_timestamp",
        by="title_id",
        tolerance=within,
    ).sort_values("place")
    return exported.drop_columns(KEYS).take(pa.array(joined["row"], pa.int64(), from_pandas=True))


def moments_of(tables: Tables) -> pd.DataFrame:
    """When to ask: at the time of each row and just before it, and long after all of them.

    Returns:
        `KEYS`, each pair once, sorted; the last of each title is the one long after.
    """
    known = _all_keys(tables)
    after = known["event_timestamp"].max() + pd.Timedelta(days=30)
    title_ids = [*known["title_id"].unique(), NOBODY]
    asked = [
        known,
        known.assign(event_timestamp=known["event_timestamp"] - INSTANT),
        pd.DataFrame({"title_id": title_ids, "event_timestamp": after}),
    ]
    return pd.concat(asked).drop_duplicates().sort_values(KEYS, ignore_index=True)


def _all_keys(tables: Tables) -> pd.DataFrame:
    return pd.concat([_keys(table) for table in tables.values()])


def _keys(table: pa.Table) -> pd.DataFrame:
    keys: pd.DataFrame = table.select(KEYS).to_pandas()
    return keys.astype({"event_timestamp": "datetime64[ns, UTC]"})


def _with_since(table: pa.Table) -> pa.Table:
    seconds = table["event_timestamp"].cast(pa.timestamp("s", "UTC"), safe=False)
    return table.append_column(SINCE, seconds.cast(pa.int64()))


# ---------------------------------------------------------------- what came back


def check_online(store: "FeatureStore", tables: Tables) -> Iterator[Check]:
    """The newest row of each title of either view."""
    newest = moments_of(tables).drop_duplicates("title_id", keep="last", ignore_index=True)
    answer = _read_online(store, newest["title_id"])
    for view, exported in tables.items():
        expected = in_force(_with_since(exported), newest)
        yield compare(
            view, "online", newest[["title_id"]], _online(answer, expected.schema), expected
        )


def check_point_in_time(store: "FeatureStore", tables: Tables) -> Iterator[Check]:
    """What was in force at each moment of each title."""
    from point_in_time import features_at

    moments = moments_of(tables)
    answer = features_at(store, store.get_feature_service(SERVICE), moments)
    for view, exported in tables.items():
        ttl = store.get_feature_view(view).ttl
        expected = in_force(exported, moments, within=ttl or None)
        found = [pa.array(answer[f.name], f.type, from_pandas=True) for f in expected.schema]
        came = pa.table(found, schema=expected.schema)
        yield compare(view, "point in time", moments, came, expected)


def check_push(store: "FeatureStore", tables: Tables) -> Iterator[Check]:
    """A row of each view that is pushed with other values, and again as it was before."""
    for view, exported in tables.items():
        if exported.num_rows:
            of_one = exported.filter(pc.equal(exported["title_id"], exported["title_id"][0]))
            was = _with_since(of_one.slice(of_one.num_rows - 1))
            pushed = pa.concat_tables([_altered(was), was])
            answers = []
            for n in range(pushed.num_rows):
                row = pushed.slice(n, 1)
                store.push(f"{view}_push", row.drop_columns([SINCE]).to_pandas())
                answer = _read_online(store, row["title_id"].to_pylist())
                answers.append(_online(answer, row.drop_columns(KEYS).schema))
            came = pa.concat_tables(answers)
            yield compare(view, "push", _keys(pushed), came, pushed.drop_columns(KEYS))


def _read_online(store: "FeatureStore", title_ids: Sequence[str]) -> dict[str, list[Any]]:
    service = store.get_feature_service(SERVICE)
    rows = [{"title_id": title_id} for title_id in title_ids]
    answer = store.get_online_features(features=service, entity_rows=rows)
    found: dict[str, list[Any]] = answer.to_dict(include_event_timestamps=True)
    return found


def _online(answer: Mapping[str, list[Any]], schema: pa.Schema) -> pa.Table:
    """The columns of a view in an answer that may have those of others, too."""
    since = answer[f"{schema.names[0]}__ts"]
    columns = {**answer, SINCE: [seconds or None for seconds in since]}
    return pa.table([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def _altered(row: pa.Table) -> pa.Table:
    """The row with other values; its keys and its nulls stay."""
    kept = (*KEYS, SINCE)
    values = {
        name: value if name in kept else _other(value) for name, value in row.to_pylist()[0].items()
    }
    return pa.Table.from_pylist([values], schema=row.schema)


def _other(value: Any) -> Any:
    if isinstance(value, str):
        return f"{value}, pushed"
    if isinstance(value, list):
        return value[::-1]
    return None if value is None else value - 1


# ---------------------------------------------------------------- whether it is the same


def compare(view: str, way: str, keys: pd.DataFrame, came: pa.Table, expected: pa.Table) -> Check:
    """Compare value by value; row n of both tables is about row n of `keys`, titles and times."""
    found: dict[int, str] = {}
    for name in expected.column_names:
        if not came[name].equals(expected[name]):
            pairs = zip(came[name].to_pylist(), expected[name].to_pylist(), strict=True)
            for row, (theirs, ours) in enumerate(pairs):
                if theirs != ours:
                    found.setdefault(row, f"{name}{_difference(theirs, ours)}")
    first = None
    if found:
        title_id, *at = keys.iloc[min(found)]
        place = " at ".join([f"title {title_id!r}", *(one.isoformat() for one in at)])
        first = f"{view}, {way}: {place}: {found[min(found)]}"
    return Check(view, way, expected.num_rows, len(found), first)


def _difference(theirs: Any, ours: Any) -> str:
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        place = next(n for n in range(len(ours)) if theirs[n] != ours[n])
        return f"[{place}]{_difference(theirs[place], ours[place])}"
    return f" is {_shown(theirs)}, exported was {_shown(ours)}"


def _shown(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else repr(value)


# ---------------------------------------------------------------- the command


def lead_through(tables: Tables, expected: Tables) -> tuple[list[Check], dict[str, float]]:
    """Register, fill, ask.

    Args:
        tables: what Feast reads, by view; `expected`: what its answers are held against.

    Returns:
        The checks, and the seconds that each step took.
    """
    seconds: dict[str, float] = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        seconds[name] = round(time.monotonic() - began, 2)

    with step("import"):
        import definitions
        from feast import FeatureStore
    with step("apply"):
        store = FeatureStore(repo_path=str(HERE))
        views = [getattr(definitions, view) for view in VIEWS]
        store.apply([definitions.title, *views, definitions.titles])
    with step("materialise"):
        times = _all_keys(tables)["event_timestamp"]
        store.materialize(times.min().to_pydatetime(), times.max().to_pydatetime())
    with step("online"):
        checks = [*check_online(store, expected)]
    with step("point in time"):
        checks += check_point_in_time(store, expected)
    with step("push"):
        checks += check_push(store, tables)
    return checks, seconds


def refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: nothing here has any business on a network."""
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        raise PermissionError(f"{event} {arguments[1:]}: this stays on the machine")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="what `trending features export` has filled")
    parser.add_argument(
        "--against", type=Path, help="another export to compare with; default FOLDER"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    options = parser.parse_args(arguments)
    folder: Path = options.folder.absolute()
    against: Path = options.against or folder
    files = [place / f"{view}.parquet" for place in (folder, against) for view in VIEWS]
    if missing := [str(file) for file in files if not file.is_file()]:
        sys.stderr.write(f"error: {missing[0]} is missing; `trending features export` writes it\n")
        return NOTHING_EXPORTED
    os.environ.update(TRENDING_FEATURES=str(folder), FEAST_USAGE="False")
    sys.addaudithook(refuse_network)
    with redirect_stdout(sys.stderr):  # Feast says there how far it is
        checks, seconds = lead_through(*(_read(place) for place in (folder, against)))
    if options.json:
        document = {"checks": [asdict(check) for check in checks], "seconds": seconds}
        sys.stdout.write(f"{json.dumps(document)}\n")
    else:
        sys.stdout.write(_table(checks, seconds))
    for check in checks:
        if check.first:
            sys.stderr.write(f"error: {check.first}\n")
    return DIFFERENT if any(check.different for check in checks) else 0


def _read(folder: Path) -> dict[str, pa.Table]:
    return {view: pq.read_table(folder / f"{view}.parquet") for view in VIEWS}


def _table(checks: Sequence[Check], seconds: Mapping[str, float]) -> str:
    lines = [f"{'view':<16}{'way':<16}{'rows':>10}{'different':>12}"]
    lines += [f"{c.view:<16}{c.way:<16}{c.rows:>10,}{c.different:>12,}" for c in checks]
    lines.append(" · ".join(f"{name} {length:.1f} s" for name, length in seconds.items()))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
