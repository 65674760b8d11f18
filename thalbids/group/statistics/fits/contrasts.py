"""Analysis of covariance: groups compared at the same values of the covariates, with effect sizes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from thalbids.group.statistics.fits import fit


@dataclass(frozen=True)
class Contrast:
    """Group minus reference at the same covariates: the difference with its t interval, p, and effect size.

    ``d`` is the difference over the residual standard deviation (Cohen's d, adjusted); its interval inverts the
    noncentral t distribution (Steiger and Fouladi 1997). ``p_hc3`` is the p of the same difference with HC3 and the
    normal distribution.
    """

    group: str
    reference: str
    difference: float
    se: float
    ci_low: float
    ci_high: float
    statistic: float
    p: float
    d: float
    d_ci_low: float
    d_ci_high: float
    p_hc3: float


@dataclass(frozen=True)
class Ancova:
    """A fitted analysis of covariance; ``means`` are those of the groups at the mean of every covariate.

    ``f``, ``df1``, ``df`` and ``p`` belong to the test that no two groups differ; ``partial_eta2`` is its effect size.
    ``p_slopes`` tests whether the slopes of the covariates differ between the groups, which the model takes for equal
    (NaN where it cannot be fitted).
    """

    groups: tuple[str, ...]
    n: tuple[int, ...]
    means: tuple[float, ...]
    contrasts: tuple[Contrast, ...]
    f: float
    df1: int
    df: int
    p: float
    partial_eta2: float
    p_slopes: float
    residual_sd: float


def unfit(y: np.ndarray, group: np.ndarray, names: Sequence[str], covariates: Sequence[np.ndarray]) -> str:
    """Why complete rows cannot be fitted, or ""."""
    levels = sorted(set(group))
    if len(levels) < 2:
        return "fewer than two groups"
    dummies = {f"group {level}": (group == level).astype(float) for level in levels[1:]}
    rows = {"volume": y, **dict(zip(names, covariates, strict=True)), **dummies}
    return fit.unfit("volume", (*names, *dummies), rows)


def ancova(
    y: np.ndarray,
    group: np.ndarray,
    covariates: Sequence[np.ndarray],
    pairs: Sequence[tuple[str, str]],
    categories: Sequence[np.ndarray] = (),
) -> Ancova:
    """Least squares of ``y`` on groups and covariates with common slopes; rows are complete and fit (`unfit`).

    Parameters
    ----------
    y : (n,) outcome
    group : (n,) names
    covariates : (n,) arrays
    pairs : (group, reference) whose difference is wanted
    categories : (n,) arrays of 1 and 0, further covariates whose slopes are not tested (levels of a site)
    """
    levels = tuple(sorted(set(group)))
    cells = np.column_stack([(group == level).astype(float) for level in levels])
    Z = np.column_stack([np.empty((y.size, 0)), *((x - x.mean()) / x.std() for x in (*covariates, *categories))])
    X = np.column_stack([cells, Z])
    n, k = X.shape
    bread = np.linalg.inv(X.T @ X)
    beta = bread @ X.T @ y
    residual = y - X @ beta
    df = n - k
    s2 = float(residual @ residual) / df
    leverage = np.einsum("ij,jk,ik->i", X, bread, X)
    hc3 = _hc3(X, bread, residual, leverage)
    contrasts = []
    for name, reference in pairs:
        c = np.zeros(k)
        c[levels.index(name)], c[levels.index(reference)] = 1.0, -1.0
        contrasts.append(_contrast(name, reference, c, beta, bread, s2, df, hc3))
    rss0 = _rss(y, np.column_stack([np.ones(n), Z]))
    df1 = len(levels) - 1
    rss = s2 * df
    f = (rss0 - rss) / df1 / s2
    return Ancova(
        levels,
        tuple(int(cells[:, i].sum()) for i in range(len(levels))),
        tuple(float(value) for value in beta[: len(levels)]),
        tuple(contrasts),
        f,
        df1,
        df,
        float(stats.f.sf(f, df1, df)),
        (rss0 - rss) / rss0,
        _slopes(y, cells, Z, len(covariates), rss, df),
        math.sqrt(s2),
    )


def _contrast(
    name: str, reference: str, c: np.ndarray, beta: np.ndarray, bread: np.ndarray, s2: float, df: int, hc3: np.ndarray
) -> Contrast:
    difference = float(c @ beta)
    unit = math.sqrt(float(c @ bread @ c))  # of the standard error, for a residual SD of 1
    se = unit * math.sqrt(s2)
    t = difference / se
    half = float(stats.t.ppf((1 + fit.CONFIDENCE) / 2, df)) * se
    low, high = noncentral(t, df)
    robust = float(c @ hc3 @ c)
    p_hc3 = float(2 * stats.norm.sf(abs(difference) / math.sqrt(robust))) if robust > 0 else math.nan
    p = float(2 * stats.t.sf(abs(t), df))
    ci = difference - half, difference + half
    return Contrast(name, reference, difference, se, *ci, t, p, t * unit, low * unit, high * unit, p_hc3)


def noncentral(t: float, df: int, confidence: float = fit.CONFIDENCE) -> tuple[float, float]:
    """The interval of the noncentrality parameter of an observed t (Steiger and Fouladi 1997).

    Examples
    --------
    >>> [round(bound, 2) for bound in noncentral(2.0, 48)]
    [-0.01, 3.99]
    """
    tail = (1 - confidence) / 2
    spread = math.sqrt(1 + t * t / (2 * df))  # of the parameter's estimate, about normal

    def bound(goal: float, side: int) -> float:
        def error(m: float) -> float:
            return float(stats.nct.cdf(t, df, m)) - goal

        end = t + side * spread
        while side * error(end) > 0:  # the distribution falls with its parameter; far away it has no value
            end += side * spread
        return float(optimize.brentq(error, t - side * 0.5 * spread, end, xtol=1e-10))

    return bound(1 - tail, -1), bound(tail, 1)


def pairs_of(groups: Sequence[str], controls: str, every: bool) -> list[tuple[str, str]]:
    """Every group against the controls; with ``every`` also the other groups against each other.

    Examples
    --------
    >>> pairs_of(["HC", "PMS", "RRMS"], "HC", True)
    [('PMS', 'HC'), ('RRMS', 'HC'), ('RRMS', 'PMS')]
    """
    others = [name for name in groups if name != controls]
    pairs = [(name, controls) for name in others] if controls in groups else []
    return pairs + ([(b, a) for a, b in itertools.combinations(others, 2)] if every else [])


def _hc3(X: np.ndarray, bread: np.ndarray, residual: np.ndarray, leverage: np.ndarray) -> np.ndarray:
    """The sandwich with residuals over 1 - leverage; zeros where somebody has leverage 1."""
    free = 1 - leverage
    if float(free.min()) < 1e-8:
        return np.zeros_like(bread)
    meat = X * (residual / free)[:, None]
    return np.asarray(bread @ (meat.T @ meat) @ bread)


def _rss(y: np.ndarray, X: np.ndarray) -> float:
    residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    return float(residual @ residual)


def _slopes(y: np.ndarray, cells: np.ndarray, Z: np.ndarray, tested: int, rss: float, df: int) -> float:
    """The p of the test that the first ``tested`` covariates have the same slope in every group."""
    full = np.column_stack([cells, *(cells * Z[:, [i]] for i in range(tested)), Z[:, tested:]])
    df_full = y.size - full.shape[1]
    if not tested or df_full < 1 or np.linalg.matrix_rank(full) < full.shape[1]:
        return math.nan
    rss_full = _rss(y, full)
    f = (rss - rss_full) / (df - df_full) / (rss_full / df_full)
    return float(stats.f.sf(f, df - df_full, df_full))
