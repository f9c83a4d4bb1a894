"""Where functions over batches of rows run: in this process, or on Ray Data.

A function takes an Arrow table and gives one, and knows of no engine. It is named by module and
name, `trending_cleaner.backfilling:take`, for it runs in other processes too, which import it
themselves. Both engines give the same rows, in any order. Ray is imported by whoever asks for it.
"""

import logging
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from trending_shared.errors import TrendingError
from trending_shared.logs import configure_logs

Function = Callable[..., pa.Table]

STARTS = 3  # attempts
OBJECTS = 2**30  # bytes of memory for what functions hand on; more goes to disk


class EngineFailed(TrendingError):
    """What was to run functions can't be started."""


class Rows(Protocol):
    """Rows that an engine holds, wherever they lie."""

    def map(self, function: str, *, size: int, **given: Any) -> "Rows":
        """The rows that a function makes of these, at most `size` of them at once.

        Args:
            given: further arguments of the function; small, for each process gets them.
        """

    def map_groups(self, by: str, groups: int, function: str) -> "Rows":
        """The rows that a function makes of all rows with one value of `by`.

        Args:
            groups: how many values there may be.
        """

    def read(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows, some at a time, at least one table."""


class Engine(Protocol):
    def rows(self, table: pa.Table) -> Rows:
        """Rows to begin with."""


def named(function: str) -> Function:
    """The function of a name: `trending_cleaner.backfilling:take`."""
    module, name = function.split(":")
    found: Function = getattr(import_module(module), name)
    return found


# ---------------------------------------------------------------- this process


class LocalRows:
    """Rows in memory; everything is done one after another."""

    def __init__(self, tables: Sequence[pa.Table]) -> None:
        self._tables = tables

    def map(self, function: str, *, size: int, **given: Any) -> "LocalRows":
        table = pa.concat_tables(self._tables)
        starts = range(0, max(1, table.num_rows), size)
        return LocalRows([named(function)(table.slice(start, size), **given) for start in starts])

    def map_groups(self, by: str, groups: int, function: str) -> "LocalRows":
        table = pa.concat_tables(self._tables)
        values = sorted(table[by].unique().to_pylist())
        parts = [table.filter(pc.equal(table[by], value)) for value in values]
        return LocalRows([named(function)(part) for part in parts or [table]])

    def read(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        for table in self._tables:
            yield table.select(columns) if columns else table


class LocalEngine:
    """The reference: the functions and nothing else."""

    def rows(self, table: pa.Table) -> LocalRows:
        return LocalRows([table])


@contextmanager
def local() -> Iterator[Engine]:
    _hush()
    yield LocalEngine()


# ---------------------------------------------------------------- Ray


class RayRows:
    """A dataset of Ray Data; what is done to it is done when its rows are asked for."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def map(self, function: str, *, size: int, **given: Any) -> "RayRows":
        mapped = self._dataset.map_batches(
            partial(_call, function), batch_format="pyarrow", batch_size=size, fn_kwargs=given
        )
        return RayRows(mapped.materialize())

    def map_groups(self, by: str, groups: int, function: str) -> "RayRows":
        grouped = self._dataset.groupby(by, num_partitions=groups)
        mapped = grouped.map_groups(partial(_call, function), batch_format="pyarrow")
        return RayRows(mapped.materialize())

    def read(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        chosen = self._dataset.select_columns(list(columns)) if columns else self._dataset
        yield from chosen.iter_batches(batch_format="pyarrow", batch_size=None)


class RayEngine:
    """Ray Data on the cores that Ray has."""

    def __init__(self, ray: Any, blocks: int) -> None:
        self._ray = ray
        self._blocks = blocks

    def rows(self, table: pa.Table) -> RayRows:
        blocks = min(self._blocks, max(1, table.num_rows))
        return RayRows(self._ray.data.from_arrow(table, override_num_blocks=blocks))


@contextmanager
def ray(*, blocks: int = 64) -> Iterator[Engine]:
    """Ray on all cores of this machine, as long as the block.

    Its processes listen on the machine's addresses, so they let in only who has a token that is
    made here for this once. Nothing is reported to Ray's makers.

    Raises:
        ImportError: Ray isn't installed.
        EngineFailed: it doesn't start.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    import ray as library
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        _start(library, folder)
        try:
            yield RayEngine(library, blocks)
        finally:
            library.shutdown()


def _start(library: Any, folder: str) -> None:
    """Start Ray's processes; one of them must be up within 30 s, which a busy machine may miss."""
    for tried in range(1, STARTS + 1):
        try:
            library.init(
                num_cpus=len(os.sched_getaffinity(0)),
                object_store_memory=OBJECTS,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                _node_ip_address="127.0.0.1",
                _temp_dir=folder,
            )
            return
        except Exception as error:  # Ray has no other class for it
            library.shutdown()
            if tried == STARTS:
                raise EngineFailed(f"Ray doesn't start: {error}") from error


def _call(function: str, rows: pa.Table, **given: Any) -> pa.Table:
    _hush()
    return named(function)(rows, **given)


def _hush() -> None:
    """What services log of every record is nobody's concern here."""
    configure_logs(service="backfill", level="CRITICAL")


ENGINES: dict[str, Callable[[], AbstractContextManager[Engine]]] = {"local": local, "ray": ray}
