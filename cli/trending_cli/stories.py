"""One title's story across the services, put together from what each of them keeps.

    tables      what was cleaned, refused, merged and featurized, and of which page
    catalog     trends, predictions, their windows, corrections
    store       the datasets that hold it, the models that learned of them, where the alias went
    event log   when each of these happened, to the millisecond, what the page had said, and what is
                kept nowhere else: jobs, dead letters, insights

The log is kept for some days only. What is told without it has the time of its page instead, and
says so.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from aiokafka import ConsumerRecord
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from trending_shared.catalog import (
    Catalog,
    Folded,
    corrections,
    fold,
    identities,
    predictions,
    titles,
    trends,
    windows,
)
from trending_shared.datasets import DatasetManifest, list_datasets, read_dataset, read_manifest
from trending_shared.errors import BrokerUnavailable, Rejected, StoreUnavailable, TrendingError
from trending_shared.events import (
    FactsScraped,
    FeaturesComputed,
    InsightServed,
    ModelPromoted,
    ModelRegistered,
    PageFetched,
    RecordRejected,
    ReviewCleaned,
    ScrapeJob,
    TitleCleaned,
    TitleMerged,
    TitleScraped,
)
from trending_shared.lineage import page_problem
from trending_shared.messages import Message, Position, decode
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.settings import KafkaSettings
from trending_shared.splits import is_test
from trending_shared.storage import ObjectStore, in_short
from trending_shared.tables import storage_options, table_uri
from trending_shared.unhandled import ORIGIN, REASON
from trending_shared.walk import reading_since

MODEL = "genres"
MOST = 20  # predictions, trends and candidates that are told one by one
_FIRST = ("asked for", "fetched")  # of what has the same millisecond
_COMPARED = ("name", "kind", "year", "genres", "countries", "language", "rating_count")

Row = Mapping[str, Any]


class TitleUnknown(Rejected):
    """Nothing that is kept is of this title."""


class TitleAmbiguous(TrendingError):
    """Several titles could be meant; `candidates` are their ids, names and addresses."""

    def __init__(self, asked: str, candidates: Sequence[tuple[str, str, str]], more: int) -> None:
        super().__init__(f"{len(candidates) + more} titles could be meant by {asked!r}; give an id")
        self.candidates = candidates
        self.more = more


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a story is of; a record that was refused from the first has no title id."""

    title_id: str | None
    source: str
    source_id: str
    name: str | None = None
    url: str | None = None


class Step(BaseModel):
    """Something that happened to a title."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    exact: bool = Field(default=True, description="false for the time of its page instead")
    service: str
    what: str
    told: str = Field(description="in a few words")
    trace_id: str | None = None
    event_id: str | None = Field(
        default=None, description="its own; without the log that of what led to it"
    )
    seconds: float | None = Field(
        default=None, description="since the step before whose time is exact"
    )
    details: dict[str, Any] = {}


class Story(BaseModel):
    """A title's steps in the order of time."""

    model_config = ConfigDict(frozen=True)

    title_id: str | None
    source: str
    source_id: str
    name: str | None
    url: str | None
    steps: tuple[Step, ...]
    traces: dict[str, int] = Field(description="trace ids, and how many steps are of each")
    gaps: tuple[str, ...] = Field(description="what is missing, and why")

    @property
    def seconds(self) -> float:
        """From the first step whose time is exact to the last one."""
        return sum(step.seconds or 0.0 for step in self.steps)


async def tell_story(
    asked: str, *, catalog: Catalog, store: ObjectStore, store_url: str, kafka: KafkaSettings
) -> Story:
    """The story of a title, as far as anything of it is kept.

    Args:
        asked: its id, name or address, what its source calls it as `source:id`, or a prediction's.

    Raises:
        TitleUnknown, TitleAmbiguous: it isn't clear whose story.
        StoreUnavailable: store or catalog didn't answer.
    """
    subject = await _find(asked, catalog, store_url)
    tables = await asyncio.to_thread(_Tables.read, store_url, subject)
    gaps: list[str] = []
    known = await _of_catalog(catalog, subject, gaps)
    learned = await asyncio.to_thread(_of_store, store, subject, tables, gaps)
    reading = await _read_log(kafka, subject, tables, gaps)
    told = {**tables.steps(), **reading.steps()}  # as the log tells it where it does
    return _story(subject, [*told.values(), *known, *map(reading.traced, learned)], gaps)


def _story(subject: Subject, steps: Iterable[Step], gaps: Iterable[str]) -> Story:
    ordered = sorted(steps, key=lambda step: (step.at, step.what not in _FIRST))
    former: Step | None = None
    timed = []
    for step in ordered:
        if step.exact:
            since = (step.at - former.at).total_seconds() if former else None
            step = former = step.model_copy(update={"seconds": since})
        timed.append(step)
    traces = Counter(step.trace_id for step in ordered if step.trace_id)
    return Story(
        title_id=subject.title_id,
        source=subject.source,
        source_id=subject.source_id,
        name=subject.name,
        url=subject.url,
        steps=tuple(timed),
        traces=dict(traces),
        gaps=tuple(dict.fromkeys(gaps)),
    )


# ---------------------------------------------------------------- whose story


async def _find(asked: str, catalog: Catalog, store_url: str) -> Subject:
    async with catalog.reading() as connection:
        prediction = await connection.execute(
            sa.select(predictions.c.title_id).where(predictions.c.prediction_id == asked)
        )
        if row := prediction.one_or_none():
            if row.title_id is None:
                raise TitleUnknown(
                    f"prediction {asked} is about a text, not a title; see `trending lineage`"
                )
            asked = row.title_id
        columns = (titles.c.title_id, titles.c.source, titles.c.source_id, titles.c.name)
        named = sa.select(*columns, titles.c.url).order_by(titles.c.name, titles.c.title_id)
        conditions = (
            sa.or_(
                titles.c.title_id == asked,
                titles.c.url == asked,
                titles.c.source + ":" + titles.c.source_id == asked,
            ),
            Folded(titles.c.name) == fold(asked),
            Folded(titles.c.name).contains(fold(asked), autoescape=True),
        )
        for condition in conditions:
            found = (await connection.execute(named.where(condition).limit(1000))).all()
            if len(await _merged_ids(connection, [one.title_id for one in found])) == 1:
                return Subject(*found[0])
            if found:
                candidates = [(one.title_id, one.name, one.url) for one in found[:MOST]]
                raise TitleAmbiguous(asked, candidates, len(found) - len(candidates))
    refused = await asyncio.to_thread(_find_refused, asked, store_url)
    if refused is None:
        raise TitleUnknown(f"no title, prediction or refused record is known by {asked!r}")
    return refused


async def _merged_ids(connection: AsyncConnection, ids: Sequence[str]) -> set[str]:
    """Under which ids titles are listed; those that several sources tell of are one."""
    query = sa.select(identities.c.title_id, identities.c.merged_id)
    found = await connection.execute(query.where(identities.c.title_id.in_(ids)))
    merged = {row.title_id: row.merged_id for row in found}
    return {merged.get(id, id) for id in ids}


def _find_refused(asked: str, store_url: str) -> Subject | None:
    """A record that never became a title, by its address or by what its source calls it."""
    source, _, source_id = asked.partition(":")
    either = [
        [("page_url", "=", asked)],
        [("source", "=", source), ("source_id", "=", source_id)],
    ]
    for row in _rows(store_url, "rejects", either):
        if row["record"] in ("title", "facts"):
            return Subject(row["title_id"], row["source"], row["source_id"], url=row["page_url"])
    return None


# ---------------------------------------------------------------- tables


@dataclass(frozen=True, slots=True)
class _Tables:
    """The rows about a title."""

    titles: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    reviews: list[dict[str, Any]]
    merged: list[dict[str, Any]]
    features: list[dict[str, Any]]

    @classmethod
    def read(cls, store_url: str, subject: Subject) -> "_Tables":
        record = [("source", "=", subject.source), ("source_id", "=", subject.source_id)]
        title = [("title_id", "=", subject.title_id or "")]
        merged = [
            row
            for row in _rows(store_url, "merged", columns=["members", "event_id", "correlation_id"])
            if any(member["title_id"] == subject.title_id for member in row["members"])
        ]
        return cls(
            titles=_rows(store_url, "titles", [title]),
            rejects=_rows(store_url, "rejects", [record]),
            reviews=_rows(store_url, "reviews", [title], ["event_id", "fetched_at"]),
            merged=merged,
            features=_rows(
                store_url, "features", [title], ["event_id", "fetched_at", "recipe", "encoder"]
            ),
        )

    @property
    def began(self) -> datetime | None:
        """When the first page was fetched that tells of it."""
        rows = [*self.titles, *self.rejects, *self.reviews]
        return min((row["fetched_at"] for row in rows), default=None)

    @property
    def correlations(self) -> frozenset[str]:
        return frozenset(row["correlation_id"] for row in (*self.titles, *self.rejects))

    def steps(self) -> dict[tuple[str, str], Step]:
        """By what happened and the event that led to it, which the log tells as well."""
        steps = []
        for row in self.titles:
            steps += [_scraped(row), _step(row, "cleaned", "cleaner", _cleaned(row))]
        for row in self.rejects:
            if row["record"] in ("title", "facts"):
                steps.append(_scraped(row))
            told = f"{row['reason']}: {row['detail']}"
            steps.append(_step(row, _refused(row["record"]), "cleaner", told, row["rejected_at"]))
        for row in self.features:
            told = f"by {row['recipe']}, encoder {row['encoder']}"
            steps.append(_step(row, "featurized", "featurizer", told))
        for row in self.merged:
            at = {"fetched_at": self._fetched(row["event_id"])}
            steps.append(_step(row | at, "merged", "cleaner", _joined(row["members"])))
        return {(step.what, step.event_id or ""): step for step in steps}

    def _fetched(self, event_id: str) -> datetime:
        rows = [row for row in (*self.titles, *self.rejects) if row["event_id"] == event_id]
        return rows[0]["fetched_at"] if rows else self.began or datetime.now(UTC)


def _scraped(row: Row) -> Step:
    return _step(row, "scraped", "scraper", f"from {row['page_url']}", row["fetched_at"])


def _step(row: Row, what: str, service: str, told: str, exactly: datetime | None = None) -> Step:
    """What a row says; without a time of its own, it has that of its page."""
    correlation = row.get("correlation_id")
    return Step(
        at=exactly or row["fetched_at"],
        exact=exactly is not None,
        service=service,
        what=what,
        told=told,
        trace_id=UUID(correlation).hex if correlation else None,
        event_id=row["event_id"],
    )


def _rows(
    store_url: str,
    name: str,
    filters: Sequence[Sequence[tuple[str, str, str]]] | None = None,
    columns: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of a table that all of one of the filters hold for; none if there is no table."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        table = DeltaTable(table_uri(store_url, name), storage_options=storage_options())
        found = table.to_pyarrow_table(
            columns=list(columns) if columns else None,
            filters=[list(group) for group in filters] if filters else None,
        )
    except TableNotFoundError:
        return []
    except (DeltaError, OSError) as error:
        raise StoreUnavailable(f"table {name}: {in_short(error)}") from error
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def _cleaned(row: Row) -> str:
    parts = [
        str(row["kind"]),
        str(row["year"] or "no year"),
        ", ".join(row["genres"]) or "no genre",
    ]
    if unknown := row.get("unknown_genres"):
        parts.append(f"unknown: {', '.join(unknown)}")
    if warnings := row.get("warnings"):
        parts.append(f"in doubt: {', '.join(warnings)}")
    return "; ".join(parts)


def _refused(record: str) -> str:
    return "refused" if record in ("title", "facts") else f"{record} refused"


def _joined(members: Sequence[Row]) -> str:
    if len(members) == 1:
        return "told by one source alone"
    told = (f"{each['source']}:{each['source_id']} ({each['reason']})" for each in members)
    return f"one title with {', '.join(told)}"


# ---------------------------------------------------------------- catalog


async def _of_catalog(catalog: Catalog, subject: Subject, gaps: list[str]) -> list[Step]:
    async with catalog.reading() as connection:

        async def newest(table: sa.Table, by: sa.Column[Any]) -> list[dict[str, Any]]:
            query = sa.select(table).where(table.c.title_id == (subject.title_id or ""))
            found = await connection.execute(query.order_by(by.desc()).limit(MOST + 1))
            rows = [dict(row) for row in found.mappings()]
            if len(rows) > MOST:
                gaps.append(f"of {table.name} only the newest {MOST} are told")
            return rows[:MOST]

        moved = await newest(trends, trends.c.day)
        served = await newest(predictions, predictions.c.served_at)
        said = await newest(corrections, corrections.c.corrected_at)
        ids = {row["window_id"] for row in served if row["window_id"]}
        found = await connection.execute(sa.select(windows).where(windows.c.window_id.in_(ids)))
        measured = [dict(row) for row in found.mappings()]
    return [
        *(_trend(row) for row in moved),
        *(_prediction(row) for row in served),
        *(_correction(row) for row in said),
        *(_window(row, served) for row in measured),
    ]


def _trend(row: Row) -> Step:
    return Step(
        at=min(datetime.combine(row["day"], time.max, UTC), datetime.now(UTC)),
        exact=False,
        service="featurizer",
        what="trend",
        told=f"{row['score']:+.2f} on {row['day']}: {row['recent']:.1f} signals a day, "
        f"{row['expected']:.1f} expected",
        details={name: row[name] for name in ("day", "score", "recent", "expected", "signals")},
    )


def _prediction(row: Row) -> Step:
    probabilities = row["probabilities"]
    genres = ", ".join(f"{genre} {probabilities.get(genre, 0):.2f}" for genre in row["genres"])
    told = f"{genres or 'abstained'}, by {row['model']} {row['model_version']} ({row['alias']})"
    if row["shadow_of"]:
        told += ", in shadow"
    return Step(
        at=row["served_at"],
        service="inference",
        what="predicted",
        told=told,
        trace_id=UUID(row["correlation_id"]).hex,
        event_id=row["prediction_id"],
        details={"prediction_id": row["prediction_id"], "window_id": row["window_id"]},
    )


def _correction(row: Row) -> Step:
    return Step(
        at=row["corrected_at"],
        service="inference",
        what="corrected",
        told=f"{', '.join(row['genres']) or 'none'}, by {row['said_by']}",
        event_id=row["feedback_id"],
        details={"prediction_id": row["prediction_id"]},
    )


def _window(row: Row, served: Sequence[Row]) -> Step:
    count = sum(each["window_id"] == row["window_id"] for each in served)
    drifted = f"drifted: {', '.join(row['drifted'])}" if row["drifted"] else "steady"
    return Step(
        at=row["last_at"],
        service="monitor",
        what="window",
        told=f"{drifted}; {row['predictions']} predictions of {row['model_version']}, "
        f"{count} of them of this title",
        details={"window_id": row["window_id"], "scores": row["scores"]},
    )


# ---------------------------------------------------------------- datasets and models


def _of_store(store: ObjectStore, subject: Subject, tables: _Tables, gaps: list[str]) -> list[Step]:
    """What was learned of it; says besides of pages that aren't there any more."""
    pages = {row["page_key"]: row for row in (*tables.titles, *tables.rejects)}
    for key, page in pages.items():
        if problem := page_problem(store, key, page["page_hash"]):
            gaps.append(f"page {page['page_url']}: {problem}")
    steps: list[Step] = []
    splits: dict[str, str] = {}
    for dataset_id in list_datasets(store):
        try:
            manifest = read_manifest(store, dataset_id)
            row = _row_of(store, manifest, subject.title_id)
        except Rejected as error:
            gaps.append(f"dataset {dataset_id}: {error}")
            continue
        if row:
            splits[dataset_id] = "test" if is_test(row["name"]) else "training"
            steps.append(_dataset(manifest, row, splits[dataset_id]))
    return [*steps, *_models(ModelRegistry(store), splits)]


def _row_of(store: ObjectStore, manifest: DatasetManifest, title_id: str | None) -> Row | None:
    import pyarrow.compute as pc

    table = read_dataset(store, manifest, columns=["title_id", "name", "genres"])
    found = table.filter(pc.equal(table["title_id"], title_id or "")).to_pylist()
    return found[0] if found else None


def _dataset(manifest: DatasetManifest, row: Row, split: str) -> Step:
    labels = ", ".join(row["genres"] or ()) or "no label"
    return Step(
        at=manifest.created_at,
        service="featurizer",
        what="dataset",
        told=f"{manifest.dataset_id}, {split} split, {labels}; {manifest.rows} titles",
        trace_id=manifest.correlation_id.hex,
        event_id=str(manifest.requested_by),
        details={"dataset_id": manifest.dataset_id, "split": split},
    )


def _models(registry: ModelRegistry, splits: Mapping[str, str]) -> list[Step]:
    learned: dict[str, Manifest] = {
        manifest.version: manifest
        for manifest in registry.versions(MODEL)
        if manifest.dataset_id in splits
    }
    verbs = {"training": "learned from it", "test": "was tested on it"}
    trained = [
        Step(
            at=each.created_at,
            service="trainer",
            what="model",
            told=f"{each.algorithm} {each.version} {verbs[splits[each.dataset_id]]}, "
            f"macro F1 {each.metrics['macro_f1']:.3f}",
            details={"version": each.version, "dataset_id": each.dataset_id},
        )
        for each in learned.values()
    ]
    promoted = [
        Step(
            at=pointer.moved_at,
            service="trainer",
            what="promoted",
            told=f"{learned[pointer.version].algorithm} {pointer.version}: "
            f"{'; '.join(pointer.reasons)}",
            details={"version": pointer.version},
        )
        for pointer in registry.history(MODEL)
        if pointer.version in learned
    ]
    return trained + promoted


# ---------------------------------------------------------------- event log


async def _read_log(
    kafka: KafkaSettings, subject: Subject, tables: _Tables, gaps: list[str]
) -> "_Reading":
    """What the log has of a title."""
    reading = _Reading(subject, tables.correlations)
    if tables.began is None:
        return reading
    try:
        async with reading_since(kafka, tables.began) as log:
            while not await log.ended():
                for record in await log.take(0.5):
                    reading.take(record)
    except BrokerUnavailable as error:
        gaps.append(f"{error}; times are those of pages")
    else:
        if not reading.steps():
            gaps.append("the event log has nothing of it any more; times are those of pages")
    return reading


_OF_MODELS = {ModelRegistered.topic: "model", ModelPromoted.topic: "promoted"}


class _Reading:
    """Finds in the log what is about one title; partitions come in any order."""

    def __init__(self, subject: Subject, correlations: frozenset[str]) -> None:
        self._subject = subject
        self._correlations = {each.encode() for each in correlations}
        self._words = [
            each.encode() for each in (subject.title_id, subject.source_id, subject.url) if each
        ]
        self._found: dict[UUID, Message[Any]] = {}
        self._jobs: dict[UUID | None, Message[ScrapeJob]] = {}
        self._parked: dict[tuple[str, str], Step] = {}
        self._traces: dict[tuple[str, str], str] = {}

    def take(self, record: ConsumerRecord) -> None:
        headers = dict(record.headers)
        is_job = record.topic == ScrapeJob.topic
        of_model = record.topic in _OF_MODELS
        if is_job and headers.get("ce_correlationid") not in self._correlations:
            return
        if (
            not is_job
            and not of_model
            and not any(word in (record.value or b"") for word in self._words)
        ):
            return
        position = Position(record.topic, record.partition, record.offset)
        try:
            message = decode(headers=record.headers, body=record.value, position=position)
        except Rejected:
            return  # of whom a record is that can't be read, nobody can say
        if record.topic.endswith("-dlq"):
            if self._is_about_it(message.event):
                self._take_parked(record, message)
        elif is_job:
            self._jobs[message.id] = message
        elif of_model:
            version = message.event.model_version
            self._traces[_OF_MODELS[record.topic], version] = message.trace_id
        elif self._is_about_it(message.event):
            self._found.setdefault(message.id, message)

    def _is_about_it(self, event: Any) -> bool:
        subject = self._subject
        if isinstance(event, TitleMerged):
            return any(member.title_id == subject.title_id for member in event.members)
        if title_id := getattr(event, "title_id", None):
            return bool(title_id == subject.title_id)
        if source_id := getattr(event, "source_id", None):
            return (event.source, source_id) == (subject.source, subject.source_id)
        return subject.url is not None and subject.url == getattr(event, "url", None)

    def _take_parked(self, record: ConsumerRecord, message: Message[Any]) -> None:
        headers = dict(record.headers)
        reason, origin = (
            (headers.get(name) or b"").decode(errors="replace") for name in (REASON, ORIGIN)
        )
        self._parked["parked", f"{record.topic}:{origin}"] = Step(
            at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
            service=record.topic.removesuffix("-dlq").rpartition("-")[2],
            what="parked",
            told=f"{reason}, from {origin}",
            trace_id=message.trace_id,
            event_id=str(message.id),
        )

    def traced(self, step: Step) -> Step:
        """What happened to a model, with its trace if the log has it."""
        trace = self._traces.get((step.what, step.details.get("version", "")))
        return step.model_copy(update={"trace_id": trace}) if trace else step

    def steps(self) -> dict[tuple[str, str], Step]:
        """By what happened and the event that led to it."""
        steps = dict(self._parked)
        for message in self._found.values():
            for what, key, told, of, details in self._told(message):
                steps[what, key] = Step(
                    at=of.time or datetime.now(UTC),
                    service=(of.source or "").rpartition("/")[2],
                    what=what,
                    told=told,
                    trace_id=of.trace_id,
                    event_id=str(of.id),
                    details=details,
                )
        return steps

    def _told(
        self, message: Message[Any]
    ) -> Iterator[tuple[str, str, str, Message[Any], dict[str, Any]]]:
        """What, by which event, in which words, by which message."""
        event, cause = message.event, str(message.causation_id)
        match event:
            case TitleScraped() | FactsScraped():
                if job := self._jobs.get(message.causation_id):
                    yield "asked for", cause, job.event.url, job, {}
                yield "scraped", str(message.id), f"from {event.page.url}", message, {}
            case PageFetched():
                told = f"{event.page.key}, which led to {event.events} events"
                yield "fetched", str(message.id), told, message, {}
            case TitleCleaned():
                raw = self._found.get(message.causation_id) if message.causation_id else None
                changed = changes(raw.event, event) if raw else {}
                told = _cleaned(event.model_dump())
                told += "".join(f"; {name}: {a} → {b}" for name, (a, b) in changed.items())
                yield "cleaned", cause, told, message, {"changed": changed}
            case RecordRejected():
                yield _refused(event.record), cause, f"{event.reason}: {event.detail}", message, {}
            case ReviewCleaned():
                yield "review", cause, f"of {event.day or 'no day'}", message, {}
            case TitleMerged():
                members = [member.model_dump() for member in event.members]
                yield "merged", cause, _joined(members), message, {}
            case FeaturesComputed():
                told = f"by {event.recipe}, encoder {event.encoder}"
                if event.trend:
                    told += f"; trend {event.trend.score:+.2f}"
                yield "featurized", cause, told, message, {}
            case InsightServed():
                why = f" ({event.reason})" if event.reason else ""
                told = f"{event.outcome}{why}, {event.claims} claims, by {event.llm or 'no model'}"
                details = {"insight_id": event.insight_id, "prompt": event.prompt_version}
                yield "insight", str(message.id), told, message, details


def changes(raw: TitleScraped, cleaned: TitleCleaned) -> dict[str, tuple[str, str]]:
    """What the cleaner made of a page's fields, where it isn't what the page said."""
    found = {}
    for name in _COMPARED:
        before, after = _as_text(getattr(raw.title, name)), _as_text(getattr(cleaned, name))
        if before != after:
            found[name] = (before, after)
    before, after = raw.title.plot or "", cleaned.plot
    if before != after:
        found["plot"] = (f"{len(before)} characters", f"{len(after)} characters")
    return found


def _as_text(value: Any) -> str:
    if value is None or value == ():
        return "nothing"
    return ", ".join(sorted(value)) if isinstance(value, tuple) else str(value)
