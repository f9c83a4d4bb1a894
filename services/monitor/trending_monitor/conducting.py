"""What becomes of an experiment, by what is known of it. Pure.

    shadow  the candidate is asked as well, unseen: both versions answer the same text, and the
            difference of their scores is an outcome
    split   half of the units get its answers: a unit of the one arm is held against a unit of the
            other, in the order in which their outcomes became known

All that is judged is a mean of differences from -1 to 1, by capitals that are bet against
hypotheses of it (see `betting`). What `conduct` says of the same evidence is always the same.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import exp, log
from typing import Literal

import numpy as np

from trending_monitor.betting import Capitals, Null, both, bounds
from trending_shared.experiments import CANDIDATE, CONTROL, ArmName, Phase

_WATCHED_ONLY = "genre:"  # slices that needn't be shown to be fine: a title is of several
_FEW_TIMES = 20  # of fewer answers not even the largest tells what is slow


@dataclass(frozen=True, slots=True)
class Policy:
    """When an experiment goes on, and when it ends.

    Args:
        alpha: chance that a candidate is promoted that isn't better, over all looks.
        guard_alpha: chance that guardrails stop one that keeps to them, over all looks and all
            guardrails.
        worth: improvement that is worth an experiment; less than that surely is futile.
        slice_margin: by how much a slice may get worse.
        slice_share: part of the outcomes from which on a slice must be shown to be fine.
        shadow_answers: of the candidate, before anybody gets one.
        split_answers: of the candidate that people got, before it may be promoted.
        unheard: share of shadows that may be missing: a busy gateway leaves them out.
        failed: share of the candidate's answers that others may have had to give.
        quick: milliseconds up to which no answer is slow, whatever the control takes. A better
            model may be a larger one; what one may take at most is the gate's to say.
        slower: times as slow as the control's 95th and 99th percentile is slow.
        slow_margins: by which part more of the candidate's answers may be slow, at each.
        outcomes: at most, of both phases.
        lasts: at most.
    """

    alpha: float = 0.05
    guard_alpha: float = 0.01
    worth: float = 0.01
    slice_margin: float = 0.05
    slice_share: float = 0.1
    shadow_answers: int = 300
    split_answers: int = 100
    unheard: float = 0.5
    failed: float = 0.02
    quick: float = 100.0
    slower: float = 1.5
    slow_margins: tuple[float, float] = (0.05, 0.02)
    outcomes: int = 10_000
    lasts: timedelta = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How good something was, from 0 to 1, or how much better."""

    arm: ArmName | None
    """None in the shadow, where `value` is the candidate's score less the control's."""
    value: float
    slices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer took, and whether the arm gave it.

    In the shadow the candidate's `milliseconds` are none: it waits behind everything else.
    """

    phase: Literal["shadow", "split"]
    arm: ArmName
    milliseconds: float | None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Guard:
    """How a guardrail stands."""

    name: str
    said: str
    log_broken: float
    """Of the capital against the hypothesis that it is kept to."""
    log_needed: float
    log_fine: float | None
    """Of the capital against the hypothesis that it is broken; none if that needn't be shown."""

    @property
    def broken(self) -> bool:
        return self.log_broken >= self.log_needed


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done: nothing, if `to` is the phase it is in."""

    to: Phase
    cause: str = ""
    reasons: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """What a promotion, or the split, still needs."""


class _Pairs:
    """Values of two arms: the n-th of the one is held against the n-th of the other."""

    def __init__(self) -> None:
        self._waiting: dict[ArmName, deque[float]] = {CONTROL: deque(), CANDIDATE: deque()}

    def add(self, arm: ArmName, value: float) -> float | None:
        """The candidate's value less the control's, if there is a pair now."""
        other = CONTROL if arm == CANDIDATE else CANDIDATE
        if not self._waiting[other]:
            self._waiting[arm].append(value)
            return None
        found = self._waiting[other].popleft()
        return value - found if arm == CANDIDATE else found - value


@dataclass
class Series:
    """Differences of one kind, in both phases, and the capitals bet on them."""

    nulls: tuple[Null, ...]
    shadow: list[float] = field(default_factory=list)
    split: list[float] = field(default_factory=list)
    outcomes: int = 0

    def __post_init__(self) -> None:
        self._pairs = _Pairs()
        self._capitals = Capitals(self.nulls), Capitals(self.nulls)
        self._bet = [0, 0]  # values of each phase that were bet on
        self._total = 0.0
        self._logs = [0.0] * len(self.nulls)

    def add(self, outcome: Outcome) -> None:
        self.outcomes += 1
        if outcome.arm is None:
            self.shadow.append(outcome.value)
            self._total += outcome.value
        elif (difference := self._pairs.add(outcome.arm, outcome.value)) is not None:
            self.split.append(difference)
            self._total += difference

    def logs(self) -> list[float]:
        """The logarithm of the capital against each of `nulls`."""
        there = [len(self.shadow), len(self.split)]
        if there != self._bet:
            for index, values in enumerate((self.shadow, self.split)):
                self._capitals[index].add(np.array(values[self._bet[index] :]))
            self._bet = there
            before, after = (capitals.logs().tolist() for capitals in self._capitals)
            self._logs = [both(*pair) for pair in zip(before, after, strict=True)]
        return self._logs

    def mean(self) -> float | None:
        """Of all differences; none if there are none."""
        count = len(self.shadow) + len(self.split)
        return self._total / count if count else None

    def bounds(self, alpha: float) -> tuple[float, float]:
        return bounds([np.array(self.shadow), np.array(self.split)], alpha=alpha)


class Evidence:
    """All that is known of an experiment; it only becomes more."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        worth = Null("at least", policy.worth)
        self.all = Series((Null("at most", 0.0), Null("at least", 0.0), worth))
        self.slices: dict[str, Series] = {}
        self.answers = {"shadow": 0, "split": 0}
        """Of the candidate, by phase."""
        self.units = {CONTROL: 0, CANDIDATE: 0}
        """That got an answer since the split, by arm."""
        self.scores: dict[ArmName, list[float]] = {CONTROL: [], CANDIDATE: []}
        self.limits: tuple[float, ...] | None = None
        """Milliseconds from which on an answer is slow; found in the shadow."""
        self._times: list[float] = []
        self.slow = [Series(_sides(margin)) for margin in policy.slow_margins]
        """Whether answers were slow, at the 95th and at the 99th percentile."""
        limits = {"shadow": policy.unheard, "split": policy.failed}
        self._failures = {
            phase: Capitals(_sides(limit), low=0, high=1) for phase, limit in limits.items()
        }
        self.failures = {"shadow": 0, "split": 0}

    def add(self, outcomes: Iterable[Outcome] = (), answers: Sequence[Answer] = ()) -> None:
        """Take in what came since, in the order in which it became known."""
        for outcome in outcomes:
            self.all.add(outcome)
            if outcome.arm:
                self.scores[outcome.arm].append(outcome.value)
            for name in outcome.slices:
                self._slice(name).add(outcome)
        self._add_answers(answers)

    def _slice(self, name: str) -> Series:
        if name not in self.slices:
            self.slices[name] = Series(_sides(-self._policy.slice_margin))
        return self.slices[name]

    def _add_answers(self, answers: Sequence[Answer]) -> None:
        failed: dict[str, list[float]] = {"shadow": [], "split": []}
        for answer in answers:
            if answer.phase == "split":
                self.units[answer.arm] += 1
            if answer.arm == CANDIDATE:
                failed[answer.phase].append(float(answer.failed))
            if answer.milliseconds is None:
                continue
            if answer.phase == "shadow":
                self._times.append(answer.milliseconds)
                continue
            if self.limits is None:
                self.limits = self._find_limits()
            for series, limit in zip(self.slow, self.limits, strict=False):
                series.add(Outcome(answer.arm, float(answer.milliseconds > limit)))
        for phase, values in failed.items():
            self.answers[phase] += len(values)
            self.failures[phase] += int(sum(values))
            self._failures[phase].add(np.array(values))

    def _find_limits(self) -> tuple[float, ...]:
        """What counts as slow; settled before the first answer that is judged by it."""
        if len(self._times) < _FEW_TIMES:
            return ()
        return tuple(
            max(float(usual) * self._policy.slower, self._policy.quick)
            for usual in np.quantile(self._times, (0.95, 0.99))
        )

    def guards(self) -> list[Guard]:
        """All guardrails: failures, latency, and each slice.

        Half of what they may cost is the slices'. The first that was seen gets a half of that, the
        second a sixth, the k-th 1 / k (k + 1): that adds up, however many there will be.
        """
        policy, found = self._policy, []
        few = log(8 / policy.guard_alpha)  # two kinds of failures, two percentiles
        for phase, limit, what in (
            ("shadow", policy.unheard, "shadows are missing"),
            ("split", policy.failed, "answers were given by the champion"),
        ):
            said = f"{self.failures[phase]} of {self.answers[phase]} {what}; {limit:.0%} may be"
            log_broken, log_fine = self._failures[phase].logs().tolist()
            found.append(Guard(f"failures in {phase}", said, log_broken, few, log_fine))
        for series, limit, margin, name in zip(
            self.slow, self.limits or (), policy.slow_margins, ("p95", "p99"), strict=False
        ):
            said = (
                f"{series.mean() or 0:+.1%} more of its answers than of the control's take longer "
                f"than {limit:.1f} ms; {margin:+.0%} may be"
            )
            log_broken, log_fine = series.logs()
            found.append(Guard(f"latency {name}", said, log_broken, few, log_fine))
        for order, (name, series) in enumerate(self.slices.items(), start=1):
            mean = series.mean()
            told = "nothing is known yet" if mean is None else f"{mean:+.3f}"
            said = f"{told} by {series.outcomes} outcomes; {-policy.slice_margin:+.3f} may be"
            log_fine, log_broken = series.logs()
            needed = log(2 * order * (order + 1) / policy.guard_alpha)
            small = series.outcomes < policy.slice_share * self.all.outcomes
            watched = small or name.startswith(_WATCHED_ONLY)
            found.append(
                Guard(f"slice {name}", said, log_broken, needed, None if watched else log_fine)
            )
        return found


def _sides(mean: float) -> tuple[Null, Null]:
    return Null("at most", mean), Null("at least", mean)


def conduct(phase: Phase, evidence: Evidence, policy: Policy, *, age: timedelta) -> Step:
    """The next step of an experiment that has been running for `age`.

    Promotion needs all of this: the candidate is surely better, enough of its answers were given to
    people, no guardrail is broken, and each is surely kept to, slices that are large enough among
    them. The last adds no chance of error however many there are, because all of them must agree
    (an intersection-union test: Berger, "Multiparameter hypothesis testing", Technometrics 24,
    1982). What was found in the shadow counts: it is the same difference, of the same texts' true
    answers, and half of the capital sits it out.
    """
    if phase not in ("shadow", "split"):
        return Step(phase)
    needed = log(1 / policy.alpha)
    guards = evidence.guards()
    broken = [f"{guard.name}: {guard.said}" for guard in guards if guard.broken]
    better, worse, futile = evidence.all.logs()
    if worse >= needed:  # what is worse on the whole is so on slices, too
        return Step("refused", "worse", (f"it is worse: {_told(evidence, policy)}", *broken))
    if broken:
        return Step("refused", "guardrail", tuple(broken))
    if futile >= needed:
        said = f"it surely isn't {policy.worth:g} better: {_told(evidence, policy)}"
        return Step("refused", "futile", (said,))
    missing = []
    if phase == "shadow":
        if (short := policy.shadow_answers - evidence.answers["shadow"]) > 0:
            missing.append(f"{short} more answers in shadow")
    else:
        if better < needed:
            missing.append(
                f"certainty that it is better: the capital against that it isn't is "
                f"{exp(better):.3g} of {exp(needed):.3g}"
            )
        if (short := policy.split_answers - evidence.answers["split"]) > 0:
            missing.append(f"{short} more answers that people get")
        missing += [
            f"certainty of {guard.name}: {guard.said}"
            for guard in guards
            if guard.log_fine is not None and guard.log_fine < needed
        ]
    if not missing:
        if phase == "shadow":
            said = f"no guardrail broke in {evidence.answers['shadow']} answers in shadow"
            return Step("split", "kept to guardrails", (said,))
        return Step("promoted", "better", (f"it is better: {_told(evidence, policy)}",))
    over = []
    if evidence.all.outcomes >= policy.outcomes:
        over.append(f"{evidence.all.outcomes} outcomes didn't decide it: {_told(evidence, policy)}")
    elif age >= policy.lasts:
        over.append(f"{age.days} days didn't decide it: {_told(evidence, policy)}")
    if over:
        return Step("refused", "undecided", (*over, *(f"missing: {each}" for each in missing)))
    return Step(phase, missing=tuple(missing))


def _told(evidence: Evidence, policy: Policy) -> str:
    mean = evidence.all.mean()
    if mean is None:
        return "nothing is known of its outcomes"
    low, high = evidence.all.bounds(policy.alpha)
    return (
        f"{mean:+.4f} [{low:+.4f}, {high:+.4f}] by {len(evidence.all.shadow)} texts in shadow and "
        f"{len(evidence.all.split)} pairs of units"
    )
