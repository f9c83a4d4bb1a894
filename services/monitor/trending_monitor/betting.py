"""Tests and bounds for the mean of bounded values that hold however often one looks. Pure.

A null hypothesis is a game that can't be won: who believes that a mean is at most m may be bet
against at fair odds, and a capital of 1 becomes 20 with a chance of one in twenty at most, at any
time whatsoever (Ville's inequality). So a test of level alpha rejects once the capital has reached
1 / alpha, and one may look after each value, stop when one likes, and go on later.

The capital is a mixture over constant bets: it is spread over a grid of them at the start, and each
part is multiplied by 1 + bet * (value - m) with each value. Where one bet of the grid is nearly the
best in hindsight, no more than the factor of the spreading is lost. A product doesn't depend on the
order of its factors, so neither does what is said of the same values.

Assumed is that values lie in their range and that given all before it, the expectation of each is
at most m (at least m, on the other side): nothing of their distribution, or that it stays.

Sources: Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86,
2024; for differences of two samples Shekhar, Ramdas, "Nonparametric two-sample testing by betting",
IEEE Transactions on Information Theory 70, 2024; for mixtures over bets Orabona, Jun, "Tight
concentrations and confidence sequences from the regret of universal portfolio", likewise 2024.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Side = Literal["at most", "at least"]
Values = NDArray[np.float64]

# Shares of the largest bet that can't ruin. A difference of 0.05 whose standard deviation is 0.4
# wants 0.3, one of 0.01 a fifth of that; from 1 on a single value could take all.
_SHARES = np.geomspace(0.02, 0.95, 12)
_STEPS = 18  # of halving; bounds are exact to 1e-5


@dataclass(frozen=True, slots=True)
class Null:
    """What is bet against: that a mean is at most, or at least, so much."""

    side: Side
    mean: float


class Capitals:
    """What capitals of 1 have become that are bet against some hypotheses on the same values.

    Args:
        low: with `high` the range of the values.

    Raises:
        ValueError: a hypothesis can't be bet against: no value contradicts it.
    """

    def __init__(self, nulls: Sequence[Null], *, low: float = -1.0, high: float = 1.0) -> None:
        signs = np.array([1.0 if null.side == "at most" else -1.0 for null in nulls])
        means = signs * [null.mean for null in nulls]
        losses = means - np.where(signs > 0, low, -high)  # of a bet of 1, at the worst
        if not (losses > 0).all() or not (means < np.where(signs > 0, high, -low)).all():
            raise ValueError("a mean to bet against must lie inside of the range")
        self._signs, self._means = signs[:, None, None], means[:, None, None]
        self._bets = (_SHARES / losses[:, None])[:, :, None]
        self._logs = np.zeros((len(nulls), len(_SHARES)))

    def add(self, values: Values) -> None:
        """Bet on further values."""
        gains = self._signs * values - self._means
        self._logs += np.log1p(self._bets * gains).sum(axis=-1)

    def logs(self) -> Values:
        """Natural logarithms of the capitals, one for each hypothesis."""
        top: Values = self._logs.max(axis=1)
        top += np.log(np.exp(self._logs - top[:, None]).mean(axis=1))
        return top


def log_capital(values: Values, null: Null) -> float:
    """Of values from -1 to 1 that are there at once."""
    capitals = Capitals([null])
    capitals.add(values)
    return float(capitals.logs()[0])


def both(before: float, after: float) -> float:
    """The logarithm of a capital of which one half sat out the first of two parts.

    Each part is a game of its own, so capitals of both may be multiplied; the half that sat out
    limits what a first part without evidence can cost to a factor of two.
    """
    return float(np.logaddexp(0, before)) - log(2) + after


def lower_bound(log_capital_against: Callable[[float], float], *, alpha: float) -> float:
    """The mean above which the truth lies, at all times at once with confidence 1 - `alpha`.

    Args:
        log_capital_against: of the hypothesis that the mean is at most so much; it falls with it.
    """
    low, high = -1.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if log_capital_against(middle) >= log(1 / alpha):
            low = middle
        else:
            high = middle
    return low


def bounds(parts: Sequence[Values], *, alpha: float) -> tuple[float, float]:
    """Where the mean of differences from -1 to 1 lies; each bound holds with 1 - `alpha`.

    Args:
        parts: of the shadow, and of the split.
    """

    def against(side: Side, sign: float) -> Callable[[float], float]:
        return lambda mean: both(*(log_capital(part, Null(side, sign * mean)) for part in parts))

    low = lower_bound(against("at most", 1), alpha=alpha)
    return low, -lower_bound(against("at least", -1), alpha=alpha)
