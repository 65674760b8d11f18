"""Do those whom a method lost differ from those it kept? Two groups, one variable: difference, interval and test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
MIN_GROUP = 2
_EXACT = 1e-12


@dataclass(frozen=True)
class Comparison:
    """Kept against lost: sizes, means (shares of a yes-no variable), difference kept - lost with its 95 % interval.

    ``smd`` is the difference in pooled standard deviations, with Hedges' correction for small samples. ``test`` is
    ``welch`` or ``fisher``.
    """

    n_kept: int
    n_lost: int
    kept: float = math.nan
    lost: float = math.nan
    difference: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    smd: float = math.nan
    test: str = ""
    p: float = math.nan
    reason: str = ""


def compare(values: np.ndarray, lost: np.ndarray, binary: bool = False) -> Comparison:
    """Welch's t test and interval of the means; of a yes-no variable Fisher's exact test, and Newcombe's interval of
    the difference of shares (Newcombe 1998, method 10).

    Parameters
    ----------
    values : (n,) numbers, 0 or 1 if ``binary``; NaN for missing
    lost : (n,) whether the person is lost
    binary : the variable is yes or no
    """
    there = np.isfinite(values)
    a, b = values[there & ~lost], values[there & lost]
    if min(a.size, b.size) < MIN_GROUP:
        reason = f"{a.size} kept and {b.size} lost with a value, at least {MIN_GROUP} of each are needed"
        return Comparison(a.size, b.size, _mean(a), _mean(b), reason=reason)
    difference = float(a.mean() - b.mean())
    if binary:
        table = [[int(a.sum()), int(a.size - a.sum())], [int(b.sum()), int(b.size - b.sum())]]
        low, high = newcombe(int(a.sum()), a.size, int(b.sum()), b.size)
        p = float(stats.fisher_exact(table).pvalue)
        return Comparison(a.size, b.size, _mean(a), _mean(b), difference, low, high, math.nan, "fisher", p)
    va, vb = a.var(ddof=1) / a.size, b.var(ddof=1) / b.size
    if va + vb <= _EXACT * max(1.0, float(np.mean(values[there] ** 2))):
        return Comparison(a.size, b.size, _mean(a), _mean(b), difference, reason="the values do not vary")
    df = (va + vb) ** 2 / (va**2 / (a.size - 1) + vb**2 / (b.size - 1))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, df) * math.sqrt(va + vb))
    p = float(2 * stats.t.sf(abs(difference) / math.sqrt(va + vb), df))
    smd = hedges(a, b)
    return Comparison(
        a.size, b.size, _mean(a), _mean(b), difference, difference - half, difference + half, smd, "welch", p
    )


def hedges(a: np.ndarray, b: np.ndarray) -> float:
    """Hedges' g: difference of means in pooled SD, times 1 - 3 / (4 df - 1) (Hedges 1981)."""
    df = a.size + b.size - 2
    pooled = math.sqrt(((a.size - 1) * a.var(ddof=1) + (b.size - 1) * b.var(ddof=1)) / df)
    return float((a.mean() - b.mean()) / pooled * (1 - 3 / (4 * df - 1)))


def newcombe(x1: int, n1: int, x2: int, n2: int) -> tuple[float, float]:
    """Interval of the difference of two shares from Wilson's intervals of both (Newcombe 1998, method 10).

    Examples
    --------
    >>> [round(bound, 4) for bound in newcombe(56, 70, 48, 80)]  # Newcombe 1998, table II, example a
    [0.0524, 0.3339]
    """
    (l1, u1), (l2, u2) = wilson(x1, n1), wilson(x2, n2)
    d = x1 / n1 - x2 / n2
    return d - math.hypot(x1 / n1 - l1, u2 - x2 / n2), d + math.hypot(u1 - x1 / n1, x2 / n2 - l2)


def wilson(x: int, n: int) -> tuple[float, float]:
    """Wilson's score interval of a share."""
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    centre, half = (x + z**2 / 2) / (n + z**2), z / (n + z**2) * math.sqrt(x * (n - x) / n + z**2 / 4)
    return centre - half if x > 0 else 0.0, centre + half if x < n else 1.0  # there without rounding noise


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan
