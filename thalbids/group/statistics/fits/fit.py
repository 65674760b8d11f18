"""Least squares with every check made before the fit: a model that cannot be fitted gives a reason, never a number.

Libraries return numbers made of rounding noise for a constant or collinear predictor, so rank, degrees of freedom,
variance and leverage are looked at first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

CONFIDENCE = 0.95
INTERCEPT = "intercept"
_EXACT = 1e-12  # a spread below this share of the size is rounding noise
_COLLINEAR = 1e-7  # smallest singular value of the standardised predictors, relative to the largest
_LEVERAGE = 1e-8  # distance of a leverage from 1 that counts as none


@dataclass(frozen=True)
class Term:
    """A coefficient: its estimate, standard error, 95 % interval, statistic and p, and two effect sizes.

    ``partial_r2`` is the share of the variance left by the other terms that this one explains, t^2 / (t^2 + df) with
    the t of the classical covariance, whatever covariance the interval has. ``beta_std`` is the estimate times
    SD(predictor) / SD(outcome).
    """

    name: str
    estimate: float = math.nan
    se: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    statistic: float = math.nan
    p: float = math.nan
    partial_r2: float = math.nan
    beta_std: float = math.nan

    def cells(self) -> dict[str, str | float]:
        """The columns that every table of terms has: ``term``, ``estimate``, ``se``, interval, ``statistic``, ``p``."""
        names = ("estimate", "se", "ci_low", "ci_high", "statistic", "p")
        return {"term": self.name} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Fitted:
    """A model: its terms (the main predictor first, the intercept last), or NaN and the ``reason``.

    ``reference`` is the distribution of the statistics, ``t`` or ``z``.
    """

    terms: tuple[Term, ...]
    n: int
    cov_type: str
    reference: str
    r2: float = math.nan
    reason: str = ""


def listwise(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which rows have every value.

    Examples
    --------
    >>> listwise({"y": np.array([1, np.nan, 3]), "x": np.array([1, 2, np.nan])}).tolist()
    [True, False, False]
    """
    return np.all([np.isfinite(values) for values in columns.values()], axis=0)


def ols(
    outcome: str, predictors: Sequence[str], columns: Mapping[str, np.ndarray], cov_type: str, reference: str = "z"
) -> Fitted:
    """Ordinary least squares of ``outcome`` on ``predictors`` and an intercept, after listwise deletion.

    Parameters
    ----------
    outcome, predictors : keys of ``columns``
    columns : (n,) float arrays with NaN for missing
    cov_type : ``nonrobust`` (t reference) or ``HC3`` (MacKinnon and White 1985)
    reference : distribution of the tests under HC3: ``z``, normal, as in statsmodels, or ``t`` with n - k degrees of
        freedom

    Returns
    -------
    Fitted
    """
    names = (*predictors, INTERCEPT)
    model = {name: np.asarray(columns[name], dtype=np.float64) for name in (outcome, *predictors)}
    used = listwise(model)
    empty = Fitted(
        terms=tuple(Term(name) for name in names),
        n=int(used.sum()),
        cov_type=cov_type,
        reference=reference if cov_type == "HC3" else "t",
    )
    rows = {name: values[used] for name, values in model.items()}
    problem = missing(model, used) or unfit(outcome, predictors, rows)
    if problem:
        return replace(empty, reason=problem)
    y = rows[outcome]
    X = np.column_stack([*(rows[name] for name in predictors), np.ones_like(y)])
    if cov_type == "HC3" and float(_leverage(X).max()) > 1 - _LEVERAGE:
        return replace(empty, reason=_alone(predictors, rows, X))
    return _fit(empty, y, X)


NOBODY = "is missing for everybody in the sample"  # of people outside it nothing is said


def missing(columns: Mapping[str, np.ndarray], used: np.ndarray) -> str:
    """Why there are no rows at all, or ""."""
    if not used.size:
        return "no participants"
    for name, values in columns.items():
        if not np.isfinite(values).any():
            return f"{name} {NOBODY}"
    return "" if used.any() else "nobody has every value"


def unfit(outcome: str, predictors: Sequence[str], rows: Mapping[str, np.ndarray], spare: int = 1) -> str:
    """Why complete rows cannot be fitted, or "": too few, an outcome or predictor that does not vary, collinearity.

    ``spare`` is the smallest number of degrees of freedom that must be left.
    """
    n, k = rows[outcome].size, len(predictors) + 1
    if n < k + spare:
        return f"too few rows: {n}, for {k} coefficients"
    for name in (outcome, *predictors):
        if constant(rows[name]):
            return f"{name} does not vary"
    return collinear(predictors, rows)


def collinear(predictors: Sequence[str], rows: Mapping[str, np.ndarray]) -> str:
    """Which predictor is a combination of those before it, in words; "" when none is. None may be constant."""
    Z = np.column_stack([(rows[name] - rows[name].mean()) / rows[name].std() for name in predictors])
    R = np.asarray(
        np.linalg.qr(Z, mode="r")
    )  # has the singular values of Z, and its leading blocks those of the first columns
    for k in range(2, len(predictors) + 1):
        s = np.linalg.svd(R[:k, :k], compute_uv=False)
        if Z.shape[0] < k or s[-1] <= _COLLINEAR * s[0]:
            return f"{predictors[k - 1]} is a combination of {', '.join(predictors[: k - 1])}"
    return ""


def constant(values: np.ndarray) -> bool:
    """Whether the values vary by no more than rounding noise."""
    return bool(np.ptp(values) <= _EXACT * float(np.abs(values).max()))


def z_score(values: np.ndarray) -> np.ndarray:
    """(values - mean) / SD (ddof 1) over those that are there; NaN where they do not vary or are fewer than two."""
    values = np.asarray(values, dtype=np.float64)
    there = values[np.isfinite(values)]
    if there.size < 2 or constant(there):
        return np.full(values.shape, np.nan)
    return (values - there.mean()) / there.std(ddof=1)


def _leverage(X: np.ndarray) -> np.ndarray:
    q = np.linalg.qr(X / np.linalg.norm(X, axis=0))[0]
    return np.sum(q**2, axis=1)


def _alone(predictors: Sequence[str], rows: Mapping[str, np.ndarray], X: np.ndarray) -> str:
    """A row that the fit passes through exactly has no residual, and HC3 divides by zero."""
    row = int(np.argmax(_leverage(X)))
    alone = [
        name for name in predictors if np.sum(rows[name] == rows[name][row]) == 1 and np.unique(rows[name]).size == 2
    ]
    who = f"one person alone determines {alone[0]}" if alone else "one person alone determines a coefficient"
    return f"{who} (leverage 1): no HC3 standard error"


def _fit(empty: Fitted, y: np.ndarray, X: np.ndarray) -> Fitted:
    from statsmodels.regression.linear_model import OLS

    plain = OLS(y, X).fit(method="qr")
    if plain.ssr <= _EXACT * plain.centered_tss:
        return replace(empty, reason="the model fits without error: there is no standard error")
    fit = plain if empty.cov_type == "nonrobust" else plain.get_robustcov_results("HC3", use_t=empty.reference == "t")
    intervals = np.asarray(fit.conf_int(1 - CONFIDENCE))
    t2 = np.asarray(plain.tvalues) ** 2
    partial = t2 / (t2 + plain.df_resid)
    beta = np.asarray(plain.params) * X.std(axis=0, ddof=1) / y.std(ddof=1)
    last = len(empty.terms) - 1
    terms = tuple(
        Term(
            name=term.name,
            estimate=float(fit.params[i]),
            se=float(fit.bse[i]),
            ci_low=float(intervals[i, 0]),
            ci_high=float(intervals[i, 1]),
            statistic=float(fit.tvalues[i]),
            p=float(fit.pvalues[i]),
            partial_r2=float(partial[i]) if i < last else math.nan,
            beta_std=float(beta[i]) if i < last else math.nan,
        )
        for i, term in enumerate(empty.terms)
    )
    return replace(empty, terms=terms, r2=float(plain.rsquared))
