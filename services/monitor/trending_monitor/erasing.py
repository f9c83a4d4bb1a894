"""Erases what was asked and answered about titles of an erased page, and has models retrained."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
import structlog

from trending_shared.catalog import (
    Catalog,
    corrections,
    drafts,
    predictions,
    title_predictions,
    trial_answers,
)
from trending_shared.erasures import Erasure, read_erasure
from trending_shared.events import RecordsErased, RetrainingRequested
from trending_shared.messages import Message
from trending_shared.storage import ObjectStore

log = structlog.get_logger()

AFTER = "featurizer"
TRAINER = "trainer"
_AT_ONCE = 500  # ids in a statement
_ABOUT_TITLES = (predictions, corrections, trial_answers, title_predictions)


class Eraser:
    """Raises `StoreUnavailable` when store or catalog don't answer.

    The gateway has no consumer, so its tables are cleared here: what models say of listed titles,
    and what a language model has answered. The latter is kept by questions' hashes, and quotes
    reviews: all of it goes, to be asked for again.
    """

    def __init__(self, catalog: Catalog, store: ObjectStore) -> None:
        self._catalog = catalog
        self._store = store

    async def on_records_erased(self, message: Message[RecordsErased]) -> list[Message[Any]]:
        told = message.event
        if told.service == TRAINER and told.models:
            reason = f"erasure {told.erasure_id}: {len(told.models)} models know what was erased"
            return [message.leads_to(RetrainingRequested(reason=reason, force=True))]
        if told.service != AFTER:
            return []
        erasure = await asyncio.to_thread(read_erasure, self._store, told.erasure_id)
        counts = await self._erase(erasure)
        log.info("records_erased", erasure=erasure.erasure_id, **counts)
        done = RecordsErased(erasure_id=erasure.erasure_id, service="monitor", counts=counts)
        return [message.leads_to(done)]

    async def _erase(self, erasure: Erasure) -> dict[str, int]:
        counts = {"catalog/drafts": await self._delete(drafts, lambda row: True)}
        if erasure.titles:
            for table in _ABOUT_TITLES:
                counts[f"catalog/{table.name}"] = await self._delete(
                    table,
                    lambda row: erasure.names_title(row.title_id) or erasure.names(row.text_hash),
                )
        await self._catalog.wipe()
        return counts

    async def _delete(self, table: sa.Table, goes: Callable[[Any], bool]) -> int:
        keys = list(table.primary_key.columns)
        told = [table.c[name] for name in ("title_id", "text_hash") if name in table.c]
        async with self._catalog.reading() as connection:
            listed = (await connection.execute(sa.select(*dict.fromkeys((*keys, *told))))).all()
        named = [tuple(getattr(row, key.name) for key in keys) for row in listed if goes(row)]
        count = 0
        for start in range(0, len(named), _AT_ONCE):
            some = _among(keys, named[start : start + _AT_ONCE])
            async with self._catalog.transaction() as connection:
                count += (await connection.execute(sa.delete(table).where(some))).rowcount
        return count


def _among(
    keys: Sequence[sa.Column[Any]], values: Sequence[tuple[Any, ...]]
) -> sa.ColumnElement[bool]:
    if len(keys) == 1:
        return keys[0].in_([value for (value,) in values])
    return sa.tuple_(*keys).in_(values)
