"""How an experiment stands, for a terminal."""

from collections.abc import Sequence

from trending_cli.output import console, print_facts, print_table, shown
from trending_shared.standings import Moment, Standing, folder_of

_CELLS = 41  # of the picture; the middle one is no difference


def show_standing(standing: Standing) -> None:
    """Verdict, difference over time, arms, guardrails, and what is missing."""
    verdict = f"{standing.phase}: {standing.cause}" if standing.cause else standing.phase
    folder = folder_of(standing.subject, standing.target, standing.name)
    ended = standing.phase in ("promoted", "refused")
    print_facts(
        {
            "experiment": f"{standing.name}, {standing.subject} {standing.target}",
            "phase": verdict,
            "why": "\n".join(standing.reasons) or None,
            "since": f"{standing.started_at:%Y-%m-%d %H:%M} UTC",
            "looked at": f"{standing.looked_at:%Y-%m-%d %H:%M} UTC",
            "outcomes": f"{standing.outcomes:,}: {standing.texts:,} texts in shadow, "
            f"{standing.pairs:,} pairs of units since the split",
            "evidence": f"{standing.capital:.3g} against its not being better; "
            f"{1 / standing.alpha:.3g} is enough",
            **({"report": f"{folder}/report.html"} if ended else {}),
        }
    )
    for line in picture(standing.path):
        console.print(shown(line))
    print_table(
        "arms since the split",
        ["arm", "version", "units", "outcomes", "score"],
        [
            [
                *(arm.name, arm.version, arm.answers, arm.outcomes),
                "" if arm.score is None else f"{arm.score:.4f}",
            ]
            for arm in standing.arms
        ],
    )
    print_table(
        "guardrails",
        ["guardrail", "verdict", "to breaking", "found"],
        [
            [each.name, each.verdict, f"{min(1, each.evidence):.0%}", each.said]
            for each in standing.guards
        ],
    )
    for each in standing.missing:
        console.print(shown(f"needs {each}"))


def picture(path: Sequence[Moment]) -> list[str]:
    """The difference and its bounds, a line for each moment, oldest first."""
    if not path:
        return []
    late = path[len(path) // 3 :]
    reach = max(0.01, *(max(abs(each.low), abs(each.high)) for each in late))
    lines = [f"{'outcomes':>9}  {-reach:<+{_CELLS // 2}.3f}0{reach:>+{_CELLS // 2}.3f}  difference"]
    for each in path:
        cells = [" "] * _CELLS
        cells[_CELLS // 2] = "│"
        low, middle, high = (_cell(at, reach) for at in (each.low, each.difference, each.high))
        for cell in range(low, high + 1):
            cells[cell] = "┼" if cells[cell] == "│" else "─"
        cells[middle] = "●"
        said = f"{each.difference:+.4f} [{each.low:+.4f}, {each.high:+.4f}]"
        lines.append(f"{each.outcomes:>9,}  {''.join(cells)}  {said}")
    return lines


def _cell(value: float, reach: float) -> int:
    inside = max(-reach, min(reach, value))
    return round((inside / reach + 1) / 2 * (_CELLS - 1))
