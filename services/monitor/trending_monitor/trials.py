"""What the catalog knows of experiments: answers, and how good they were.

    trial_answers    as they are told of, each once
    trial_outcomes   one of a text in shadow, and one of a unit after that: the first that is known

An outcome is written once and stays, in the order in which outcomes became known, whatever else is
said later: what was bet on can't be taken back. Of models it is the F1 of one answer against the
genres of its title, of prompts the share of what the language model said that its checker let
stand. The genres are what the title's page says, if none of the two models can have learned from
it; what a trusted labeller said of the title or the answer wins over that.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from trending_monitor.conducting import Answer, Evidence, Outcome
from trending_shared.catalog import (
    Catalog,
    approvals,
    corrections,
    titles,
    trial_answers,
    trial_outcomes,
)
from trending_shared.errors import ModelNotFound
from trending_shared.events import InsightServed, ModelApproved, PredictionServed
from trending_shared.experiments import CANDIDATE, CONTROL, Experiment, draw
from trending_shared.kept_answers import AnswersDamaged, read_answers
from trending_shared.messages import Message
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.splits import is_test

ANONYMOUS = "anonymous"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE = 500  # names in one statement
_MOST = 20_000  # answers that one look takes in
_ITS_FAULT = frozenset({"nothing-supported", "llm-invalid"})
"""Why an answer is degraded where a prompt is to blame; other reasons say nothing of it."""


@dataclass(frozen=True)
class Truth:
    """Which labels may judge between two models, and how.

    Args:
        learned: titles by whose labels one of them was chosen or corrected.
        unrecorded: genres that a kind of a source doesn't record, by `tvmaze shows`.
        split: whether both were tested on the split by name, which says what is unseen.
    """

    genres: frozenset[str]
    learned: frozenset[str]
    unrecorded: Mapping[str, frozenset[str]]
    split: bool

    @classmethod
    def of(cls, registry: ModelRegistry, model: str, versions: Collection[str]) -> "Truth":
        """Raises `ModelNotFound` if the registry lacks one of the versions."""
        manifests = [registry.manifest(model, version) for version in versions]
        unrecorded: dict[str, frozenset[str]] = {}
        for manifest in manifests:
            for group, genres in (manifest.metrics.get("unrecorded") or {}).items():
                unrecorded[group] = unrecorded.get(group, frozenset()) | frozenset(genres)
        return cls(
            genres=frozenset.intersection(*(frozenset(each.labels) for each in manifests)),
            learned=frozenset().union(*(_kept(registry, each) for each in manifests)),
            unrecorded=unrecorded,
            split=all(each.metrics.get("split") == "title" for each in manifests),
        )

    def page(self, row: Any) -> "Label | None":
        """What a title's page says, if it is news to both."""
        known = self.genres - self.unrecorded.get(f"{row.source} {row.kind}s", frozenset())
        true = known & frozenset(row.genres)
        if not (self.split and true and is_test(row.name)) or row.title_id in self.learned:
            return None
        slices = [f"kind:{row.kind}", *([f"language:{row.language}"] if row.language else [])]
        return Label("page", true, known, (*slices, *(f"genre:{each}" for each in sorted(true))))

    def said(self, row: Any, page: "Label | None") -> "Label":
        """What a person said; all of the genres, and no others."""
        true = self.genres & frozenset(row.genres)
        slices = [each for each in (page.slices if page else ()) if not each.startswith("genre:")]
        slices += [f"genre:{each}" for each in sorted(true)]
        return Label(row.said_by, true, self.genres, tuple(slices))


def _kept(registry: ModelRegistry, manifest: Manifest) -> frozenset[str]:
    try:
        return frozenset(read_answers(registry, manifest).title_ids.tolist())
    except (ModelNotFound, AnswersDamaged):
        return frozenset()


@dataclass(frozen=True, slots=True)
class Label:
    """What is true of an answer, and who says so."""

    who: str
    true: frozenset[str]
    known: frozenset[str]
    """Of all other genres nothing is known."""
    slices: tuple[str, ...]

    def score(self, genres: Iterable[str]) -> float:
        """F1 of one answer, from 0 to 1; of none that are true and none given, 1.

        The example-based measure of Godbole, Sarawagi, "Discriminative methods for multi-labeled
        classification", PAKDD 2004: a mean of it is a mean over answers, which is what a test of
        independent outcomes needs; macro-F1 isn't one.
        """
        said = self.known & frozenset(genres)
        both = len(said) + len(self.true)
        return 2 * len(said & self.true) / both if both else 1.0


@dataclass
class Followed:
    """How far an experiment's evidence was read."""

    evidence: Evidence
    outcomes: tuple[datetime, int] = (_LONG_AGO, -1)
    answers: tuple[datetime, str] = (_LONG_AGO, "")
    units: dict[str, set[str]] = field(default_factory=lambda: {"shadow": set(), "split": set()})


@dataclass(frozen=True, slots=True)
class Approval:
    """A model that waits for its trial."""

    experiment: str
    model: str
    version: str
    reasons: tuple[str, ...]


class Trials:
    """Answers, outcomes and approvals in the catalog.

    Args:
        settle: younger records aren't looked at: a shadow may be under way, or another monitor
            about to write.
        labellers: whose corrections are labels, by the names of their keys; `anonymous` is everyone
            without one.
    """

    def __init__(
        self, catalog: Catalog, *, settle: timedelta, labellers: frozenset[str] = frozenset()
    ) -> None:
        self._catalog = catalog
        self._settle = settle
        self._labellers = labellers

    # ------------------------------------------------------------ what comes in

    async def record(
        self, messages: Sequence[Message[PredictionServed] | Message[InsightServed]], now: datetime
    ) -> None:
        """Keep the answers among these that an experiment had to do with, once each."""
        rows = [row for message in messages if (row := _row(message.event, now))]
        if rows:
            async with self._catalog.transaction() as connection:
                await self._catalog.insert_new(connection, trial_answers, rows)

    async def approve(self, message: Message[ModelApproved], now: datetime) -> None:
        """Have a model wait for its trial; those that waited for the same place no longer do."""
        event = message.event
        row = {
            "experiment": f"auto-{event.model_version}-{message.id.hex[:8]}",
            "model": event.model,
            "version": event.model_version,
            "reasons": list(event.reasons),
            "event_id": str(message.id),
            "correlation_id": str(message.correlation_id),
            "approved_at": (message.time or now).astimezone(UTC),
        }
        async with self._catalog.transaction() as connection:
            await self._catalog.insert_new(connection, approvals, [row])

    async def waiting(self) -> list[Approval]:
        """The newest model of each name that waits; older ones are superseded."""
        found: dict[str, Approval] = {}
        async with self._catalog.transaction() as connection:
            rows = await connection.execute(
                sa.select(approvals)
                .where(approvals.c.became.is_(None))
                .order_by(approvals.c.approved_at, approvals.c.experiment)
            )
            for row in rows.all():
                if row.model in found:
                    await _became(connection, found[row.model].experiment, "superseded")
                reasons = tuple(row.reasons)
                found[row.model] = Approval(row.experiment, row.model, row.version, reasons)
        return list(found.values())

    async def tried(self, experiment: str) -> None:
        """No longer have a model wait."""
        async with self._catalog.transaction() as connection:
            await _became(connection, experiment, "tried")

    async def cause(self, experiment: str) -> tuple[str, str] | None:
        """Event id and correlation id of the approval that led to an experiment, if one did."""
        async with self._catalog.reading() as connection:
            found = await connection.execute(
                sa.select(approvals.c.event_id, approvals.c.correlation_id).where(
                    approvals.c.experiment == experiment
                )
            )
            row = found.first()
            return (row.event_id, row.correlation_id) if row else None

    # ------------------------------------------------------------ outcomes

    async def count(
        self, experiment: Experiment, split: Experiment | None, truth: Truth | None, now: datetime
    ) -> None:
        """Write down the outcomes that became known.

        Args:
            split: the state in which people began to get the candidate's answers, if they do.
            truth: how models are judged; none for prompts, whose answers come with their scores.
        """
        name = name_of(experiment)
        async with self._catalog.transaction() as connection:
            labels = await self._labels(connection, name, truth) if truth else None
            new = await _shadow_outcomes(connection, name, labels)
            if split:
                new += await _split_outcomes(connection, name, split, labels)
            rows = [
                {**row, "experiment": name, "known_at": now, "position": position}
                for position, row in enumerate(new)
            ]
            await self._catalog.insert_new(connection, trial_outcomes, rows)

    async def _labels(
        self, connection: AsyncConnection, name: str, truth: Truth
    ) -> Callable[[Any], Label | None]:
        """What is true of an answer by what is known now."""
        asked = sa.select(trial_answers.c.title_id).where(trial_answers.c.experiment == name)
        rows = await connection.execute(
            sa.select(
                *(titles.c.title_id, titles.c.name, titles.c.source, titles.c.kind),
                *(titles.c.language, titles.c.genres),
            ).where(titles.c.title_id.in_(asked))
        )
        pages = {row.title_id: page for row in rows if (page := truth.page(row))}
        by_title: dict[str, Label] = {}
        by_answer: dict[str, Label] = {}
        if self._labellers:
            said: list[sa.ColumnElement[bool]] = [corrections.c.said_by.in_(self._labellers)]
            if ANONYMOUS in self._labellers:
                said.append(corrections.c.said_by.startswith(f"{ANONYMOUS}-"))
            answers = sa.select(trial_answers.c.answer_id).where(trial_answers.c.experiment == name)
            told = await connection.execute(
                sa.select(corrections)
                .where(sa.or_(*said))
                .where(corrections.c.title_id.in_(asked) | corrections.c.prediction_id.in_(answers))
                .order_by(corrections.c.corrected_at, corrections.c.feedback_id)
            )
            for row in told:
                label = truth.said(row, pages.get(row.title_id or ""))
                if row.title_id:
                    by_title[row.title_id] = label
                if row.prediction_id:
                    by_answer[row.prediction_id] = label

        def label_of(row: Any) -> Label | None:
            return (
                by_answer.get(row.answer_id)
                or by_title.get(row.title_id or "")
                or pages.get(row.title_id or "")
            )

        return label_of

    # ------------------------------------------------------------ evidence

    async def follow(
        self, followed: Followed, experiment: Experiment, split: Experiment | None, now: datetime
    ) -> bool:
        """Take in what has settled since the last time; whether that was all there is."""
        name, until = name_of(experiment), now - self._settle
        async with self._catalog.reading() as connection:
            outcomes = await self._new_outcomes(connection, followed, name, until)
            rows = await self._new_answers(connection, followed, name, until)
            told = [row for row in rows if row.shadow_of is None]
            heard = await _heard(connection, [row.answer_id for row in told])
        answers = []
        for row in told:
            drawn = draw(split or experiment, row.unit).arm.name
            late = split is not None and row.served_at >= split.changed_at
            phase = "split" if late else "shadow"
            units = followed.units[phase]
            if row.unit in units or (late and drawn != row.arm):
                continue
            units.add(row.unit)
            if phase == "split":
                arm = CANDIDATE if row.arm == CANDIDATE else CONTROL
                answers.append(Answer("split", arm, row.duration_ms, row.fallback))
            elif row.arm == CONTROL and (row.genres is not None or row.score is not None):
                # Prompts in shadow are asked only where a language model was.
                answers.append(Answer("shadow", CONTROL, row.duration_ms))
                answers.append(Answer("shadow", CANDIDATE, None, row.answer_id not in heard))
        followed.evidence.add(outcomes, answers)
        return len(rows) < _MOST

    async def _new_outcomes(
        self, connection: AsyncConnection, followed: Followed, name: str, until: datetime
    ) -> list[Outcome]:
        table = trial_outcomes
        at, position = followed.outcomes
        found = await connection.execute(
            sa.select(table)
            .where(table.c.experiment == name, table.c.known_at <= until)
            .where(
                (table.c.known_at > at) | ((table.c.known_at == at) & (table.c.position > position))
            )
            .order_by(table.c.known_at, table.c.position)
        )
        rows = found.all()
        if rows:
            followed.outcomes = rows[-1].known_at, rows[-1].position
        return [Outcome(row.arm, row.value, tuple(row.slices)) for row in rows]

    async def _new_answers(
        self, connection: AsyncConnection, followed: Followed, name: str, until: datetime
    ) -> Sequence[Any]:
        table = trial_answers
        at, answer_id = followed.answers
        found = await connection.execute(
            sa.select(table)
            .where(table.c.experiment == name, table.c.recorded_at <= until)
            .where(
                (table.c.recorded_at > at)
                | ((table.c.recorded_at == at) & (table.c.answer_id > answer_id))
            )
            .order_by(table.c.recorded_at, table.c.answer_id)
            .limit(_MOST)
        )
        rows = found.all()
        if rows:
            followed.answers = rows[-1].recorded_at, rows[-1].answer_id
        return rows


async def _became(connection: AsyncConnection, experiment: str, became: str) -> None:
    await connection.execute(
        approvals.update().where(approvals.c.experiment == experiment).values(became=became)
    )


async def _heard(connection: AsyncConnection, told: Sequence[str]) -> set[str]:
    """Those of these answers to which the candidate said something in shadow."""
    found: set[str] = set()
    for first in range(0, len(told), _AT_ONCE):
        ids = told[first : first + _AT_ONCE]
        rows = await connection.execute(
            sa.select(trial_answers.c.shadow_of).where(trial_answers.c.shadow_of.in_(ids))
        )
        found.update(rows.scalars())
    return found


async def _shadow_outcomes(
    connection: AsyncConnection, name: str, labels: Callable[[Any], Label | None] | None
) -> list[dict[str, Any]]:
    """Differences on texts that have none yet; a text that was asked often counts once."""
    told, asked = trial_answers.alias("told"), trial_answers.alias("asked")
    counted = sa.select(trial_outcomes.c.of).where(
        trial_outcomes.c.experiment == name, trial_outcomes.c.phase == "shadow"
    )
    rows = await connection.execute(
        sa.select(
            *(told.c.answer_id, told.c.text_hash, told.c.title_id, told.c.genres, told.c.score),
            asked.c.genres.label("its_genres"),
            asked.c.score.label("its_score"),
        )
        .join(told, told.c.answer_id == asked.c.shadow_of)
        .where(asked.c.experiment == name, asked.c.arm == CANDIDATE)
        .where(told.c.arm == CONTROL, told.c.fallback.is_(False))
        .where(told.c.text_hash.not_in(counted))
        .order_by(told.c.served_at, told.c.answer_id)
    )
    new: dict[str, dict[str, Any]] = {}
    for row in rows:
        scored = _scored(labels, row, (row.genres, row.its_genres), (row.score, row.its_score))
        if row.text_hash not in new and scored:
            (control, candidate), label = scored
            new[row.text_hash] = _outcome("shadow", row.text_hash, row, candidate - control, label)
    return list(new.values())


async def _split_outcomes(
    connection: AsyncConnection,
    name: str,
    split: Experiment,
    labels: Callable[[Any], Label | None] | None,
) -> list[dict[str, Any]]:
    """Scores of units that have none yet; one that asks often counts once."""
    table = trial_answers
    counted = sa.select(trial_outcomes.c.of).where(
        trial_outcomes.c.experiment == name, trial_outcomes.c.phase == "split"
    )
    rows = await connection.execute(
        sa.select(table)
        .where(table.c.experiment == name, table.c.shadow_of.is_(None))
        .where(table.c.served_at >= split.changed_at, table.c.unit.not_in(counted))
        .order_by(table.c.served_at, table.c.answer_id)
    )
    new: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.unit in new or draw(split, row.unit).arm.name != row.arm:
            continue  # it was drawn before this gateway knew of the split
        if scored := _scored(labels, row, (row.genres,), (row.score,)):
            (score,), label = scored
            new[row.unit] = _outcome("split", row.unit, row, score, label) | {"arm": row.arm}
    return list(new.values())


def _scored(
    labels: Callable[[Any], Label | None] | None,
    row: Any,
    genres: Sequence[list[str] | None],
    scores: Sequence[float | None],
) -> tuple[list[float], Label | None] | None:
    """Scores of answers that were given to the same; none while it isn't known what is true."""
    if labels is None:
        known = [score for score in scores if score is not None]
        return (known, None) if len(known) == len(scores) else None
    label = labels(row)
    return ([label.score(each or ()) for each in genres], label) if label else None


def _outcome(phase: str, of: str, row: Any, value: float, label: Label | None) -> dict[str, Any]:
    return {
        "phase": phase,
        "of": of,
        "arm": None,
        "value": value,
        "slices": list(label.slices) if label else [],
        "answer_id": row.answer_id,
        "label": label.who if label else "checker",
    }


def name_of(experiment: Experiment) -> str:
    """What an experiment is called where those of all targets lie."""
    return f"{experiment.subject}/{experiment.target}/{experiment.name}"


def _row(event: PredictionServed | InsightServed, now: datetime) -> dict[str, Any] | None:
    if event.trial is None:
        return None
    if isinstance(event, PredictionServed):
        of: dict[str, Any] = {
            "answer_id": event.prediction_id,
            "experiment": f"models/{event.model}/{event.trial.experiment}",
            "text_hash": event.text_hash,
            "genres": list(event.genres),
            "score": None,
            "duration_ms": event.duration_ms,
        }
    else:
        of = {
            "answer_id": event.insight_id,
            "experiment": f"prompts/{event.prompt}/{event.trial.experiment}",
            "text_hash": event.evidence_hash,
            "genres": None,
            "score": supported(event),
            # What was known already says nothing of how long a prompt takes.
            "duration_ms": None if event.cached else event.duration_ms,
        }
    return {
        **of,
        "arm": event.trial.arm,
        "unit": event.trial.unit,
        "fallback": event.trial.fallback,
        "shadow_of": event.trial.shadow_of,
        "title_id": event.title_id,
        "served_at": event.served_at.astimezone(UTC),
        "recorded_at": now,
    }


def supported(insight: InsightServed) -> float | None:
    """The share of what a language model said that its evidence supports.

    None where it said nothing, or where it isn't to blame for that: no budget, no answer.
    """
    if insight.outcome == "degraded":
        return 0.0 if insight.reason in _ITS_FAULT else None
    said = insight.claims + sum(insight.dropped.values())
    return insight.claims / said if insight.outcome == "answered" and said else None
