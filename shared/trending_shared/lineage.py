"""From a prediction back to the pages behind it, and once more through the model that made it.

    prediction ─▶ model bundle ─▶ dataset snapshot ─▶ its rows about the same title or text ─▶ pages

What was erased or never kept is named as a gap; the rest of the way is told all the same.
"""

import asyncio
import gzip
import hashlib
import zlib
from typing import Any, Literal

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from trending_shared.catalog import Catalog, corrections, predictions, titles
from trending_shared.datasets import DatasetManifest, read_dataset, read_manifest
from trending_shared.errors import ModelNotFound, ObjectMissing, PredictionUnknown, Rejected
from trending_shared.onnx_models import load_bundle
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.storage import ObjectStore

TOLERANCE = 1e-6  # a prediction is recorded to 6 digits
MAX_ROWS = 20  # rows of a dataset that are told one by one
_ROW = ("title_id", "text_hash", "page_url", "page_hash", "page_key", "event_id")


class Step(BaseModel):
    """A part of a lineage."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RecordedPrediction(Step):
    """What was answered, as the monitor recorded it."""

    prediction_id: str
    request_id: str
    correlation_id: str
    model: str
    model_version: str
    alias: str
    title_id: str | None
    text: str = Field(description="what the model read")
    text_hash: str
    probabilities: dict[str, float]
    genres: tuple[str, ...]
    served_at: AwareDatetime
    duration_ms: float
    experiment: str | None = Field(description="none outside of experiments")
    arm: str | None
    unit: str | None = Field(description="whom the arm was drawn for, by its hash")
    fallback: bool | None = Field(
        description="true if the arm couldn't be served, and the champion answered"
    )
    shadow_of: str | None = Field(
        description="the prediction that was told; with one, this one was told to nobody"
    )


class ModelOrigin(Step):
    """The bundle that answered, and how it came to be."""

    name: str
    version: str
    algorithm: str
    dataset_id: str
    training_id: str
    created_at: AwareDatetime
    code_version: str
    wandb_run: str | None


class DatasetOrigin(Step):
    """The snapshot that the model learned from."""

    dataset_id: str
    created_at: AwareDatetime
    rows: int
    labelled: int
    recipe: str
    tables: dict[str, int] = Field(description="versions of the tables it was cut from")
    code_version: str


class PageOrigin(Step):
    """The bytes that facts were read from."""

    url: str
    key: str
    hash: str = Field(description="sha256 of the page's bytes, in hex")
    verified: bool = Field(description="true if the bytes are still there and have that hash")


class RowOrigin(Step):
    """A row about the same title, or with the same text, and the page it was read from."""

    found_in: Literal["dataset", "catalog"]
    title_id: str
    same_title: bool
    same_text: bool
    event_id: str | None = Field(description="the cleaned title that the row was made from")
    page: PageOrigin


class Correction(Step):
    """What a person said instead."""

    feedback_id: str
    genres: tuple[str, ...]
    said_by: str
    corrected_at: AwareDatetime


class Replay(Step):
    """The same text through the same bundle, again."""

    equal: bool = Field(description=f"true if no probability differs by more than {TOLERANCE}")
    max_difference: float
    probabilities: dict[str, float]


class Lineage(Step):
    """A prediction's way back."""

    prediction: RecordedPrediction
    model: ModelOrigin | None = None
    dataset: DatasetOrigin | None = None
    matching_rows: int = Field(
        default=0, description="rows of the dataset about the same title or with the same text"
    )
    rows: tuple[RowOrigin, ...] = ()
    replay: Replay | None = None
    corrections: tuple[Correction, ...] = Field(
        default=(), description=f"what people said instead, the newest {MAX_ROWS}"
    )
    gaps: tuple[str, ...] = Field(default=(), description="what is missing, and why")


async def trace_prediction(
    prediction_id: str,
    *,
    catalog: Catalog,
    store: ObjectStore,
    registry: ModelRegistry,
    replay: bool = False,
) -> Lineage:
    """Follow a prediction back as far as anything was kept.

    Args:
        replay: execute it again with the same model version.

    Raises:
        PredictionUnknown: it isn't on record, or not yet.
        StoreUnavailable: store or catalog didn't answer.
    """
    async with catalog.reading() as connection:
        recorded = await connection.execute(
            sa.select(predictions).where(predictions.c.prediction_id == prediction_id)
        )
        row = recorded.mappings().one_or_none()
        if row is None:
            raise PredictionUnknown(f"no prediction {prediction_id} is on record")
        prediction = RecordedPrediction(**row)
        listed = await connection.execute(
            sa.select(
                titles.c.title_id,
                titles.c.text_hash,
                titles.c.url.label("page_url"),
                titles.c.page_hash,
                titles.c.page_key,
            )
            .where(
                sa.or_(
                    titles.c.title_id == prediction.title_id,
                    titles.c.text_hash == prediction.text_hash,
                )
            )
            .order_by(titles.c.title_id)
            .limit(MAX_ROWS)
        )
        entries = [dict(entry) for entry in listed.mappings()]
        said = await connection.execute(
            sa.select(corrections)
            .where(corrections.c.prediction_id == prediction_id)
            .order_by(corrections.c.corrected_at.desc(), corrections.c.feedback_id)
            .limit(MAX_ROWS)
        )
        corrected = tuple(Correction(**row) for row in said.mappings())
    found = await asyncio.to_thread(_trace, prediction, entries, store, registry, replay)
    return found.model_copy(update={"corrections": corrected})


def _trace(
    prediction: RecordedPrediction,
    entries: list[dict[str, Any]],
    store: ObjectStore,
    registry: ModelRegistry,
    replay: bool,
) -> Lineage:
    gaps: list[str] = []
    manifest = _manifest(prediction, registry, gaps)
    dataset = _dataset(manifest, store, gaps) if manifest else None
    matching = _matching_rows(prediction, dataset, store, gaps) if dataset else []
    rows = [
        _row(prediction, entry, found_in, store, gaps)
        for found_in, listed in (("dataset", matching[:MAX_ROWS]), ("catalog", entries))
        for entry in listed
    ]
    if not rows:
        gaps.append("no row is about this title or has this text; it came from outside")
    again = _replay(prediction, manifest, registry, gaps) if manifest and replay else None
    return Lineage(
        prediction=prediction,
        model=ModelOrigin(**manifest.model_dump()) if manifest else None,
        dataset=DatasetOrigin(**dataset.model_dump()) if dataset else None,
        matching_rows=len(matching),
        rows=tuple(rows),
        replay=again,
        gaps=tuple(dict.fromkeys(gaps)),
    )


def _manifest(
    prediction: RecordedPrediction, registry: ModelRegistry, gaps: list[str]
) -> Manifest | None:
    try:
        return registry.manifest(prediction.model, prediction.model_version)
    except (ModelNotFound, ValidationError) as error:
        gaps.append(f"model: {error}")
        return None


def _dataset(manifest: Manifest, store: ObjectStore, gaps: list[str]) -> DatasetManifest | None:
    try:
        return read_manifest(store, manifest.dataset_id)
    except Rejected as error:
        gaps.append(f"dataset: {error}")
        return None


def _matching_rows(
    prediction: RecordedPrediction, dataset: DatasetManifest, store: ObjectStore, gaps: list[str]
) -> list[dict[str, Any]]:
    # A gateway that nobody asks where its answers come from goes without these 30 MB.
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        table = read_dataset(store, dataset, columns=list(_ROW))
    except (Rejected, pa.ArrowInvalid) as error:
        gaps.append(f"rows: {error}")
        return []
    same = pc.equal(table["text_hash"], prediction.text_hash)
    if prediction.title_id is not None:
        same = pc.or_(same, pc.equal(table["title_id"], prediction.title_id))
    found: list[dict[str, Any]] = table.filter(same).to_pylist()
    return found


def _row(
    prediction: RecordedPrediction,
    entry: dict[str, Any],
    found_in: str,
    store: ObjectStore,
    gaps: list[str],
) -> RowOrigin:
    url, key, hash = entry["page_url"], entry["page_key"], entry["page_hash"]
    problem = page_problem(store, key, hash)
    if problem:
        gaps.append(f"page {url}: {problem}")
    return RowOrigin.model_validate(
        {
            "found_in": found_in,
            "title_id": entry["title_id"],
            "same_title": entry["title_id"] == prediction.title_id,
            "same_text": entry["text_hash"] == prediction.text_hash,
            "event_id": entry.get("event_id"),
            "page": {"url": url, "key": key, "hash": hash, "verified": problem is None},
        }
    )


def page_problem(store: ObjectStore, key: str, hash: str) -> str | None:
    """Why a page's kept bytes aren't the ones that were read; none if they are.

    Raises:
        StoreUnavailable: the store didn't answer.
    """
    try:
        kept = hashlib.sha256(gzip.decompress(store.get(key))).hexdigest()
    except ObjectMissing:
        return "its bytes aren't kept any more"
    except (OSError, EOFError, zlib.error):
        return "its bytes are damaged"
    return None if kept == hash else "its bytes were changed"


def _replay(
    prediction: RecordedPrediction, manifest: Manifest, registry: ModelRegistry, gaps: list[str]
) -> Replay | None:
    try:
        graph = load_bundle(registry, manifest)
        (values,) = graph.predict([prediction.text]).tolist()
    except (ModelNotFound, Rejected) as error:
        gaps.append(f"replay: {error}")
        return None
    again = dict(zip(manifest.labels, values, strict=True))
    recorded = prediction.probabilities
    difference = max(
        (abs(again.get(name, 0.0) - value) for name, value in recorded.items()), default=0.0
    )
    return Replay(
        equal=set(again) == set(recorded) and difference <= TOLERANCE,
        max_difference=difference,
        probabilities={label: round(value, 6) for label, value in again.items()},
    )
