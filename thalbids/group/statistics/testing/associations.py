"""Do several measures of one thing go differently with an outcome? Compared on the same people, given covariates.

Partial correlations that share the outcome and the people are compared by Steiger's z and Zou's interval; standardised
coefficients and R2 of the models by a paired bootstrap, in which every measure is fitted to the same resample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from thalbids.group.statistics.testing import correlations

CHUNK = 250  # resamples that are worked on at once
_SINGULAR = 1e-10  # relative size of an eigenvalue that is none
_SAME = 1e-12


@dataclass(frozen=True)
class Fits:
    """Per measure: the partial correlation with the outcome, the standardised coefficient and R2 of the model.

    Shapes (..., measures). The standardised coefficient is coefficient x SD(measure) / SD(outcome).
    """

    partial: np.ndarray
    beta: np.ndarray
    r2: np.ndarray


@dataclass(frozen=True)
class Difference:
    """A difference, its 95 % interval, the statistic (normal under no difference) and p; or the reason."""

    difference: float = float("nan")
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    statistic: float = float("nan")
    p: float = float("nan")
    reason: str = ""


def fits(y: np.ndarray, V: np.ndarray, X: np.ndarray) -> Fits:
    """Each column of ``V`` in a model of its own: y ~ measure + covariates.

    Parameters
    ----------
    y : (n,) outcome
    V : (n, m) measures
    X : (n, k) covariates, the intercept among them
    """
    return _from_moments(_centred(y, V, X), y.size, V.shape[1])


def resampled(y: np.ndarray, V: np.ndarray, X: np.ndarray, seed: int, draws: int) -> Fits:
    """The same of ``draws`` resamples of people; shapes (draws, m). The draws depend on seed and n only."""
    D = _centred(y, V, X)
    n, d = D.shape
    rows, columns = np.triu_indices(d)
    products = D[:, rows] * D[:, columns]
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        chosen = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n)
        S = np.empty((size, d, d))
        S[:, rows, columns] = S[:, columns, rows] = counts @ products
        parts.append(_of_moments(S, n, V.shape[1]))
    names = ("partial", "beta", "r2")
    return Fits(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def steiger_zou(y: np.ndarray, a: np.ndarray, b: np.ndarray, X: np.ndarray) -> Difference:
    """Difference of the partial correlations of ``y`` with ``a`` and with ``b`` given ``X``, on the same people.

    As for correlations (Steiger 1980; Zou 2007) of residuals, with n less the number of covariates in place of n
    (the intercept is none), as for a partial correlation alone (Fisher 1924).
    """
    Q = np.linalg.qr(X)[0]
    ry, ra, rb = (values - Q @ (Q.T @ values) for values in (y, a, b))
    n = y.size - X.shape[1] + 1
    if n < 4:
        return Difference(reason=f"{y.size} rows are too few")
    r12, r13, r23 = correlations.pearson(ra, ry), correlations.pearson(rb, ry), correlations.pearson(ra, rb)
    if 1 - abs(r23) < _SAME:
        return Difference(reason="the two volumes are the same up to scale")
    if 1 - max(abs(r12), abs(r13)) < _SAME:
        return Difference(reason="a correlation is perfect")
    test = correlations.steiger(r12, r13, r23, n)
    low, high = correlations.zou(r12, r13, r23, n)
    return Difference(r12 - r13, low, high, test.statistic, test.p)


def bootstrapped(estimate: float, draws: np.ndarray) -> Difference:
    """A difference with its percentile interval, and z = difference / SD of the draws with the normal distribution.

    A p by counting draws could not fall below 1 / draws, which a correction over many tests makes useless.
    """
    there = draws[np.isfinite(draws)]
    if there.size < 0.9 * draws.size:
        return Difference(reason="the models of many resamples cannot be fitted")
    low, high = np.quantile(there, [(1 - correlations.CONFIDENCE) / 2, (1 + correlations.CONFIDENCE) / 2])
    spread = float(there.std(ddof=1))
    if spread <= _SAME:
        return Difference(reason="the two volumes are the same up to scale")
    z = estimate / spread
    return Difference(float(estimate), float(low), float(high), z, float(2 * stats.norm.sf(abs(z))))


def unfit(y: np.ndarray, V: np.ndarray, X: np.ndarray, names: Sequence[str]) -> str:
    """Why complete rows cannot be compared, or ""."""
    n, k = X.shape
    if n < k + 4:
        return f"{n} people with every method are too few for {k + 1} coefficients"
    if np.ptp(y) <= _SAME * np.abs(y).max():
        return "the outcome does not vary"
    for name, values in zip(names, V.T, strict=True):
        Q = np.linalg.qr(np.column_stack([X, values]) / np.linalg.norm(np.column_stack([X, values]), axis=0))[1]
        if abs(Q[-1, -1]) < _SINGULAR or np.ptp(values) == 0:
            return f"the volume of {name} does not vary, or is a combination of the covariates"
    return ""


def _centred(y: np.ndarray, V: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Columns y, V, X of mean 0 and SD 1, and ones: the same models on well-scaled numbers."""
    D = np.column_stack([y, V, X])
    centre, spread = D.mean(axis=0), D.std(axis=0)
    varies = spread > _SAME * np.maximum(np.abs(centre), 1)
    D = (D[:, varies] - centre[varies]) / spread[varies]
    return np.column_stack([D, np.ones(y.size)])


def _from_moments(D: np.ndarray, n: int, m: int) -> Fits:
    made = _of_moments((D.T @ D)[None], n, m)
    return Fits(made.partial[0], made.beta[0], made.r2[0])


def _of_moments(S: np.ndarray, n: int, m: int) -> Fits:
    """From sums of products (draws, d, d) over the columns y, m measures, covariates, ones."""
    x = S[:, m + 1 :, m + 1 :]
    cross = S[:, m + 1 :, : m + 1]
    means = S[:, -1, : m + 1] / n
    total = np.diagonal(S[:, : m + 1, : m + 1], axis1=1, axis2=2) - n * means**2
    inverse = np.linalg.pinv(x, rcond=_SINGULAR, hermitian=True)
    left = S[:, : m + 1, : m + 1] - cross.swapaxes(1, 2) @ inverse @ cross
    yy, vv, yv = left[:, 0, 0, None], np.diagonal(left, axis1=1, axis2=2)[:, 1:], left[:, 0, 1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        good = (yy > _SAME * n) & (vv > _SAME * n)
        b = np.where(good, yv / vv, np.nan)
        partial = np.where(good, yv / np.sqrt(yy * vv), np.nan)
        beta = b * np.sqrt(total[:, 1:] / total[:, :1])
        r2 = 1 - (yy - b * yv) / total[:, :1]
    return Fits(partial, beta, r2)
