"""Progression of EDSS by a step that depends on the baseline, its confirmation, and the logistic model of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalbids.group.statistics.fits import fit
from thalbids.group.statistics.fits.ordinal import separated

HIGH = 6.0  # baseline EDSS from which half a point counts
WEEKS = 24
_DAYS = 365.25
_EXACT = 1e-9


def step(baseline: float, high: float = HIGH) -> float:
    """The increase that counts: 1.5 points from a baseline of 0, 1.0 up to below ``high``, 0.5 from there on.

    Examples
    --------
    >>> [step(value) for value in (0.0, 1.0, 5.5, 6.0)]
    [1.5, 1.0, 1.0, 0.5]
    """
    return 1.5 if baseline < 1 else 1.0 if baseline < high else 0.5


@dataclass(frozen=True)
class Course:
    """What the later visits say. ``first`` and ``confirmation`` are positions among them, -1 where there is none.

    ``progression`` and ``confirmed`` are 1, 0, or NaN where that cannot be known: no later visit; for a confirmation
    fewer than two, or a progression that no visit late enough follows.
    """

    progression: float = math.nan
    first: int = -1
    confirmed: float = math.nan
    confirmation: int = -1


def course(baseline: float, edss: np.ndarray, years: np.ndarray, high: float = HIGH, weeks: float = WEEKS) -> Course:
    """Whether a person progressed, and whether that was confirmed.

    A progression is confirmed when EDSS stays at least a step above the baseline at every visit up to the first one
    that is ``weeks`` or more later; without dates, at the next visit.

    Parameters
    ----------
    baseline : EDSS at the baseline; NaN gives nothing
    edss : (n,) EDSS of the later visits in order of time, without NaN
    years : (n,) since the baseline; NaN where there is no date
    """
    if not math.isfinite(baseline) or not edss.size:
        return Course()
    worse = edss >= baseline + step(baseline, high) - _EXACT
    first = int(np.argmax(worse)) if worse.any() else -1
    if edss.size < 2:
        return Course(float(worse.any()), first)
    open_end = False
    for start in np.flatnonzero(worse):
        end = _end(years, int(start), weeks)
        if worse[start : (edss.size if end < 0 else end + 1)].all():
            if end >= 0:
                return Course(1.0, first, 1.0, end)
            open_end = True  # nothing speaks against it, and nothing is late enough to confirm it
    return Course(float(worse.any()), first, math.nan if open_end else 0.0)


def _end(years: np.ndarray, start: int, weeks: float) -> int:
    """The visit that can confirm, -1 for none."""
    if not np.isfinite(years).all():
        return start + 1 if start + 1 < years.size else -1
    late = np.flatnonzero(years[start + 1 :] - years[start] >= weeks * 7 / _DAYS - _EXACT)
    return start + 1 + int(late[0]) if late.size else -1


def logit(outcome: str, predictors: Sequence[str], columns: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Logistic regression after listwise deletion: one row per term, or rows with a ``reason``.

    Log odds ratios with Wald intervals and p, by maximum likelihood (statsmodels). Separation is looked for before
    the fit, as its estimates would be infinite (Albert and Anderson 1984).

    Parameters
    ----------
    outcome, predictors : keys of ``columns``; the outcome is 1 or 0
    columns : (n,) float arrays with NaN for missing
    """
    used = fit.listwise(columns)
    rows = {name: values[used] for name, values in columns.items()}
    y = rows[outcome]
    shared = {"n": int(used.sum()), "n_stable": int((y == 0).sum()), "n_progressed": int((y == 1).sum())}
    names = (*predictors, fit.INTERCEPT)
    reason = fit.missing(columns, used)
    if not reason and np.unique(y).size < 2:
        reason = "everybody progressed" if y[0] else "nobody progressed"
    reason = reason or fit.unfit(outcome, predictors, rows)
    if not reason:
        X = np.column_stack([rows[name] for name in predictors])
        if separated(X, y.astype(int)):
            reason = "a combination of the predictors separates those who progressed: the estimates would be infinite"
    if reason:
        return [{"term": name, "estimate": math.nan, "p": math.nan, **shared, "reason": reason} for name in names]
    return [{**row, **shared, "reason": ""} for row in _fitted(names, X, y)]


def _fitted(names: Sequence[str], X: np.ndarray, y: np.ndarray) -> list[dict[str, Any]]:
    from statsmodels.discrete.discrete_model import Logit

    mean, sd = X.mean(axis=0), X.std(axis=0)
    fitted = Logit(y, np.column_stack([(X - mean) / sd, np.ones(y.size)])).fit(disp=False, method="newton", tol=1e-12)
    back = np.eye(X.shape[1] + 1)  # from standardised predictors to their units
    back[:-1, :-1] = np.diag(1 / sd)
    back[-1, :-1] = -mean / sd
    estimate = back @ np.asarray(fitted.params)
    se = np.sqrt(np.diag(back @ np.asarray(fitted.cov_params()) @ back.T))
    from scipy import stats

    half = float(stats.norm.ppf((1 + fit.CONFIDENCE) / 2)) * se
    p = 2 * stats.norm.sf(np.abs(estimate / se))
    return [
        {
            "term": name, "estimate": float(b), "se": float(s), "ci_low": float(b - h), "ci_high": float(b + h),
            "statistic": float(b / s), "p": float(q), "odds_ratio": math.exp(b) if name != fit.INTERCEPT else math.nan,
        }
        for name, b, s, h, q in zip(names, estimate, se, half, p, strict=True)
    ]  # fmt: skip
