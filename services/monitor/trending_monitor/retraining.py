"""Whether a model is to be trained anew, and why. Pure.

Something gives cause (a trigger), something may forbid it (what is under way, the cool-down, the
budget, that there is nothing new to learn from). All that speaks for or against is told, not only
the first; `Decision.codes` are for programs, `reasons` for people.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from trending_shared.events import RetrainingTrigger

# What passes by itself, or with the training or the trial that is under way.
_PASSING = frozenset({"pending", "on-trial", "cool-down", "budget-spent"})


@dataclass(frozen=True, slots=True)
class Policy:
    """What is held to.

    Args:
        windows: of one model in a row that must say the same before it counts.
        sustained: time that these must cover, from first prediction to last.
        fall: macro-F1 that a model may lose against what it had on its test titles.
        new_titles: since the last training, that are worth one; so is `new_share` of what that
            learned from.
        cool_down: between two trainings.
        budget: trainings in any `period`; with 0 only a person trains, by force.
        patience: after which a training that nothing is heard of counts as lost.
        every: after which a model is trained though nothing happens; none for never.
    """

    windows: int = 3
    sustained: timedelta = timedelta(hours=1)
    fall: float = 0.05
    new_titles: int = 5000
    new_share: float = 0.1
    cool_down: timedelta = timedelta(hours=6)
    budget: int = 7
    period: timedelta = timedelta(days=7)
    patience: timedelta = timedelta(hours=12)
    every: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Streak:
    """Windows in a row that say the same; `window_id` is the newest."""

    windows: int
    since: datetime
    until: datetime
    window_id: str


@dataclass(frozen=True, slots=True)
class Trigger:
    """What gives cause.

    Args:
        version: the model of which windows speak.
        streak: of windows that drifted, or that are surely worse than they may be.
        dataset_id: what was published; none if a fresh one is to be cut.
        new_titles: since the last training; known_titles: what that learned from.
        said: a person's or the clock's words.
        force: train, whatever speaks against it; a person's only.
    """

    kind: RetrainingTrigger
    version: str | None = None
    streak: Streak | None = None
    dataset_id: str | None = None
    new_titles: int = 0
    known_titles: int = 0
    said: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What is the case.

    Args:
        champion: the version in force.
        decided: when trainings were decided, in any order.
        pending: when that one was decided that is under way, or may be lost.
        learned: datasets that the champion or another judged model has learned from.
        fresh_titles: told of since, and in none of these.
        trial: the version that is being tried against the champion, if one is.
    """

    now: datetime
    champion: str | None
    decided: tuple[datetime, ...]
    pending: datetime | None
    learned: frozenset[str]
    fresh_titles: int
    trial: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """See `RetrainingDecided`."""

    retrain: bool
    codes: tuple[str, ...]
    reasons: tuple[str, ...]
    possible_at: datetime | None
    cool_down_until: datetime | None
    pending_since: datetime | None
    budget_left: int


def is_postponed(codes: Iterable[str]) -> bool:
    """Whether a decision is a no that only holds for now."""
    return set(codes) <= _PASSING


def decide(trigger: Trigger, state: State, policy: Policy) -> Decision:
    """Decide, and give every reason."""
    code, reason, enough = _cause(trigger, state, policy)
    against = {} if enough else {code: reason}
    if trigger.dataset_id in state.learned:
        against["nothing-new"] = f"dataset {trigger.dataset_id} is what was learned from last"
    elif trigger.dataset_id is None and not state.fresh_titles:
        against["nothing-new"] = "no title has come since the last training"
    spent = _spent(state, policy)
    left = budget_left(state, policy)
    cool_down = _cool_down(state, policy)
    pending = _pending(state, policy)
    moments: list[datetime | None] = []
    if pending:
        against["pending"] = f"a training is under way since {_at(pending)}"
        moments.append(pending + policy.patience)
    if state.trial:
        against["on-trial"] = f"{state.trial} is being tried against the champion"
        moments.append(None)
    if cool_down:
        against["cool-down"] = f"the last training is too recent: not before {_at(cool_down)}"
        moments.append(cool_down)
    if not left:
        free = spent[-policy.budget] + policy.period if policy.budget else None
        until = f"until {_at(free)}" if free else "for good: it is 0"
        against["budget-spent"] = (
            f"the budget of {policy.budget} trainings in {_span(policy.period)} is spent {until}"
        )
        moments.append(free)
    passing = is_postponed(against) and None not in moments
    forced = trigger.force and trigger.kind == "person"
    told: dict[str, str] = {}
    if not against or forced:
        told = {code: reason}
        if against:
            told["forced"] = f"by force, although {'; '.join(against.values())}"
        if state.pending and not pending:
            told["former-lost"] = (
                f"the training decided at {_at(state.pending)} never came to an end"
            )
    return Decision(
        retrain=bool(told),
        codes=tuple(told or against),
        reasons=tuple((told or against).values()),
        possible_at=max(filter(None, moments)) if not told and passing else None,
        cool_down_until=cool_down,
        pending_since=pending,
        budget_left=left,
    )


def budget_left(state: State, policy: Policy) -> int:
    """Trainings that may still be decided in the period that ends now."""
    return max(0, policy.budget - len(_spent(state, policy)))


def _spent(state: State, policy: Policy) -> list[datetime]:
    return sorted(at for at in state.decided if at > state.now - policy.period)


def _cause(trigger: Trigger, state: State, policy: Policy) -> tuple[str, str, bool]:
    """A code, what is said, and whether that is cause enough."""
    if trigger.kind == "person":
        return "person", f"a person asked: {trigger.said}", True
    if trigger.kind == "schedule":
        return "schedule", trigger.said, True
    if trigger.kind == "new-data":
        return _new_data(trigger, state, policy)
    what = {
        "drift": "drifted",
        "estimated-fall": "surely worse than the model's test, by estimate",
        "measured-fall": "surely worse than the model's test, by labels",
    }[trigger.kind]
    if trigger.version != state.champion:
        return "not-champion", f"{trigger.version} isn't the champion {state.champion}", False
    streak = trigger.streak
    if streak is None:
        return "not-sustained", f"the last window doesn't count as {what}", False
    covered = streak.until - streak.since
    count = "1 window" if streak.windows == 1 else f"{streak.windows} windows in a row"
    told = f"{count} over {_span(covered)}: {what}"
    if streak.windows < policy.windows or covered < policy.sustained:
        wanted = f"{policy.windows} over {_span(policy.sustained)} count"
        return "not-sustained", f"{told}; {wanted}", False
    return f"{trigger.kind}-sustained", told, True


def _new_data(trigger: Trigger, state: State, policy: Policy) -> tuple[str, str, bool]:
    if state.champion is None:
        return "first-model", "there is no champion yet", True
    share = share_of(trigger)
    told = (
        f"{trigger.new_titles} new titles, {share:.0%} of the {trigger.known_titles} learned from"
    )
    if trigger.new_titles >= policy.new_titles or share >= policy.new_share:
        return "enough-new", told, True
    wanted = f"{policy.new_titles} or {policy.new_share:.0%} are worth a training"
    return "too-little-new", f"{told}; {wanted}", False


def share_of(trigger: Trigger) -> float:
    """New titles per title learned from; all of them, if nothing was."""
    return trigger.new_titles / trigger.known_titles if trigger.known_titles else 1.0


def _cool_down(state: State, policy: Policy) -> datetime | None:
    """Until when it lasts, if it does; as long as nothing is served there is nothing to spare."""
    until = max(state.decided, default=state.now) + policy.cool_down
    lasts = state.champion is not None and bool(state.decided) and until > state.now
    return until if lasts else None


def _pending(state: State, policy: Policy) -> datetime | None:
    """Since when a training is under way, unless it counts as lost."""
    if state.pending and state.now - state.pending < policy.patience:
        return state.pending
    return None


def scheduled(last: Iterable[datetime], now: datetime, policy: Policy) -> datetime | None:
    """The time that a scheduled training has been due since, if one is.

    Args:
        last: when trainings or scheduled ones were decided, or the champion came.
    """
    newest = max(last, default=None)
    if policy.every is None or newest is None or now < newest + policy.every:
        return None
    return newest + policy.every


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _span(span: timedelta) -> str:
    """A time in its largest whole unit: 90 s, 12 min, 3 h, 7 d."""
    seconds = span.total_seconds()
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
