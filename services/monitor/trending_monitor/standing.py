"""What there is to tell of an experiment, out of its evidence. Pure."""

from datetime import datetime
from math import exp, log

import numpy as np

from trending_monitor.betting import bounds
from trending_monitor.conducting import Evidence, Guard, Policy, Step
from trending_shared.experiments import CANDIDATE, CONTROL, Experiment, Judgement
from trending_shared.standings import ArmStanding, GuardStanding, Moment, Standing

_MOMENTS = 16  # of the difference's path; each takes some milliseconds


def standing_of(
    experiment: Experiment,
    started_at: datetime,
    step: Step,
    evidence: Evidence,
    policy: Policy,
    now: datetime,
) -> Standing:
    """How an experiment stands once a step is taken."""
    return Standing(
        subject=experiment.subject,
        target=experiment.target,
        name=experiment.name,
        phase=step.to,
        cause=step.cause,
        reasons=step.reasons,
        missing=step.missing,
        started_at=started_at,
        looked_at=now,
        alpha=policy.alpha,
        outcomes=evidence.all.outcomes,
        texts=len(evidence.all.shadow),
        pairs=len(evidence.all.split),
        arms=tuple(
            ArmStanding(
                name=arm,
                version=experiment.version(arm),
                answers=evidence.units[arm],
                outcomes=len(scores),
                score=float(np.mean(scores)) if scores else None,
            )
            for arm in (CONTROL, CANDIDATE)
            for scores in [evidence.scores[arm]]
        ),
        path=_path(evidence, policy.alpha),
        capital=exp(min(evidence.all.logs()[0], 700)),
        guards=tuple(_guard(each, policy) for each in evidence.guards()),
    )


def judgement_of(step: Step, standing: Standing) -> Judgement:
    """What is kept in an experiment's state of why it is in it."""
    last = standing.path[-1] if standing.path else None
    return Judgement(
        phase=step.to,
        cause=step.cause,
        outcomes=standing.outcomes,
        difference=last.difference if last else None,
        low=last.low if last else None,
        high=last.high if last else None,
    )


def _path(evidence: Evidence, alpha: float) -> tuple[Moment, ...]:
    """Moments that lie evenly between the first difference and the last."""
    shadow, split = np.array(evidence.all.shadow), np.array(evidence.all.split)
    known = len(shadow) + len(split)
    found = []
    for count in np.unique(np.linspace(0, known, _MOMENTS + 1).round().astype(int)[1:]):
        parts = shadow[:count], split[: max(0, count - len(shadow))]
        if not count:
            continue
        low, high = bounds(parts, alpha=alpha)
        mean = float(np.concatenate(parts).mean())
        outcomes = len(parts[0]) + 2 * len(parts[1])
        found.append(Moment(outcomes=outcomes, difference=mean, low=low, high=high))
    return tuple(found)


def _guard(guard: Guard, policy: Policy) -> GuardStanding:
    if guard.broken:
        verdict = "broken"
    elif guard.log_fine is None:
        verdict = "watched"
    else:
        verdict = "kept" if guard.log_fine >= log(1 / policy.alpha) else "unsure"
    evidence = max(0.0, guard.log_broken / guard.log_needed)
    return GuardStanding(name=guard.name, said=guard.said, verdict=verdict, evidence=evidence)
