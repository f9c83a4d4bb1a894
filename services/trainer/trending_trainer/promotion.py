"""The gate: may a candidate take the champion's place? Pure."""

from dataclasses import dataclass

from trending_shared.evaluation import Comparison, Evaluation

MAX_DIFFERENCE = 1e-3  # probability by which export and native model may differ on any test row


@dataclass(frozen=True, slots=True)
class Limits:
    """What a candidate must keep to.

    Args:
        margin: macro-F1 that it must surely have above the champion's.
        slice_margin: macro-F1 that it may lose on any slice.
        ece: expected calibration error that it may have at most.
        latency: seconds of one processor that a text may take at most, in the middle of many.
    """

    margin: float = 0.0
    slice_margin: float = 0.03
    ece: float = 0.05
    latency: float = 0.1


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the gate needs to know of a model, all of the same test titles."""

    version: str
    evaluation: Evaluation
    baselines: dict[str, float]
    """Macro-F1 of what needs no learning, by name."""
    parity_difference: float
    """Of any probability, between the exported graph and the trained model; `parity_label_changes`
    counts the genres that one gives and the other doesn't."""
    parity_label_changes: int
    latency: float


@dataclass(frozen=True, slots=True)
class Champion:
    """The model in force, measured on the candidate's test titles."""

    version: str
    macro_f1: float
    comparison: Comparison
    """How much better the candidate is."""
    usable: bool = True
    """False if its graph can't be run: it counts as answering nothing, and can't be tried."""


@dataclass(frozen=True, slots=True)
class Verdict:
    promote: bool
    reasons: tuple[str, ...]


def judge(candidate: Candidate, champion: Champion | None, limits: Limits) -> Verdict:
    """Decide, and give every reason.

    A number that isn't one (NaN) counts against the candidate.
    """
    score = candidate.evaluation.macro_f1
    against: list[str] = []
    if not candidate.parity_difference <= MAX_DIFFERENCE or candidate.parity_label_changes:
        against.append(
            f"the export differs from the trained model by up to {candidate.parity_difference:.2g} "
            f"and changes {candidate.parity_label_changes} labels"
        )
    against += [
        f"macro-F1 {score:.4f} isn't above the {baseline:.4f} of {name}"
        for name, baseline in candidate.baselines.items()
        if not score > baseline
    ]
    if not candidate.evaluation.calibration.ece <= limits.ece:
        against.append(
            f"its probabilities are off by {candidate.evaluation.calibration.ece:.4f} on average, "
            f"more than {limits.ece:.4f}"
        )
    if not candidate.latency <= limits.latency:
        against.append(
            f"a text takes {candidate.latency * 1000:.1f} ms, more than "
            f"{limits.latency * 1000:.1f} ms"
        )
    if champion and champion.version == candidate.version:
        against.append(f"it is the champion {champion.version} itself")
    elif champion:
        against += _against_champion(score, champion, limits)
    if against:
        return Verdict(False, tuple(against))
    if champion is None:
        return Verdict(True, (f"there was no champion; macro-F1 {score:.4f}",))
    return Verdict(True, (_measured(score, champion),))


def _against_champion(score: float, champion: Champion, limits: Limits) -> list[str]:
    against = []
    if not champion.comparison.macro_f1.interval.low > limits.margin:
        against.append(
            f"it isn't surely more than {limits.margin:.4f} better: {_measured(score, champion)}"
        )
    against += [
        f"on the {slice.rows} titles whose {dimension} is {value} macro-F1 falls by "
        f"{-slice.value:.4f}, more than {limits.slice_margin:.4f}, and that isn't noise"
        for dimension, slices in champion.comparison.slices.items()
        for value, slice in slices.items()
        if slice.value < -limits.slice_margin and slice.interval.high < 0
    ]
    return against


def _measured(score: float, champion: Champion) -> str:
    difference = champion.comparison.macro_f1
    return (
        f"macro-F1 {score:.4f} against the champion's {champion.macro_f1:.4f} on the same test "
        f"titles, {difference.value:+.4f} "
        f"[{difference.interval.low:+.4f}, {difference.interval.high:+.4f}]"
    )
