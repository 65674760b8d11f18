"""How far two measures of the same volumes agree: Lin's CCC, regression, intraclass correlation, Bland-Altman.

``x`` is the reference (a rater's volume), ``y`` the method's, both in mL, one value per participant. Every quantity
comes with its interval, or with the reason why there is none.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from thalbids.bids.tabular.counting import one_per_person
from thalbids.types import Estimate

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
LIMITS = 1.96  # standard deviations between bias and limit of agreement, as in the paper (2.7.3)
MIN_PAIRS = 3
_EXACT = 1e-12  # a variance below this share of the mean square is rounding noise

COLUMNS = ("rater", "method", "quantity", "estimate", "ci_low", "ci_high", "n", "reason")
QUANTITIES = (
    "ccc", "slope", "sd_e", "icc_c1", "icc_a1", "bias", "bias_sd", "loa_low", "loa_high", "proportional_slope",
    "proportional_slope_on_reference",
)  # fmt: skip


def agreement(x: np.ndarray, y: np.ndarray) -> dict[str, Estimate]:
    """All of :data:`QUANTITIES` for pairs of volumes.

    Parameters
    ----------
    x, y : (n,) reference and method; pairs with a NaN are left out

    Returns
    -------
    dict
        One :class:`Estimate` per quantity.
    """
    x, y = pairs(x, y)
    if x.size < MIN_PAIRS:
        few = Estimate(reason=f"pairs of volumes: {x.size}, at least {MIN_PAIRS} are needed")
        return dict.fromkeys(QUANTITIES, few)
    d, mean = y - x, (x + y) / 2
    icc = icc_both(x, y)
    low, high = limits(d)
    return {
        "ccc": ccc(x, y),
        "slope": slope(x, y, "the reference volumes do not vary"),
        "sd_e": residual_sd(x, y),
        "icc_c1": icc[0],
        "icc_a1": icc[1],
        "bias": bias(d),
        "bias_sd": sd(d, d.size - 1, float(np.sum((d - d.mean()) ** 2))),
        "loa_low": low,
        "loa_high": high,
        "proportional_slope": slope(mean, d, "the means of the two volumes do not vary"),
        "proportional_slope_on_reference": slope(x, d, "the reference volumes do not vary"),
    }


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of ``group_agreement.tsv`` from those of ``group_overlap.tsv``: every quantity per rater and method.

    Volumes of method and rater come from the masks; each participant counts once, with the first session. An empty mask
    is no measurement of 0 mL: the pair is left out.
    """
    result = []
    for (rater, method), group in one_per_person(table, ["rater", "method"]).groupby(["rater", "method"], sort=False):
        x, y = (drawn(group[name]) for name in ("volume_rater_ml", "volume_ml"))
        n = pairs(x, y)[0].size
        for quantity, estimate in agreement(x, y).items():
            numbers = {"estimate": estimate.estimate, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}
            result.append(
                {"rater": rater, "method": method, "quantity": quantity, **numbers, "n": n, "reason": estimate.reason}
            )
    return result


def drawn(volumes: pd.Series[float]) -> np.ndarray:
    """Volumes as float64, NaN for an empty mask."""
    values = volumes.to_numpy(dtype=np.float64)
    return np.where(values > 0, values, math.nan)


def pairs(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both values of the pairs without NaN, as float64."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    there = np.isfinite(x) & np.isfinite(y)
    return x[there], y[there]


def ccc(x: np.ndarray, y: np.ndarray) -> Estimate:
    """Lin's concordance correlation coefficient 2 Sxy / (Sx2 + Sy2 + (mean x - mean y)^2), with sample (n - 1) moments.

    Interval: Fisher's z with the asymptotic variance of Lin (1989) as corrected in Lin (2000), divided by n - 2.
    """
    n = x.size
    sx2, sy2 = float(np.var(x, ddof=1)), float(np.var(y, ddof=1))
    sxy = float(np.cov(x, y)[0, 1])
    shift = float(x.mean() - y.mean())
    if _constant(x) or _constant(y):
        if _constant(x) and _constant(y):
            return Estimate(reason="neither volume varies")
        return Estimate(0.0, reason="one of the two volumes does not vary: no interval")
    p = 2 * sxy / (sx2 + sy2 + shift**2)
    r = sxy / math.sqrt(sx2 * sy2)
    if 1 - abs(p) < _EXACT or abs(r) < _EXACT:
        return Estimate(p, reason="perfect agreement: no interval" if p > 0 else "no correlation: no interval")
    u2 = shift**2 / math.sqrt(sx2 * sy2)
    variance = (
        (1 - r**2) * p**2 / ((1 - p**2) * r**2)
        + 2 * p**3 * (1 - p) * u2 / (r * (1 - p**2) ** 2)
        - p**4 * u2**2 / (2 * r**2 * (1 - p**2) ** 2)
    ) / (n - 2)
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt(max(variance, 0.0))
    return Estimate(p, math.tanh(math.atanh(p) - half), math.tanh(math.atanh(p) + half))


def slope(x: np.ndarray, y: np.ndarray, constant: str) -> Estimate:
    """Slope of the least-squares line of y on x with its t interval (n - 2 degrees of freedom)."""
    if _constant(x):
        return Estimate(reason=constant)
    from statsmodels.regression.linear_model import OLS  # statsmodels.api loads much that is not needed

    fit = OLS(y, np.column_stack([np.ones_like(x), x])).fit()
    low, high = fit.conf_int(1 - CONFIDENCE)[1]
    return Estimate(float(fit.params[1]), float(low), float(high))


def residual_sd(x: np.ndarray, y: np.ndarray) -> Estimate:
    """SD_e = sqrt(RSS / (n - 2)) of y on x (mL); interval by the chi-square distribution of the residuals."""
    if _constant(x):
        return Estimate(reason="the reference volumes do not vary")
    xc, yc = x - x.mean(), y - y.mean()
    rss = float(np.sum((yc - (xc @ yc) / (xc @ xc) * xc) ** 2))
    return sd(y, x.size - 2, rss)


def sd(values: np.ndarray, df: int, squares: float) -> Estimate:
    """Standard deviation sqrt(squares / df) and its interval by the chi-square distribution."""
    if df < 1:
        return Estimate(reason=f"too few values: {values.size}")
    low, high = stats.chi2.ppf([(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2], df)
    return Estimate(math.sqrt(squares / df), math.sqrt(squares / low), math.sqrt(squares / high))


def bias(d: np.ndarray) -> Estimate:
    """Mean difference (method minus reference, mL) and its t interval."""
    half = stats.t.ppf((1 + CONFIDENCE) / 2, d.size - 1) * float(np.std(d, ddof=1)) / math.sqrt(d.size)
    return Estimate(float(d.mean()), float(d.mean()) - half, float(d.mean()) + half)


def limits(d: np.ndarray) -> tuple[Estimate, Estimate]:
    """Limits of agreement, bias -+ 1.96 SD, with the intervals of Bland and Altman (1999, section 2.1): standard error
    SD sqrt(1/n + 1.96^2 / (2 (n - 1))).
    """
    n, s = d.size, float(np.std(d, ddof=1))
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * s * math.sqrt(1 / n + LIMITS**2 / (2 * (n - 1)))
    low, high = (float(d.mean()) + sign * LIMITS * s for sign in (-1, 1))
    return Estimate(low, low - half, low + half), Estimate(high, high - half, high + half)


def icc_both(x: np.ndarray, y: np.ndarray) -> tuple[Estimate, Estimate]:
    """ICC(C,1), consistency, which is ICC(3,1); and ICC(A,1), absolute agreement, which is ICC(2,1) (McGraw and Wong
    1996). The paper's numbers are the first, though its text says the second.
    """
    return icc(np.column_stack([x, y]))


def icc(ratings: np.ndarray) -> tuple[Estimate, Estimate]:
    """ICC(C,1) and ICC(A,1) of ratings (targets x raters), by pingouin, with intervals that are not rounded."""
    n, k = ratings.shape
    if n < MIN_PAIRS:
        few = Estimate(reason=f"participants: {n}, at least {MIN_PAIRS} are needed")
        return few, few
    centred = ratings - ratings.mean()
    total = float(np.sum(centred**2))
    rows = k * float(np.sum(centred.mean(axis=1) ** 2))
    columns = n * float(np.sum(centred.mean(axis=0) ** 2))
    noise = _EXACT * float(np.sum(ratings**2))
    if rows <= noise:
        same = Estimate(reason="the volumes do not differ between participants")
        return same, same
    if total - rows - columns <= noise:  # parallel: pingouin would divide by zero
        consistent = Estimate(1.0, reason="perfect consistency: no interval")
        between, of_raters = rows / (n - 1), columns / (k - 1)
        absolute = Estimate(between / (between + k * of_raters / n), reason="perfect consistency: no interval")
        return consistent, absolute
    import pandas as pd
    import pingouin as pg

    long = pd.DataFrame(
        {
            "target": np.repeat(np.arange(n), k),
            "rater": np.tile(np.arange(k), n),
            "rating": np.asarray(ratings, dtype=np.float64).ravel(),
        }
    )
    with _unrounded(pg.options):
        table = pg.intraclass_corr(long, "target", "rater", "rating").set_index("Type")
    return _icc_row(table, "ICC(C,1)"), _icc_row(table, "ICC(A,1)")


def bootstrap(
    values: np.ndarray, statistic: Callable[..., np.ndarray], seed: int, draws: int = 2000
) -> tuple[float, float]:
    """Percentile interval of a statistic under resampling of the values; NaN below three values.

    ``statistic`` takes ``axis``. The draws depend on the seed and the number of values only, so that the interval of a
    method does not depend on which others there are.
    """
    if values.size < MIN_PAIRS:
        return math.nan, math.nan
    index = np.random.default_rng(seed).integers(0, values.size, (draws, values.size))
    low, high = np.quantile(statistic(values[index], axis=1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _icc_row(table: object, kind: str) -> Estimate:
    row = table.loc[kind]  # type: ignore[attr-defined]
    low, high = row["CI95"]
    return Estimate(float(row["ICC"]), float(low), float(high))


@contextlib.contextmanager
def _unrounded(options: dict[str, object]) -> Iterator[None]:
    """Let pingouin give intervals in full precision, and its option be what it was afterwards."""
    key = "round.column.CI95"
    before = options.get(key)
    options[key] = None
    try:
        yield
    finally:
        options[key] = before


def _constant(values: np.ndarray) -> bool:
    """Whether the values vary by no more than rounding noise."""
    return bool(np.ptp(values) <= _EXACT * max(1.0, float(np.abs(values).max())))
