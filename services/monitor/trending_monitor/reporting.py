"""Reports on what was served on a day: `python -m trending_monitor.reporting [DAY]`.

For each version of the model that answered that day, and for what was told of titles, a page and a
document in the object store (see `reports`), and an event that says what came of it.

The monitor runs this as a process of its own, because Evidently is large; a person may as well.
"""

import argparse
import asyncio
import gzip
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid5

import numpy as np
import pandas as pd
import sqlalchemy as sa
import structlog
from prometheus_client import CollectorRegistry

from trending_monitor.reports import (
    INSIGHTS,
    during,
    folder_of,
    is_told,
    start_of,
    subjects_of,
)
from trending_monitor.settings import MonitorSettings
from trending_shared.catalog import Catalog, insights, predictions
from trending_shared.datasets import DatasetDamaged, read_dataset, read_manifest
from trending_shared.errors import ModelNotFound, ObjectMissing, TrendingError
from trending_shared.evaluation import decide
from trending_shared.events import DriftReported
from trending_shared.features import LIBRARY
from trending_shared.kept_answers import AnswersDamaged, read_answers
from trending_shared.logs import configure_logs
from trending_shared.messages import NAMESPACE, Message, content_hash, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_shared.topics import ensure_topics, topic_spec

log = structlog.get_logger()

ROWS = 2000  # of a side; a larger sample shows the same distribution
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Tables:
    """A day beside what it is compared with."""

    subject: str
    reference_name: str
    current: pd.DataFrame
    reference: pd.DataFrame


# ---------------------------------------------------------------- what is compared


def describe(
    texts: Sequence[str], probabilities: np.ndarray[Any, Any], manifest: Manifest, known: set[str]
) -> pd.DataFrame:
    """The columns of n predictions: texts by their counts, probabilities, genres.

    Args:
        texts: n of them, or none if they can't be read.
        probabilities: (n, g), columns as the manifest's labels.
        known: the words that the model has seen.
    """
    given = decide(probabilities, manifest.thresholds, manifest.labels)
    columns: dict[str, Any] = {}
    if texts:
        words = [text.split() for text in texts]
        columns["text_words"] = [len(one) for one in words]
        columns["text_characters"] = [len(text) for text in texts]
        columns["text_unknown_words"] = [
            sum(word not in known for word in one) / max(len(one), 1) for one in words
        ]
    columns["confidence"] = probabilities.max(axis=1)
    columns["genres_given"] = given.sum(axis=1)
    columns["first_genre"] = np.array(manifest.labels, object)[probabilities.argmax(axis=1)]
    for g, label in enumerate(manifest.labels):
        columns[f"genre:{label}"] = probabilities[:, g]
    return pd.DataFrame(columns)


async def tables_of(catalog: Catalog, store: ObjectStore, day: date, subject: str) -> Tables:
    """What was served of a subject on a day, and what it is compared with.

    Without a bundle that tells what its model answered there is nothing to compare, and the
    report says so.

    Raises:
        StoreUnavailable: the store or the catalog didn't answer.
    """
    if subject == INSIGHTS:
        return await _insights_beside(catalog, day)
    try:
        return await _predictions_beside(catalog, store, day, subject)
    except (ModelNotFound, AnswersDamaged) as error:
        nothing = pd.DataFrame({"everything": []})
        return Tables(subject, f"none: {error}", nothing, pd.DataFrame())


async def _predictions_beside(
    catalog: Catalog, store: ObjectStore, day: date, version: str
) -> Tables:
    """A version's predictions of a day, and its answers to the titles that it was tested on."""
    first = start_of(day)
    end = first + _DAY
    registry = ModelRegistry(store)
    async with catalog.reading() as connection:
        found = await connection.execute(
            sa.select(predictions.c.model, predictions.c.text, predictions.c.probabilities)
            .where(predictions.c.model_version == version, during(predictions, first, end))
            .where(predictions.c.shadow_of.is_(None))
            .order_by(predictions.c.prediction_id)  # which is random, and so is the sample
            .limit(ROWS)
        )
        rows = found.all()
    manifest = registry.manifest(rows[0].model if rows else "genres", version)
    answers = read_answers(registry, manifest)
    texts, known = _texts(store, manifest, answers.title_ids.tolist())
    said = [[row.probabilities[label] for label in manifest.labels] for row in rows]
    asked = np.array(said, np.float32).reshape(-1, len(manifest.labels))
    return Tables(
        subject=version,
        reference_name=f"{len(answers.title_ids)} titles that the model was tested on",
        current=describe([row.text for row in rows], asked, manifest, known),
        reference=describe(texts, answers.probabilities[:ROWS], manifest, known),
    )


def _texts(
    store: ObjectStore, manifest: Manifest, title_ids: Sequence[str]
) -> tuple[list[str], set[str]]:
    """The test titles' texts, at most `ROWS`, and all words of the others; none if they are gone.

    Without them texts can't be compared, and the rest can.
    """
    recipe = LIBRARY[manifest.recipe]
    try:
        dataset = read_manifest(store, manifest.dataset_id)
        table = read_dataset(store, dataset, ["title_id", *recipe.reads])
    except (ObjectMissing, DatasetDamaged) as error:
        log.warning("reference_texts_missing", version=manifest.version, reason=str(error))
        return [], set()
    of_title = {row["title_id"]: recipe.of(row) for row in table.to_pylist()}
    tested = set(title_ids)
    if not tested <= of_title.keys():
        return [], set()
    known = {word for id, text in of_title.items() if id not in tested for word in text.split()}
    return [of_title[id] for id in title_ids[:ROWS]], known


async def _insights_beside(catalog: Catalog, day: date) -> Tables:
    """What was told of titles on a day, and in the week before it.

    Their events hold counts, costs and hashes and no words, so these are what is compared.
    """
    first = start_of(day)
    end = first + _DAY
    return Tables(
        subject=INSIGHTS,
        reference_name="what was told in the seven days before",
        current=await _told(catalog, first, end),
        reference=await _told(catalog, first - _WEEK, first),
    )


async def _told(catalog: Catalog, first: datetime, end: datetime) -> pd.DataFrame:
    async with catalog.reading() as connection:
        found = await connection.execute(
            sa.select(insights)
            .where(during(insights, first, end))
            .order_by(insights.c.insight_id)
            .limit(ROWS)
        )
        rows = found.all()
    return pd.DataFrame(
        {
            "outcome": [row.outcome for row in rows],
            "reason": [row.reason or "none" for row in rows],
            "prompt_version": [row.prompt_version for row in rows],
            "attempts": [row.attempts for row in rows],
            "prompt_tokens": [row.prompt_tokens for row in rows],
            "completion_tokens": [row.completion_tokens for row in rows],
            "cost_usd": [row.cost_usd for row in rows],
            "sentences": [row.sentences for row in rows],
            "withheld": [row.withheld for row in rows],
            "claims": [row.claims for row in rows],
            "dropped": [sum(row.dropped.values()) for row in rows],
            "score": [row.score for row in rows],
        }
    ).astype({"score": float})


# ---------------------------------------------------------------- what comes of it


def keep(store: ObjectStore, day: date, tables: Tables) -> DriftReported:
    """Compare, and put page and document into the store."""
    from trending_monitor.comparing import compare  # see there

    compared = compare(tables.current, tables.reference)
    folder = folder_of(day, tables.subject)
    html, document = f"{folder}/report.html.gz", f"{folder}/report.json"
    event = DriftReported(
        day=day,
        subject=tables.subject,
        reference=tables.reference_name,
        rows=len(tables.current),
        reference_rows=len(tables.reference),
        scores=compared.scores,
        thresholds=compared.thresholds,
        drifted=compared.drifted,
        failed=compared.failed,
        html=html if compared.html else None,
        document=document,
    )
    if compared.html:
        store.put(html, gzip.compress(compared.html.encode(), mtime=0))
    told: Mapping[str, Any] = {**event.model_dump(mode="json"), "evidently": compared.document}
    store.put(document, json.dumps(told).encode())
    return event


def told(event: DriftReported) -> Message[DriftReported]:
    """The event's message; the same report has the same id."""
    name = content_hash(event.model_dump_json())
    return first_message(event, id=uuid5(NAMESPACE, f"report:{event.natural_key}:{name}"))


async def make_reports(
    settings: MonitorSettings, day: date, *, only_missing: bool
) -> list[DriftReported]:
    """Make, keep and publish the reports of a day.

    Raises:
        StoreUnavailable, BrokerUnavailable: something didn't answer; the next call goes on.
    """
    store, catalog = ObjectStore.at(settings.store), Catalog(settings.catalog)
    await catalog.create()
    made: list[DriftReported] = []
    try:
        subjects = await subjects_of(catalog, day)
        if only_missing:
            subjects = [one for one in subjects if not is_told(store, day, one)]
        if subjects:
            made = await _make(settings, catalog, store, day, subjects)
    finally:
        await catalog.close()
    return made


async def _make(
    settings: MonitorSettings,
    catalog: Catalog,
    store: ObjectStore,
    day: date,
    subjects: Sequence[str],
) -> list[DriftReported]:
    made = []
    kafka = settings.kafka
    await ensure_topics(
        [topic_spec(DriftReported, partitions=kafka.partitions)],
        kafka.connection,
        kafka.replication_factor,
    )
    async with KafkaPublisher(
        kafka,
        service="monitor",
        code_version=settings.code_version,
        registry=CollectorRegistry(),
    ) as publisher:
        for subject in subjects:
            tables = await tables_of(catalog, store, day, subject)
            event = await asyncio.to_thread(keep, store, day, tables)
            await publisher.publish([told(event)])
            store.put(f"{folder_of(day, subject)}/told", b"")
            made.append(event)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    parser = argparse.ArgumentParser(
        prog="python -m trending_monitor.reporting",
        description="Compare what was served on a day with what is known, by Evidently.",
    )
    parser.add_argument(
        "day", nargs="?", type=date.fromisoformat, default=yesterday, help="UTC (default: the last)"
    )
    parser.add_argument("--missing", action="store_true", help="leave out what is there already")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    try:
        settings = read_settings(MonitorSettings)
        configure_logs(service="reporting", level="WARNING")  # on stderr
        made = asyncio.run(make_reports(settings, options.day, only_missing=options.missing))
    except TrendingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if options.json:
        sys.stdout.write(f"{json.dumps([one.model_dump(mode='json') for one in made])}\n")
        return 0
    if not made:
        sys.stdout.write(f"nothing to report of {options.day}\n")
    for one in made:
        verdict = f"{len(one.drifted)} of {len(one.scores)} drifted, {len(one.failed)} failed"
        sys.stdout.write(f"{one.day} {one.subject}: {verdict}; {one.html or one.document}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
