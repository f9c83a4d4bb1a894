"""Dataset snapshots: what is known of one, and how its rows are read back.

    datasets/<dataset id>/titles.parquet    one row a title
    datasets/<dataset id>/manifest.json     written last and only once: with it a snapshot is whole

The featurizer cuts them; the trainer, the gateway and the command line read.
"""

import hashlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from trending_shared.errors import ObjectMissing, Rejected
from trending_shared.storage import ObjectStore

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "datasets"


class DatasetDamaged(Rejected):
    """A snapshot's manifest or file isn't what was published."""


class DatasetFile(BaseModel):
    """One object of a snapshot."""

    model_config = ConfigDict(frozen=True)

    key: str
    sha256: str
    bytes: int
    md5: str | None = None
    """By which DVC names the file; datasets of before it was kept have none."""


class ErasedRows(BaseModel):
    """What a snapshot has lost since it was cut."""

    model_config = ConfigDict(frozen=True)

    erasure_id: str
    titles: int
    reviews: int
    erased_at: AwareDatetime


class DatasetManifest(BaseModel):
    """All that is known of a snapshot besides its rows."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dataset_id: str
    created_at: AwareDatetime
    rows: int
    labelled: int
    reviews: int
    columns: dict[str, str]
    """Arrow types by name, in the order of the file."""
    recipe: str
    """How `text` was made; see `trending_shared.features`."""
    tables: dict[str, int]
    """Versions of the Delta tables it was cut from; -1 for one that didn't exist."""
    files: tuple[DatasetFile, ...]
    sources: dict[str, int]
    """Titles by source; `licenses` and `labels` likewise, a title under each of its genres."""
    licenses: dict[str, int]
    labels: dict[str, int]
    code_version: str
    requested_by: UUID
    """The event that led to it."""
    correlation_id: UUID
    erased: tuple[ErasedRows, ...] = ()
    """Its id stays that of the rows it was cut with; `rows` and `files` are what is left."""

    @property
    def key(self) -> str:
        return manifest_key(self.dataset_id)


def manifest_key(dataset_id: str) -> str:
    return f"{FOLDER}/{dataset_id}/manifest.json"


def rows_key(dataset_id: str) -> str:
    return f"{FOLDER}/{dataset_id}/titles.parquet"


def read_manifest(store: ObjectStore, dataset_id: str) -> DatasetManifest:
    """The manifest of a snapshot.

    Raises:
        ObjectMissing: there is no such snapshot.
        DatasetDamaged: the document isn't a manifest.
        StoreUnavailable: the store didn't answer.
    """
    try:
        return DatasetManifest.model_validate_json(store.get(manifest_key(dataset_id)))
    except ValidationError as error:
        raise DatasetDamaged(f"manifest of {dataset_id}: {error}") from error


def list_datasets(store: ObjectStore) -> list[str]:
    """The ids of all whole snapshots, in no telling order."""
    keys = store.keys(FOLDER)
    return [key.split("/")[-2] for key in keys if key.endswith("/manifest.json")]


def newest_manifest(store: ObjectStore) -> DatasetManifest | None:
    """The manifest of the snapshot that was cut last; none if there is none."""
    manifests = [read_manifest(store, dataset_id) for dataset_id in list_datasets(store)]
    return max(manifests, key=lambda one: (one.created_at, one.dataset_id), default=None)


def read_dataset(
    store: ObjectStore, manifest: DatasetManifest, columns: list[str] | None = None
) -> "pa.Table":
    """A snapshot's rows, `manifest.rows` of them, sorted by `title_id`.

    Args:
        columns: the columns to read; all of `manifest.columns` if not given.

    Raises:
        DatasetDamaged: a file is missing or its bytes aren't the ones that were published.
        StoreUnavailable: the store didn't answer.
    """
    # Whoever reads only manifests, as the gateway does, needs no pyarrow.
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts: list[Any] = []
    for file in manifest.files:
        try:
            data = store.get(file.key)
        except ObjectMissing as error:
            raise DatasetDamaged(f"dataset {manifest.dataset_id} lacks {file.key}") from error
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise DatasetDamaged(f"dataset {manifest.dataset_id}: {file.key} was changed")
        parts.append(pq.read_table(pa.BufferReader(data), columns=columns))
    return pa.concat_tables(parts)
