"""The gate: may a candidate take the champion's place? Pure."""

from dataclasses import dataclass

MAX_DIFFERENCE = 1e-3  # probability by which export and native model may differ on any test row


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the gate needs to know of a model.

    `macro_f1` and `baseline_f1` are measured on the same test rows; `parity_*` compare the exported
    graph with the native model on all of them.
    """

    version: str
    macro_f1: float
    baseline_f1: float
    parity_difference: float
    parity_label_changes: int


@dataclass(frozen=True, slots=True)
class Champion:
    """The model in force, measured on the candidate's test rows."""

    version: str
    macro_f1: float


@dataclass(frozen=True, slots=True)
class Verdict:
    promote: bool
    reasons: tuple[str, ...]


def judge(candidate: Candidate, champion: Champion | None, *, margin: float = 0.0) -> Verdict:
    """Decide, and give every reason.

    A number that isn't one (NaN) counts against the candidate.

    Args:
        margin: macro-F1 that the candidate must have above the champion's.
    """
    against: list[str] = []
    if not candidate.parity_difference <= MAX_DIFFERENCE or candidate.parity_label_changes:
        against.append(
            f"the export differs from the trained model by up to {candidate.parity_difference:.2g} "
            f"and changes {candidate.parity_label_changes} labels"
        )
    if not candidate.macro_f1 > candidate.baseline_f1:
        against.append(
            f"macro-F1 {candidate.macro_f1:.4f} isn't above the {candidate.baseline_f1:.4f} of "
            "always answering the most frequent genre"
        )
    if champion and champion.version == candidate.version:
        against.append(f"it is the champion {champion.version} itself")
    elif champion and not candidate.macro_f1 > champion.macro_f1 + margin:
        against.append(
            f"macro-F1 {candidate.macro_f1:.4f} isn't more than {margin:.4f} above the champion's "
            f"{champion.macro_f1:.4f} on the same test rows"
        )
    if against:
        return Verdict(False, tuple(against))
    if champion is None:
        return Verdict(True, (f"there was no champion; macro-F1 {candidate.macro_f1:.4f}",))
    return Verdict(
        True,
        (
            f"macro-F1 {candidate.macro_f1:.4f} against the champion's {champion.macro_f1:.4f} "
            "on the same test rows",
        ),
    )
