"""Ordinal logit of the change of EDSS (improved < stable < worse) on the right-hand side of the longitudinal models
(paper, 3.6).
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from thalbids.group.statistics.fits import fit, signs

OUTCOME = "d_edss"
THRESHOLDS = {"any": 0.0, "ge1": 1.0}  # smallest change that counts; 0 takes every change
CUTS = ("threshold_improved_stable", "threshold_stable_worse")
_NUMBERS = ("estimate", "se", "ci_low", "ci_high", "statistic", "p")
_SPARE = 1
_DONE = 1e-18  # by how much a Newton step would raise the log-likelihood
_LOST = 1e-13  # a share that is rounding noise
_STEPS = 50
_FEW = 200  # people of a category among whom separation is looked for first


def categories(change: np.ndarray, least: float) -> np.ndarray:
    """-1 improved, 0 stable, 1 worse. ``least`` is the smallest change that counts (0: any).

    Examples
    --------
    >>> categories(np.array([-1.0, -0.5, 0, 0.5, 1]), 1).tolist()
    [-1, 0, 0, 0, 1]
    """
    return np.where(np.abs(change) >= least, np.sign(change), 0).astype(int)


def separated(X: np.ndarray, y: np.ndarray) -> bool:
    """Whether some direction orders the categories without overlap, so that the likelihood has no maximum.

    Complete or quasi-complete separation (Albert and Anderson 1984), found by linear programming: slopes b and cuts
    c_1 <= ... with c_(k-1) <= x b <= c_k for every row of category k, not all of them equalities.

    Parameters
    ----------
    X : (n, p) predictors, of full rank with a constant
    y : (n,) categories 0 ... K - 1
    """
    few = _some(y)
    if few.size < y.size and _full_rank(X[few]) and not _separated(X[few], y[few]):
        return False  # a direction that separates everybody separates some of them, who determine every slope, too
    return _separated(X, y)


def _some(y: np.ndarray) -> np.ndarray:
    """Rows of at most ``_FEW`` people of each category, evenly spaced: the program of all grows faster than n."""
    parts = []
    for k in range(int(y.max()) + 1):
        rows = np.flatnonzero(y == k)
        parts.append(rows[np.unique(np.linspace(0, rows.size - 1, min(rows.size, _FEW)).round().astype(int))])
    return np.concatenate(parts)


def _full_rank(X: np.ndarray) -> bool:
    """Whether no predictor is constant or a combination of others."""
    spread = X.std(axis=0)
    if not (spread > 0).all():
        return False
    Z = np.column_stack([(X - X.mean(axis=0)) / spread, np.ones(len(X))])
    return bool(np.linalg.matrix_rank(Z) == Z.shape[1])


def _separated(X: np.ndarray, y: np.ndarray) -> bool:
    from scipy.optimize import linprog

    n, p = X.shape
    cuts = int(y.max())
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    above = np.zeros((n, p + cuts))  # c_(k-1) - x b <= 0
    below = np.zeros((n, p + cuts))  # x b - c_k <= 0
    above[:, :p], below[:, :p] = -Z, Z
    rows = np.arange(n)
    has_lower, has_upper = y > 0, y < cuts
    above[rows[has_lower], p + y[has_lower] - 1] = 1
    below[rows[has_upper], p + y[has_upper]] = -1
    order = np.zeros((max(cuts - 1, 0), p + cuts))
    for k in range(cuts - 1):
        order[k, p + k], order[k, p + k + 1] = 1, -1
    A = np.vstack([above[has_lower], below[has_upper], order])
    solution = linprog(A.sum(axis=0), A_ub=A, b_ub=np.zeros(len(A)), bounds=(-1, 1), method="highs")
    return bool(solution.status == 0 and solution.fun < -1e-6)


def maximum(params: np.ndarray, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and cuts where the likelihood is largest, and their covariance; NaN where that is not reached.

    statsmodels stops where a tolerance is met and differentiates numerically, which shows from the fifth digit on and
    differs between processors. Newton's method from there ends at the maximum, for the likelihood is concave (Pratt
    1981, J Am Stat Assoc 76(373)).

    Parameters
    ----------
    params : (p + K - 1,) slopes and cuts near the maximum
    X : (n, p) predictors
    y : (n,) categories 0 ... K - 1
    """
    value, gradient, information = likelihood(params, X, y)
    for _ in range(_STEPS):
        if not np.all(np.isfinite(information)) or np.linalg.cond(information) > 1 / _LOST:
            break
        step = np.linalg.solve(information, gradient)
        if gradient @ step < _DONE:
            return params + step, np.linalg.inv(information)
        for halvings in range(30):
            new = likelihood(params + step / 2**halvings, X, y)
            if new[0] >= value - _LOST * abs(value):
                break
        params, (value, gradient, information) = params + step / 2**halvings, new
    return params, np.full((params.size, params.size), np.nan)


def likelihood(params: np.ndarray, X: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The log-likelihood of proportional odds, its gradient and the observed information.

    The probability of a category between the cuts l and u is F(u - x b) - F(l - x b) with the logistic F.
    """
    from scipy.special import expit, log_expit

    p = X.shape[1]
    cuts = np.r_[-np.inf, params[p:], np.inf]
    if np.any(np.diff(cuts) <= 0):
        return -math.inf, np.full(params.size, np.nan), np.full((params.size, params.size), np.nan)
    upper, lower = cuts[y + 1] - X @ params[:p], cuts[y] - X @ params[:p]
    value = float(np.sum(log_expit(upper) + log_expit(-lower) + np.log(-np.expm1(lower - upper))))
    with np.errstate(over="ignore"):
        r = 1 / np.expm1(upper - lower)
    both = r * (1 + r)
    by_upper, by_lower = expit(-upper) + r, -expit(lower) - r
    columns = np.arange(cuts.size)
    U = np.hstack([-X, columns[1:-1] == (y + 1)[:, None]])  # derivatives of the two ends by the parameters
    L = np.hstack([-X, columns[1:-1] == y[:, None]])
    cross = (U * both[:, None]).T @ L
    information = (
        (U * (expit(upper) * expit(-upper) + both)[:, None]).T @ U
        + (L * (expit(lower) * expit(-lower) + both)[:, None]).T @ L
        - cross
        - cross.T
    )
    return value, U.T @ by_upper + L.T @ by_lower, information


def terms(predictors: Sequence[str], rows: dict[str, np.ndarray], least: float, missing: str) -> list[dict[str, Any]]:
    """The terms of one model, as rows of ``group_ordinal``; ``missing`` says why there is none."""
    y = categories(rows[OUTCOME], least)
    counts = {f"n_{name}": int(np.sum(y == code)) for name, code in (("improved", -1), ("stable", 0), ("worse", 1))}
    present = np.unique(y)
    cuts = _cuts(present)
    reason = missing or _unfit(predictors, rows, present)
    by_term: dict[str, tuple[float, ...]] = {}
    odds = {"po_chi2": math.nan, "po_df": math.nan, "p_po": math.nan}
    if not reason:
        by_term, reason = _fit(predictors, rows, np.searchsorted(present, y), cuts)
    if not reason and present.size > 2:
        chi2, df, p = brant(np.column_stack([rows[name] for name in predictors]), np.searchsorted(present, y))
        odds = {"po_chi2": chi2, "po_df": df, "p_po": p}
    result = []
    for name in (*predictors, *cuts):
        numbers = dict(zip(_NUMBERS, by_term.get(name, (math.nan,) * len(_NUMBERS)), strict=True))
        main = name == predictors[0]
        result.append(
            {
                "term": name,
                **numbers,
                "odds_ratio": math.exp(numbers["estimate"]) if name in predictors else math.nan,
                "n": int(y.size),
                **counts,
                "sign": signs.sign(OUTCOME, numbers["estimate"]) if main else "",
                "warning": "",
                "reason": reason,
                **odds,
            }
        )
    return result


def brant(X: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """The test of proportional odds of Brant (1990, Biometrics 46(4)): chi-square, degrees of freedom, p.

    Each cut between categories gets a logistic regression of its own; a Wald test asks whether their slopes are the
    same. NaN where the predictors separate the categories at one of the cuts.

    Parameters
    ----------
    X : (n, p) predictors
    y : (n,) categories 0 ... K - 1, K > 2
    """
    from scipy import stats

    n, p = X.shape
    Z = np.column_stack([np.ones(n), (X - X.mean(axis=0)) / X.std(axis=0)])
    cuts = int(y.max())
    slopes, shares, inverses = [], [], []
    for cut in range(cuts):
        above = (y > cut).astype(int)
        if separated(X, above):
            return math.nan, math.nan, math.nan
        start = np.r_[np.zeros(p), -math.log(above.mean() / (1 - above.mean()))]
        params, covariance = maximum(start, Z[:, 1:], above)
        if not np.all(np.diag(covariance) > 0):
            return math.nan, math.nan, math.nan
        share = 1 / (1 + np.exp(-(Z[:, 1:] @ params[:p] - params[p])))
        slopes.append(params[:p])
        shares.append(share)
        inverses.append(np.linalg.inv((Z * (share * (1 - share))[:, None]).T @ Z))
    V = np.empty((cuts * p, cuts * p))
    for j, k in itertools.product(range(cuts), repeat=2):
        low, high = min(j, k), max(j, k)  # a case above the higher cut is above the lower one too
        weights = shares[high] * (1 - shares[low])
        block = inverses[j] @ (Z * weights[:, None]).T @ Z @ inverses[k]
        V[j * p : (j + 1) * p, k * p : (k + 1) * p] = block[1:, 1:]
    D = np.hstack([np.tile(np.eye(p), (cuts - 1, 1)), -np.eye((cuts - 1) * p)])
    difference = D @ np.concatenate(slopes)
    chi2 = float(difference @ np.linalg.solve(D @ V @ D.T, difference))
    df = (cuts - 1) * p
    return chi2, float(df), float(stats.chi2.sf(chi2, df))


def levels(outcome: str, predictors: Sequence[str], columns: Mapping[str, np.ndarray]) -> fit.Fitted:
    """Proportional odds of a higher value of ``outcome`` (any ordered values; thresholds are not given).

    Parameters
    ----------
    outcome, predictors : keys of ``columns``
    columns : (n,) float arrays with NaN for missing
    """
    model = {name: np.asarray(columns[name], dtype=np.float64) for name in (outcome, *predictors)}
    used = fit.listwise(model)
    rows = {name: values[used] for name, values in model.items()}
    present, y = np.unique(rows[outcome], return_inverse=True)
    empty = fit.Fitted(tuple(fit.Term(name) for name in predictors), int(used.sum()), "ML", "z")
    reason = fit.missing(model, used)
    if not reason and present.size < 2:
        reason = f"{outcome} does not vary"
    reason = reason or _lacking(predictors, rows, len(predictors) + present.size - 1)
    by_level: dict[str, tuple[float, ...]] = {}
    if not reason:
        by_level, reason = _fit(predictors, rows, y, [f"cut {k}" for k in range(present.size - 1)])
    if reason:
        return replace(empty, reason=reason)
    return replace(empty, terms=tuple(fit.Term(name, *by_level[name]) for name in predictors))


def _cuts(present: np.ndarray) -> tuple[str, ...]:
    """The thresholds between the categories that occur."""
    words = {-1: "improved", 0: "stable", 1: "worse"}
    if present.size < 2:
        return CUTS
    return tuple(f"threshold_{words[a]}_{words[b]}" for a, b in itertools.pairwise(present))


def _unfit(predictors: Sequence[str], rows: dict[str, np.ndarray], present: np.ndarray) -> str:
    if present.size < 2:
        return f"everybody is {'improved' if present[0] < 0 else 'worse' if present[0] > 0 else 'stable'}"
    return _lacking(predictors, rows, len(predictors) + present.size - 1)


def _lacking(predictors: Sequence[str], rows: Mapping[str, np.ndarray], k: int) -> str:
    """Why rows cannot be fitted with k coefficients, or ""."""
    n = rows[predictors[0]].size
    if n < k + _SPARE:
        return f"too few rows: {n}, for {k} coefficients"
    for name in predictors:
        if fit.constant(rows[name]):
            return f"{name} does not vary"
    return fit.collinear(predictors, rows)


def _fit(
    predictors: Sequence[str], rows: Mapping[str, np.ndarray], y: np.ndarray, cuts: Sequence[str]
) -> tuple[dict[str, tuple[float, ...]], str]:
    """The model on standardised predictors, which the optimiser likes better; its numbers in the units asked for."""
    from scipy import special, stats
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    class Logistic(stats.rv_continuous):  # type: ignore[misc]
        """The logistic distribution without scipy's checks of the arguments, which take nine tenths of the time."""

        def cdf(self, x: np.ndarray) -> np.ndarray:
            return special.expit(x)

        def pdf(self, x: np.ndarray) -> np.ndarray:
            return special.expit(x) * special.expit(-x)

    X = np.column_stack([rows[name] for name in predictors])
    if separated(X, y):
        return {}, "a combination of the predictors separates the categories: the estimates would be infinite"
    mean, sd = X.mean(axis=0), X.std(axis=0)
    model = OrderedModel(y, (X - mean) / sd, distr=Logistic())  # no constant: the thresholds take its place
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is looked at below
        fitted = model.fit(method="bfgs", maxiter=500, gtol=1e-3, disp=False, skip_hessian=True)
    p = len(predictors)
    near = np.r_[fitted.params[:p], model.transform_threshold_params(np.asarray(fitted.params))[1:-1]]
    params, covariance = maximum(near, (X - mean) / sd, y)
    if not np.all(np.diag(covariance) > 0):
        return {}, "the likelihood did not converge"
    J = np.eye(params.size)  # from standardised predictors back to their units
    J[:p, :p] = np.diag(1 / sd)
    J[p:, :p] = mean / sd
    estimate = J @ params
    se = np.sqrt(np.diag(J @ covariance @ J.T))
    z = estimate / se
    half = stats.norm.ppf((1 + fit.CONFIDENCE) / 2) * se
    pvalues = 2 * stats.norm.sf(np.abs(z))
    table = np.column_stack([estimate, se, estimate - half, estimate + half, z, pvalues])
    return {name: tuple(map(float, row)) for name, row in zip((*predictors, *cuts), table, strict=True)}, ""
