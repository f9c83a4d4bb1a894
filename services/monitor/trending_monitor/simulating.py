"""What would experiments decide? `python -m trending_monitor.simulating`.

Plays whole experiments, from the first shadow to the verdict, through the code that conducts the
real ones, where it is known what is true. Reads and writes nothing.

Scores are those of answers with several genres: 0, 1/2, 2/3, 4/5 and 1. Both versions read the same
texts in the shadow and agree in six of ten scores; in the split each unit reads a text of its own.
A fixed-horizon test (a z-test of the same differences) looks as often, for comparison.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from math import sqrt
from os import cpu_count
from secrets import randbits
from statistics import NormalDist, median

import numpy as np

from trending_monitor.betting import Values
from trending_monitor.conducting import Answer, Evidence, Outcome, Policy, conduct
from trending_shared.experiments import CANDIDATE, CONTROL, ArmName, Phase

_SCORES = np.array([0.0, 1 / 2, 2 / 3, 4 / 5, 1.0])
_CHANCES = np.array([0.2, 0.2, 0.2, 0.1, 0.3])
_AGREE = 0.6
_KINDS = (("kind:film", 0.6), ("kind:show", 0.4))
_GENRES = tuple(
    (f"genre:{name}", share)
    for name, share in (("Drama", 0.4), ("Comedy", 0.25), ("Crime", 0.15), ("Horror", 0.08))
)
_MILLISECONDS, _SPREAD = 80.0, 0.4  # the median, and the deviation of its logarithm
_LOOK = 100  # outcomes between two looks
SCENARIOS = ("no difference", "better", "worse", "one slice worse", "slower")


@dataclass(frozen=True, slots=True)
class World:
    """What is true in a scenario."""

    effects: dict[str, float]
    """By kind, how much better the candidate's scores are."""
    slower: float = 1.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How one experiment ended."""

    to: Phase
    cause: str
    outcomes: int
    peeked: bool
    """Whether the fixed-horizon test would have promoted at any of these looks."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of many experiments in one scenario."""

    scenario: str
    runs: int
    promoted: int
    promoted_low: float
    """With `promoted_high` Wilson's interval of the share, 95 %."""
    promoted_high: float
    causes: dict[str, int]
    """How many were refused for what."""
    median_outcomes: float
    """Until the verdict."""
    peeked: int
    """How many a fixed-horizon test of the same level would have promoted that looks as often."""


def world_of(scenario: str, effect: float) -> World:
    """Raises `KeyError` for an unknown scenario."""
    film, show = (kind for kind, _ in _KINDS)
    same = World({film: 0.0, show: 0.0})
    return {
        "no difference": same,
        "better": World({film: effect, show: effect}),
        "worse": World({film: -effect, show: -effect}),
        # On the whole it is better by the effect, and on the smaller half worse by twice as much.
        "one slice worse": World({film: (effect + 0.4 * 2 * effect) / 0.6, show: -2 * effect}),
        "slower": replace(same, effects={film: effect, show: effect}, slower=2.0),
    }[scenario]


def simulate(world: World, policy: Policy, random: np.random.Generator) -> Ended:
    """Play one experiment to its end."""
    evidence, peeked = Evidence(policy), False
    phase: Phase = "shadow"
    level = NormalDist().inv_cdf(1 - policy.alpha)
    while True:
        evidence.add(*_shadow(world, random) if phase == "shadow" else _split(world, random))
        differences = evidence.all.shadow + evidence.all.split
        error = np.std(differences) / sqrt(len(differences))
        peeked = peeked or bool(np.mean(differences) > level * error)
        step = conduct(phase, evidence, policy, age=timedelta(0))
        if step.to in ("promoted", "refused"):
            return Ended(step.to, step.cause, evidence.all.outcomes, peeked)
        phase = step.to


def _shadow(world: World, random: np.random.Generator) -> tuple[list[Outcome], list[Answer]]:
    kinds, slices = _texts(random)
    control, candidate = _scores(world, kinds, random)
    outcomes = [
        Outcome(None, float(better), names)
        for better, names in zip(candidate - control, slices, strict=True)
    ]
    answers = [Answer("shadow", CONTROL, each) for each in _times(1.0, random)]
    return outcomes, [*answers, *(Answer("shadow", CANDIDATE, None) for _ in range(_LOOK))]


def _split(world: World, random: np.random.Generator) -> tuple[list[Outcome], list[Answer]]:
    kinds, slices = _texts(random)
    control, candidate = _scores(world, kinds, random)
    times = zip(_times(1.0, random), _times(world.slower, random), strict=True)
    outcomes, answers = [], []
    arms: list[ArmName] = [CANDIDATE if drawn else CONTROL for drawn in random.random(_LOOK) < 0.5]
    for arm, said, else_said, names, (usual, other) in zip(
        arms, candidate, control, slices, times, strict=True
    ):
        mine = arm == CANDIDATE
        outcomes.append(Outcome(arm, float(said if mine else else_said), names))
        answers.append(Answer("split", arm, other if mine else usual))
    return outcomes, answers


def _texts(random: np.random.Generator) -> tuple[list[str], list[tuple[str, ...]]]:
    """The kinds of as many texts as a look is at, and all the slices they are of."""
    names = [kind for kind, _ in _KINDS]
    kinds = [names[int(drawn >= _KINDS[0][1])] for drawn in random.random(_LOOK)]
    genres = random.random((_LOOK, len(_GENRES)))
    slices = [
        (kind, *(name for (name, share), drawn in zip(_GENRES, row, strict=True) if drawn < share))
        for kind, row in zip(kinds, genres.tolist(), strict=True)
    ]
    return kinds, slices


def _scores(
    world: World, kinds: Sequence[str], random: np.random.Generator
) -> tuple[Values, Values]:
    """Scores of both versions of the same texts, with exactly the effect as expected difference."""
    control, other = random.choice(_SCORES, (2, len(kinds)), p=_CHANCES)
    candidate = np.where(random.random(len(kinds)) < _AGREE, control, other)
    mean = float(_SCORES @ _CHANCES)
    effects = np.array([world.effects[kind] for kind in kinds])
    # With this chance a score becomes 1, or 0.
    chance = np.where(effects > 0, effects / (1 - mean), -effects / mean)
    moved = random.random(len(kinds)) < chance
    return control, np.where(moved, (effects > 0).astype(float), candidate)


def _times(slower: float, random: np.random.Generator) -> list[float]:
    found: list[float] = (
        slower * _MILLISECONDS * np.exp(_SPREAD * random.standard_normal(_LOOK))
    ).tolist()
    return found


def run(scenario: str, effect: float, policy: Policy, seeds: Sequence[int]) -> list[Ended]:
    """Play one experiment for each seed."""
    world = world_of(scenario, effect)
    return [simulate(world, policy, np.random.default_rng(seed)) for seed in seeds]


def summarise(scenario: str, ended: Sequence[Ended]) -> Result:
    promoted = sum(one.to == "promoted" for one in ended)
    low, high = wilson(promoted, len(ended))
    return Result(
        scenario=scenario,
        runs=len(ended),
        promoted=promoted,
        promoted_low=low,
        promoted_high=high,
        causes=dict(Counter(one.cause for one in ended if one.to == "refused").most_common()),
        median_outcomes=median(one.outcomes for one in ended),
        peeked=sum(one.peeked for one in ended),
    )


def wilson(hits: int, of: int) -> tuple[float, float]:
    """A share's 95 % interval.

    Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22, 1927.
    """
    z = NormalDist().inv_cdf(0.975)
    middle = (hits + z * z / 2) / (of + z * z)
    half = z / (of + z * z) * sqrt(hits * (of - hits) / of + z * z / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def play(
    runs: int, effect: float, policy: Policy, *, seed: int, scenarios: Sequence[str] = SCENARIOS
) -> Iterator[Result]:
    """Play all scenarios on all processors; the same seed gives the same results."""
    seeds = np.random.SeedSequence(seed).generate_state(runs * len(scenarios), np.uint64).tolist()
    batch = max(1, min(50, runs // (cpu_count() or 1)))
    with ProcessPoolExecutor() as pool:
        for index, scenario in enumerate(scenarios):
            mine = seeds[index * runs : (index + 1) * runs]
            parts = [mine[first : first + batch] for first in range(0, runs, batch)]
            ended: list[Ended] = []
            for part in pool.map(partial(run, scenario, effect, policy), parts):
                ended += part
                if sys.stderr.isatty():
                    sys.stderr.write(f"\r{scenario}: {len(ended)} of {runs}\033[K")
            if sys.stderr.isatty():
                sys.stderr.write("\r\033[K")
            yield summarise(scenario, ended)


def main(arguments: Sequence[str] | None = None) -> int:
    usual = Policy()
    parser = argparse.ArgumentParser(
        prog="python -m trending_monitor.simulating",
        description="Play experiments of which it is known what they should decide.",
    )
    parser.add_argument("--runs", type=int, default=1000, help="of each scenario")
    parser.add_argument("--effect", type=float, default=0.05, help="of a score from 0 to 1")
    parser.add_argument(
        "--outcomes", type=int, default=5000, help="after which nothing was decided"
    )
    parser.add_argument("--alpha", type=float, default=usual.alpha, help="of false promotions")
    parser.add_argument("--seed", type=int, help="of chance; without one each call draws anew")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    if not (options.runs > 0 and options.outcomes > 0):
        parser.error("--runs and --outcomes must be above 0")
    if not (0 < options.alpha < 1 and 0 < options.effect <= 0.2):
        parser.error("--alpha must lie between 0 and 1, --effect above 0 and at most at 0.2")
    policy = replace(usual, alpha=options.alpha, outcomes=options.outcomes)
    seed = randbits(32) if options.seed is None else options.seed
    results = []
    for result in play(options.runs, options.effect, policy, seed=seed):
        results.append(result)
        if not options.json:
            sys.stdout.write(_told(result))
            sys.stdout.flush()
    if options.json:
        told = {"seed": seed, "alpha": options.alpha, "effect": options.effect}
        told |= {"scenarios": [asdict(result) for result in results]}
        sys.stdout.write(f"{json.dumps(told)}\n")
    else:
        sys.stdout.write(f"seed {seed}\n")
    return 0


def _told(result: Result) -> str:
    causes = ", ".join(f"{cause} {count}" for cause, count in result.causes.items())
    return (
        f"{result.scenario:<16} promoted {result.promoted:>4} of {result.runs} "
        f"[{result.promoted_low:.1%}, {result.promoted_high:.1%}]; refused: {causes or 'none'}; "
        f"{result.median_outcomes:,.0f} outcomes in the middle; "
        f"a peeking z-test would have promoted {result.peeked}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
