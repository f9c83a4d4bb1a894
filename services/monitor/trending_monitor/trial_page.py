"""The report of an experiment that has ended, as one page that needs nothing else. Pure."""

from collections.abc import Iterable, Sequence
from html import escape

from trending_shared.standings import Moment, Standing

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 720, 260, 64, 28
_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #8886 }
th { font-weight: 600 }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
svg { width: 100%; height: auto } svg text { font-size: 12px; fill: currentColor }
"""


def page_of(standing: Standing) -> str:
    """HTML; everything in it is escaped."""
    title = f"{standing.subject} {standing.target}: {standing.name}"
    verdict = f"{standing.phase}, {standing.cause}" if standing.cause else standing.phase
    arms = [
        (each.name, each.version, f"{each.answers:,}", f"{each.outcomes:,}", _score(each.score))
        for each in standing.arms
    ]
    guards = [
        (each.name, each.verdict, f"{min(1, each.evidence):.0%}", each.said)
        for each in standing.guards
    ]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p><strong>{escape(verdict.capitalize())}.</strong> "
        f"{escape(' · '.join(standing.reasons))}</p>",
        f"<p>Since {standing.started_at:%Y-%m-%d %H:%M} UTC, last looked at "
        f"{standing.looked_at:%Y-%m-%d %H:%M}: {standing.outcomes:,} outcomes, "
        f"{standing.texts:,} of them texts that both versions read in shadow; "
        f"{standing.pairs:,} pairs of units since the split.</p>",
        "<h2>The difference</h2>",
        _picture(standing.path) if standing.path else "<p>No outcome is known.</p>",
        f"<p>The mean score of the candidate less that of the control. Each bound holds with "
        f"{1 - standing.alpha:.0%} at all times, so looking often costs nothing. The capital "
        f"against the hypothesis that it isn't better came to {standing.capital:.3g}; "
        f"{1 / standing.alpha:.3g} is enough.</p>",
        "<h2>Arms since the split</h2>",
        _table(("arm", "version", "units", "outcomes", "mean score"), arms, numbers=(2, 3, 4)),
        "<h2>Guardrails</h2>",
        _table(("guardrail", "verdict", "towards breaking", "found"), guards, numbers=(2,)),
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int]) -> str:
    def cell(tag: str, index: int, text: str) -> str:
        kind = ' class="number"' if index in numbers else ""
        return f"<{tag}{kind}>{escape(text)}</{tag}>"

    lines = [
        f"<tr>{''.join(cell(tag, index, text) for index, text in enumerate(row))}</tr>"
        for tag, row in [("th", columns), *(("td", row) for row in rows)]
    ]
    return f"<table>{''.join(lines)}</table>"


def _picture(path: Sequence[Moment]) -> str:
    """The difference and its bounds by outcomes, as SVG."""
    # The first bounds are as wide as can be, and would flatten all others.
    reach = max(0.05, *(abs(each.difference) for each in path), *_late(path))
    last = path[-1].outcomes

    def x(outcomes: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - 8) * outcomes / last

    def y(value: float) -> float:
        inside = max(-reach, min(reach, value))
        return 8 + (_HEIGHT - _BOTTOM - 8) * (reach - inside) / (2 * reach)

    band = [(each.outcomes, each.high) for each in path]
    band += [(each.outcomes, each.low) for each in reversed(path)]
    outline = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in band)
    line = " ".join(f"{x(each.outcomes):.1f},{y(each.difference):.1f}" for each in path)
    ticks = "".join(
        f'<line x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y(at):.1f}" y2="{y(at):.1f}" '
        f'stroke="currentColor" stroke-opacity="{0.6 if at == 0 else 0.15}"/>'
        f'<text x="{_LEFT - 8}" y="{y(at) + 4:.1f}" text-anchor="end">{at:+.3f}</text>'
        for at in (-reach, -reach / 2, 0.0, reach / 2, reach)
    )
    said = f"{path[-1].difference:+.4f} [{path[-1].low:+.4f}, {path[-1].high:+.4f}]"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Difference: {said}">'
        f'{ticks}<polygon points="{outline}" fill="#3b82f6" fill-opacity="0.25"/>'
        f'<polyline points="{line}" fill="none" stroke="#2563eb" stroke-width="2"/>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">0</text>'
        f'<text x="{_WIDTH - 8}" y="{_HEIGHT - 8}" text-anchor="end">{last:,} outcomes: {said}'
        "</text></svg>"
    )


def _late(path: Sequence[Moment]) -> list[float]:
    return [abs(bound) for each in path[len(path) // 3 :] for bound in (each.low, each.high)]
