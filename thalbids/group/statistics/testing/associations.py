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
    """The partial correlation of outcome and measure, the standardised coefficient and R2 of the model.

    Shapes (..., outcomes, measures). The standardised coefficient is coefficient x SD(measure) / SD(outcome).
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


def fits(Y: np.ndarray, V: np.ndarray, X: np.ndarray) -> Fits:
    """Each outcome and each measure in a model of their own: y ~ measure + covariates; shapes (outcomes, measures).

    Parameters
    ----------
    Y : (n, q) outcomes of the same people
    V : (n, m) measures
    X : (n, k) covariates, the intercept among them
    """
    products = _Products.of(Y, V, X)
    return Fits(*(values[0] for values in _from_sums(products, products.rows.sum(axis=0)[None])))


def resampled(Y: np.ndarray, V: np.ndarray, X: np.ndarray, seed: int, draws: int) -> Fits:
    """The same of ``draws`` resamples of people; shapes (draws, outcomes, measures).

    The draws depend on seed and n only: outcomes known of the same people share them.
    """
    products = _Products.of(Y, V, X)
    n = len(Y)
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        chosen = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n)
        parts.append(_from_sums(products, counts @ products.rows))
    return Fits(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def residuals(values: np.ndarray, X: np.ndarray) -> np.ndarray:
    """What covariates leave of each column.

    Parameters
    ----------
    values : (n, c)
    X : (n, k) covariates, the intercept among them
    """
    Q = np.linalg.qr(X)[0]
    return np.asarray(values - Q @ (Q.T @ values))


def steiger_zou(y: np.ndarray, a: np.ndarray, b: np.ndarray, covariates: int = 0) -> Difference:
    """Difference of the partial correlations of ``y`` with ``a`` and with ``b``, on the same people.

    As for correlations (Steiger 1980; Zou 2007) of residuals, with n less the number of covariates in place of n, as
    for a partial correlation alone (Fisher 1924).

    Parameters
    ----------
    y, a, b : (n,) what the covariates leave of each (`residuals`)
    covariates : how many there are, the intercept not counted
    """
    n = y.size - covariates
    if n < 4:
        return Difference(reason=f"too few rows: {y.size}")
    r12, r13, r23 = correlations.pearson(a, y), correlations.pearson(b, y), correlations.pearson(a, b)
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
        return f"too few people with every method: {n}, for {k + 1} coefficients"
    if np.ptp(y) <= _SAME * np.abs(y).max():
        return "the outcome does not vary"
    for name, values in zip(names, V.T, strict=True):
        columns = np.column_stack([X, values])
        constant = np.ptp(values) == 0  # a change of 0 in everybody has no length to divide by
        if constant or abs(np.linalg.qr(columns / np.linalg.norm(columns, axis=0))[1][-1, -1]) < _SINGULAR:
            return f"the volume of {name} does not vary, or is a combination of the covariates"
    return ""


@dataclass(frozen=True)
class _Products:
    """Products of each person's values, whose sums over (resampled) people give every model.

    ``rows`` (n, p) has, for q outcomes, m measures and k columns of covariates with the ones last: outcome squared (q),
    outcome x measure (q m), outcome x covariate (q k), measure squared (m), measure x covariate (m k), covariate x
    covariate (k k).
    """

    rows: np.ndarray
    q: int
    m: int
    k: int

    @classmethod
    def of(cls, Y: np.ndarray, V: np.ndarray, X: np.ndarray) -> _Products:
        """Of columns of mean 0 and SD 1, and ones in place of the intercept: the same models on well-scaled numbers."""
        ones = np.ones((len(Y), 1))
        Y, V, C = _scaled(Y), _scaled(V), np.hstack([_scaled(X), ones])
        pairs = ((Y, V), (Y, C), (V, C), (C, C))
        yv, yc, vc, cc = ((one[:, :, None] * two[:, None, :]).reshape(len(Y), -1) for one, two in pairs)
        rows = np.hstack([Y**2, yv, yc, V**2, vc, cc])
        return cls(rows, Y.shape[1], V.shape[1], C.shape[1])

    def parts(self, sums: np.ndarray) -> list[np.ndarray]:
        """Sums of products (draws, p) as arrays (draws, q), (draws, q, m) and so on, in the order of ``rows``."""
        q, m, k = self.q, self.m, self.k
        shapes: list[tuple[int, ...]] = [(q,), (q, m), (q, k), (m,), (m, k), (k, k)]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
        blocks = np.split(sums, ends[:-1], axis=1)
        return [block.reshape(-1, *shape) for block, shape in zip(blocks, shapes, strict=True)]


def _scaled(values: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and SD 1; those that do not vary are left out."""
    centre, spread = values.mean(axis=0), values.std(axis=0)
    varies = spread > _SAME * np.maximum(np.abs(centre), 1)
    return (values[:, varies] - centre[varies]) / spread[varies]


def _from_sums(products: _Products, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Partial correlation, standardised coefficient and R2, each (draws, outcomes, measures)."""
    n = len(products.rows)
    yy, yv, yc, vv, vc, cc = products.parts(sums)
    inverse = np.linalg.pinv(cc, rcond=_SINGULAR, hermitian=True)
    explained = vc @ inverse
    left_yv = yv - yc @ explained.swapaxes(1, 2)
    left_vv = (vv - np.sum(explained * vc, axis=2))[:, None, :]
    left_yy = (yy - np.sum(yc @ inverse * yc, axis=2))[:, :, None]
    total_y, total_v = (yy - yc[..., -1] ** 2 / n)[:, :, None], (vv - vc[..., -1] ** 2 / n)[:, None, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        good = (left_yy > _SAME * n) & (left_vv > _SAME * n)
        b = np.where(good, left_yv / left_vv, np.nan)
        partial = np.where(good, left_yv / np.sqrt(left_yy * left_vv), np.nan)
        beta = b * np.sqrt(total_v / total_y)
        r2 = 1 - (left_yy - b * left_yv) / total_y
    return partial, beta, r2
