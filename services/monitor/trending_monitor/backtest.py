"""Would estimates have been right? `python -m trending_monitor.backtest`.

Takes a bundle's answers to titles that its model didn't learn from, and plays windows with them:
half of the titles, drawn anew each time, are what is known of the model, a window is drawn from the
others, and its labels are looked at only afterwards. Reads the registry at `STORE_URL` and writes
nothing.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from trending_monitor.quality import estimate, learn_reliability, measure
from trending_monitor.settings import MonitorSettings
from trending_shared.errors import Rejected, TrendingError
from trending_shared.evaluation import Answers, decide
from trending_shared.kept_answers import read_answers
from trending_shared.logs import configure_logs
from trending_shared.registry import CHAMPION, ModelRegistry
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore

_SHIFTED = 0.3  # share of a window whose labels are another title's

Draw = Callable[[Answers, NDArray[np.intp], int, np.random.Generator], Answers]
"""A window of a size, of the given rows."""


class TooFewAnswers(Rejected):
    """There are too few answers for windows of this size."""


@dataclass(frozen=True, slots=True)
class Backtest:
    """What estimates were worth over many windows of one kind; F1 as means over the windows."""

    scenario: str
    windows: int
    size: int
    true: float
    """Macro-F1 by the labels."""
    estimated: float
    error: float
    """The mean distance of the two."""
    width: float
    """Of the interval."""
    covered: float
    """Share of windows whose interval holds the true macro-F1."""
    covered_genres: float
    """Likewise of genres and windows."""


def backtest(answers: Answers, scenario: str, *, windows: int = 200, size: int = 400) -> Backtest:
    """Play `windows` windows of a scenario; the same every time.

    Args:
        scenario: one of `SCENARIOS`.

    Raises:
        TooFewAnswers: the half that windows are drawn from holds fewer than two.
    """
    if len(answers) < 4 * size:
        raise TooFewAnswers(
            f"{len(answers)} answers are too few for windows of {size}: {4 * size} are needed"
        )
    random = np.random.default_rng(0)
    rows = []
    for _ in range(windows):
        order = random.permutation(len(answers))
        half = len(order) // 2
        reliability = learn_reliability(_where(answers, order[:half]))
        window = SCENARIOS[scenario](answers, order[half:], size, random)
        given = decide(window.probabilities, window.thresholds, window.genres)
        estimated = estimate(window.probabilities, given, reliability, window.known)
        true = measure(window, draws=1)
        by_genre = [
            true_f1.value in said_f1
            for genre in answers.genres
            if (true_f1 := true.genres[genre].f1) and (said_f1 := estimated.genres[genre].f1)
        ]
        interval = estimated.macro_f1.interval
        rows.append(
            (
                true.macro_f1.value,
                estimated.macro_f1.value,
                abs(true.macro_f1.value - estimated.macro_f1.value),
                interval.high - interval.low,
                true.macro_f1.value in estimated.macro_f1,
                float(np.mean(by_genre)),
            )
        )
    return Backtest(scenario, windows, size, *(float(value) for value in np.mean(rows, axis=0)))


def _alike(
    answers: Answers, rows: NDArray[np.intp], size: int, random: np.random.Generator
) -> Answers:
    return _where(answers, rows[:size])


def _harder(
    answers: Answers, rows: NDArray[np.intp], size: int, random: np.random.Generator
) -> Answers:
    """Texts of which the model is less sure are asked more often: covariate shift."""
    sure = answers.probabilities[rows].max(axis=1).astype(np.float64)
    return _where(answers, _drawn(rows, np.exp(-6 * sure), size, random))


def _other_genres(
    answers: Answers, rows: NDArray[np.intp], size: int, random: np.random.Generator
) -> Answers:
    """Texts that the model takes for a random half of the genres are asked five times as often."""
    favoured = random.permutation(len(answers.genres))[: len(answers.genres) // 2]
    likely = np.isin(answers.probabilities[rows].argmax(axis=1), favoured)
    return _where(answers, _drawn(rows, np.where(likely, 5.0, 1.0), size, random))


def _other_meaning(
    answers: Answers, rows: NDArray[np.intp], size: int, random: np.random.Generator
) -> Answers:
    """Some titles have the labels of others: concept shift, which no estimate can see."""
    window = _where(answers, rows[:size])
    moved = random.permutation(size)[: int(_SHIFTED * size)]
    labels = window.labels.copy()
    labels[moved] = labels[np.roll(moved, 1)]
    return Answers(labels, window.probabilities, window.thresholds, window.genres)


def _drawn(
    rows: NDArray[np.intp], weights: NDArray[np.float64], size: int, random: np.random.Generator
) -> NDArray[np.intp]:
    return random.choice(rows, size, replace=False, p=weights / weights.sum())


def _where(answers: Answers, rows: NDArray[np.intp]) -> Answers:
    return Answers(
        answers.labels[rows], answers.probabilities[rows], answers.thresholds, answers.genres
    )


SCENARIOS: Mapping[str, Draw] = {
    "like the reference": _alike,
    "harder texts": _harder,
    "other genres asked for": _other_genres,
    "words mean other genres": _other_meaning,
}


def as_table(results: Sequence[Backtest]) -> str:
    """One line a scenario."""
    lines = [
        f"{'':26}{'true':>8}{'estimate':>10}{'off by':>8}{'width':>8}{'covered':>9}{'genres':>8}",
        *(
            f"{one.scenario:26}{one.true:8.3f}{one.estimated:10.3f}{one.error:8.3f}"
            f"{one.width:8.3f}{one.covered:9.1%}{one.covered_genres:8.1%}"
            for one in results
        ),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m trending_monitor.backtest",
        description="Play windows with a model's answers, and see what estimates were worth.",
    )
    parser.add_argument("version", nargs="?", help="of the model (default: the champion)")
    parser.add_argument("--windows", type=int, default=200, help="in each scenario (default: 200)")
    parser.add_argument("--size", type=int, default=400, help="of a window (default: 400)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    options = parser.parse_args(arguments)
    configure_logs(service="backtest", level="WARNING")  # on stderr
    try:
        settings = read_settings(MonitorSettings)
        registry = ModelRegistry(ObjectStore.at(settings.store))
        if options.version:
            manifest = registry.manifest("genres", options.version)
        else:
            manifest = registry.champion("genres", CHAMPION)
        kept = read_answers(registry, manifest)
        answers = Answers(kept.labels, kept.probabilities, manifest.thresholds, manifest.labels)
        results = [
            backtest(answers, scenario, windows=options.windows, size=options.size)
            for scenario in SCENARIOS
        ]
    except TrendingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if options.json:
        document = {"version": manifest.version, "results": [asdict(one) for one in results]}
        sys.stdout.write(f"{json.dumps(document)}\n")
    else:
        head = f"{manifest.name} {manifest.version} ({manifest.algorithm}), "
        sys.stdout.write(f"{head}{options.windows} windows of {options.size} each\n\n")
        sys.stdout.write(f"{as_table(results)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
