"""Cuts dataset snapshots from the cleaner's tables, and knows which message led to which."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import pyarrow as pa
import structlog
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from trending_featurizer.dataset_rows import (
    REVIEW_COLUMNS,
    TITLE_COLUMNS,
    describe_rows,
    hash_rows,
    join_rows,
    to_parquet,
    without_erased,
)
from trending_featurizer.metrics import FeaturizerMetrics
from trending_shared.clock import Clock
from trending_shared.datasets import (
    DatasetDamaged,
    DatasetFile,
    DatasetManifest,
    ErasedRows,
    list_datasets,
    read_dataset,
    read_manifest,
    rows_key,
)
from trending_shared.erasures import Erasure
from trending_shared.errors import StoreUnavailable, Unavailable
from trending_shared.events import DatasetPublished
from trending_shared.features import RECIPE
from trending_shared.messages import Message
from trending_shared.storage import ObjectStore, in_short
from trending_shared.tables import storage_options

log = structlog.get_logger()


class NoTitlesYet(Unavailable):
    """A dataset was asked for before any title lay in the table `titles`."""


class Datasets:
    """Snapshots in the object store; blocking, for a thread.

    Every method raises `StoreUnavailable` when the store or a table doesn't answer.

    Args:
        titles: where the cleaner's Delta table `titles` lies; `reviews` likewise. Both are only
            read, each at one version.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        titles: str,
        reviews: str,
        code_version: str,
        clock: Clock,
        metrics: FeaturizerMetrics,
    ) -> None:
        self._store = store
        self._titles = titles
        self._reviews = reviews
        self._code_version = code_version
        self._clock = clock
        self._metrics = metrics
        self._manifests: dict[str, DatasetManifest | None] = {}

    def answer(self, request: Message[Any]) -> Message[DatasetPublished]:
        """The dataset that a request leads to: the one it led to before, or a new one.

        Raises:
            NoTitlesYet: there is nothing to publish.
        """
        manifest = _led_to(self._known(), request.id) or self._cut(request)
        return request.leads_to(published(manifest))

    def cut_if_due(
        self, messages: Sequence[Message[Any]], *, titles: int, every: int
    ) -> list[Message[DatasetPublished]]:
        """What a batch of title events leads to, if anything.

        A snapshot is due when `titles`, how many are known now, exceeds the rows of the newest one
        by `every`. Both outlive this process, and so does the name of the message that led to a
        snapshot: a batch read again publishes the same fact again.
        """
        known = self._known()
        answers = [
            message.leads_to(published(manifest))
            for message in messages
            if (manifest := _led_to(known, message.id))
        ]
        newest = max(known, key=lambda one: (one.created_at, one.rows), default=None)
        if answers or titles - (newest.rows if newest else 0) < every:
            return answers
        trigger = messages[-1]
        manifest = self._cut(trigger)
        if manifest.requested_by != trigger.id:
            return []  # this very content was published before
        return [trigger.leads_to(published(manifest))]

    def _cut(self, request: Message[Any]) -> DatasetManifest:
        with self._metrics.snapshot_seconds.time():
            titles, titles_version = _read(self._titles, TITLE_COLUMNS)
            reviews, reviews_version = _read(self._reviews, REVIEW_COLUMNS)
            if not titles.num_rows:
                raise NoTitlesYet("the table titles holds nothing yet")
            rows = join_rows(titles, reviews)
            dataset_id = hash_rows(rows)
            draft = DatasetManifest(
                dataset_id=dataset_id,
                created_at=self._clock.now(),
                recipe=RECIPE,
                tables={"titles": titles_version, "reviews": reviews_version},
                files=(self._store_rows(dataset_id, rows),),
                code_version=self._code_version,
                requested_by=request.id,
                correlation_id=request.correlation_id,
                **describe_rows(rows),
            )
            new = self._store.put_new(draft.key, draft.model_dump_json(indent=1).encode())
            manifest = read_manifest(self._store, dataset_id)
        self._metrics.snapshots.labels("new" if new else "unchanged").inc()
        self._metrics.snapshot_rows.set(manifest.rows)
        log.info("dataset_cut", dataset_id=dataset_id, titles=manifest.rows, new=new)
        return manifest

    def erase(self, erasure: Erasure) -> tuple[list[str], int]:
        """Erase rows of all snapshots: titles of an erased page, and reviews of those that stay.

        What is left is written beside what was there and the manifest then says where, so a
        snapshot is whole at any time, and what is erased from it once more is nothing.

        Returns:
            The ids of all that have lost rows by this erasure, and how many rows and reviews went
            this time.
        """
        lost, gone = [], 0
        for dataset_id in list_datasets(self._store):
            try:
                manifest = read_manifest(self._store, dataset_id)
                rows = read_dataset(self._store, manifest)
            except DatasetDamaged as error:  # nobody learns from it; whoever searches sees it
                log.error("dataset_damaged", dataset_id=dataset_id, detail=str(error))
                continue
            left, titles, reviews = without_erased(rows, erasure)
            if titles or reviews:
                self._replace_rows(manifest, left, erasure, titles, reviews)
                self._manifests.pop(dataset_id, None)
                gone += titles + reviews
            # What a killed process left beside.
            kept = {file.key for file in read_manifest(self._store, dataset_id).files}
            for key in self._store.keys(f"datasets/{dataset_id}"):
                if key.endswith(".parquet") and key not in kept:
                    self._store.delete(key)
            known = read_manifest(self._store, dataset_id).erased
            if any(one.erasure_id == erasure.erasure_id for one in known):
                lost.append(dataset_id)
        return lost, gone

    def _replace_rows(
        self,
        manifest: DatasetManifest,
        left: pa.Table,
        erasure: Erasure,
        titles: int,
        reviews: int,
    ) -> None:
        data = to_parquet(left)
        digest = hashlib.sha256(data).hexdigest()
        key = rows_key(manifest.dataset_id).replace(".parquet", f"-{digest[:8]}.parquet")
        self._store.put(key, data)
        erased = ErasedRows(
            erasure_id=erasure.erasure_id,
            titles=titles,
            reviews=reviews,
            erased_at=self._clock.now(),
        )
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        changed = {
            "files": (DatasetFile(key=key, sha256=digest, bytes=len(data), md5=md5),),
            "erased": (*manifest.erased, erased),
            **describe_rows(left),
        }
        renewed = manifest.model_copy(update=changed)
        self._store.put(manifest.key, renewed.model_dump_json(indent=1).encode())

    def _store_rows(self, dataset_id: str, rows: pa.Table) -> DatasetFile:
        key, data = rows_key(dataset_id), to_parquet(rows)
        if not self._store.put_new(key, data):
            data = self._store.get(key)  # the same rows, maybe packed by another version
        return DatasetFile(
            key=key,
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        )

    def _known(self) -> list[DatasetManifest]:
        """The manifests in the store; each is read once, as they never change."""
        ids = list_datasets(self._store)
        for dataset_id in ids:
            if dataset_id not in self._manifests:
                try:
                    self._manifests[dataset_id] = read_manifest(self._store, dataset_id)
                except DatasetDamaged as error:  # that is no reason to park titles
                    log.error("dataset_damaged", dataset_id=dataset_id, detail=str(error))
                    self._manifests[dataset_id] = None
        found = (self._manifests[dataset_id] for dataset_id in ids)
        return [manifest for manifest in found if manifest]


def published(manifest: DatasetManifest) -> DatasetPublished:
    """The fact that a snapshot lies in the store."""
    return DatasetPublished(
        dataset_id=manifest.dataset_id,
        manifest_key=manifest.key,
        titles=manifest.rows,
        labelled=manifest.labelled,
        recipe=manifest.recipe,
        table_version=manifest.tables["titles"],
    )


def _led_to(manifests: Iterable[DatasetManifest], message_id: UUID) -> DatasetManifest | None:
    return next((one for one in manifests if one.requested_by == message_id), None)


def _read(uri: str, columns: Sequence[str]) -> tuple[pa.Table, int]:
    """A table's rows at its newest version, and that version; -1 and no rows if there is none."""
    try:
        table = DeltaTable(uri, storage_options=storage_options())
        return table.to_pyarrow_table(columns=list(columns)), int(table.version())
    except TableNotFoundError:
        return pa.table({name: pa.array([], pa.string()) for name in columns}), -1
    except (DeltaError, OSError) as error:
        raise StoreUnavailable(f"table {uri}: {in_short(error)}") from error
