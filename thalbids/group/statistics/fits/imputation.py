"""Multiple imputation by chained equations, and Rubin's rules.

statsmodels' ``MICE`` draws from NumPy's global generator and pools with the normal distribution and without degrees of
freedom, so it is not used: the same algorithm with a generator of its own, and Barnard and Rubin's degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from thalbids.group.statistics.fits.fit import CONFIDENCE, constant

RIDGE = 1e-5  # share of the diagonal that is added to it, as in the R package mice: collinear predictors do no harm
DONORS = 5
CYCLES = 10
SPARE = 5  # degrees of freedom that a regression of an imputation must have left
_TIE = 1e-9  # predictions (in SD) that are nearer to each other are the same, whatever the processor
_EXACT = 1e-12  # share of the variance below which imputations do not differ


@dataclass(frozen=True)
class Pooled:
    """One coefficient over all imputations.

    ``df`` are Barnard and Rubin's degrees of freedom, ``fmi`` the fraction of the information that is missing.
    """

    estimate: float
    se: float
    ci_low: float
    ci_high: float
    statistic: float
    df: float
    p: float
    fmi: float


def pooled(estimates: np.ndarray, variances: np.ndarray, df_complete: float) -> Pooled:
    """Rubin's rules (Rubin 1987) with the degrees of freedom of Barnard and Rubin (1999).

    With m estimates Q and their variances U: T = mean(U) + (1 + 1/m) var(Q); lambda = (1 + 1/m) var(Q) / T;
    1/df = lambda^2 / (m - 1) + 1 / ((df_complete + 1) / (df_complete + 3) df_complete (1 - lambda)).

    Parameters
    ----------
    estimates, variances : (m,) of the m imputations, m at least 2
    df_complete : degrees of freedom if nothing were missing

    Examples
    --------
    >>> round(pooled(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 1.0]), 1e12).df, 3)
    6.125
    """
    m = estimates.size
    estimate, within = float(estimates.mean()), float(variances.mean())
    between = (1 + 1 / m) * float(estimates.var(ddof=1))
    total = within + between
    share = between / total
    observed = (df_complete + 1) / (df_complete + 3) * df_complete * (1 - share)
    df = observed if share < _EXACT else 1 / (share**2 / (m - 1) + 1 / observed)
    se = math.sqrt(total)
    t = estimate / se
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, df)) * se
    ratio = between / within
    fmi = (ratio + 2 / (df + 3)) / (ratio + 1) if share >= _EXACT else 0.0
    return Pooled(estimate, se, estimate - half, estimate + half, t, df, float(2 * stats.t.sf(abs(t), df)), fmi)


@dataclass(frozen=True)
class Imputed:
    """Completed columns, or the ``reason`` why there are none.

    Attributes
    ----------
    columns : name to an array (m, n): the m imputations; values that were known are the same in all
    used : the variables of the imputation
    reason : which variable cannot be imputed, and why
    """

    columns: Mapping[str, np.ndarray]
    used: tuple[str, ...] = ()
    reason: str = ""


def impute(
    blocks: Mapping[str, Mapping[str, np.ndarray]],
    needed: Sequence[str],
    m: int,
    seed: Sequence[int],
    *,
    cycles: int = CYCLES,
    donors: int = DONORS,
) -> Imputed:
    """Fill in what is missing, m times: predictive mean matching in chained equations (van Buuren 2018, 3.4 and 4.5).

    Each variable in turn, from the one with the fewest missing values on, is regressed on all others; coefficients are
    drawn from their posterior distribution, and a missing value is that of one of the ``donors`` people whose
    prediction is nearest. So a value of an ordinal score, or a 0 or 1, is imputed as such. A variable of several
    columns (the levels of a category) is regressed and matched as a whole.

    Parameters
    ----------
    blocks : variable to its columns: (n,) float arrays, NaN where missing (in all columns of a variable alike)
    needed : variables of the analysis. Others only help; those are left out that do not vary, or that fewer than half
        of the people have.
    m : imputations
    seed : whole numbers; the draws depend on them, on the order of the variables, and on the data
    cycles : passes over all variables
    donors : people to draw from

    Returns
    -------
    Imputed
    """
    if not all(values.size for columns in blocks.values() for values in columns.values()):
        return Imputed({}, (), "no participants")
    chosen = {name: np.column_stack(list(columns.values())) for name, columns in blocks.items()}
    chosen = {name: values for name, values in chosen.items() if name in needed or _helps(values)}
    there = {name: np.isfinite(values).all(axis=1) for name, values in chosen.items()}
    while few := _few(chosen, there, donors):
        least = min(few, key=lambda name: (name in needed, int(there[name].sum())))
        if least in needed:
            return Imputed({}, tuple(chosen), few[least])
        chosen.pop(least)
        there.pop(least)
    order = sorted((name for name in chosen if not there[name].all()), key=lambda name: int((~there[name]).sum()))
    width = np.cumsum([0, *(values.shape[1] for values in chosen.values())])
    places = {name: slice(*ends) for name, *ends in zip(chosen, width[:-1], width[1:], strict=True)}
    standard, centre, spread = _standardised(chosen)
    completed = []
    for number in range(m):
        rng = np.random.default_rng([*seed, number])
        filled = standard.copy()
        for name in order:
            filled[:, places[name]] = _started(standard[:, places[name]], there[name], rng)
        for _ in range(cycles if order else 0):
            for name in order:
                _match(filled, places[name], there[name], rng, donors)
        completed.append(filled[:, :-1] * spread + centre)
    names = [column for name in chosen for column in blocks[name]]
    original = [values for name in chosen for values in blocks[name].values()]
    columns = {
        column: np.where(np.isfinite(known), known, np.stack([one[:, place] for one in completed]))
        for place, (column, known) in enumerate(zip(names, original, strict=True))
    }
    return Imputed(columns, tuple(chosen))


def _standardised(chosen: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All columns with mean 0 and SD 1 where they are known, and ones; means and SDs."""
    values = np.column_stack(list(chosen.values()))
    centre, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return np.column_stack([(values - centre) / spread, np.ones(len(values))]), centre, spread


def _helps(values: np.ndarray) -> bool:
    there = np.isfinite(values).all(axis=1)
    return 2 * int(there.sum()) >= there.size > 0 and not any(constant(column) for column in values[there].T)


def _few(chosen: Mapping[str, np.ndarray], there: Mapping[str, np.ndarray], donors: int) -> dict[str, str]:
    """The variables that too few people have to be imputed, and how many they are."""
    width = sum(values.shape[1] for values in chosen.values())
    few = {}
    for name, known in there.items():
        least = max(width - chosen[name].shape[1] + 1 + SPARE, donors)
        if not known.all() and known.sum() < least:
            few[name] = f"{name} is known of {int(known.sum())}, at least {least} are needed to impute it"
    return few


def _started(values: np.ndarray, known: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The values with the gaps filled by those of people drawn at random."""
    filled = values.copy()
    filled[~known] = values[rng.choice(np.flatnonzero(known), int((~known).sum()))]
    return filled


def _match(filled: np.ndarray, place: slice, known: np.ndarray, rng: np.random.Generator, donors: int) -> None:
    """Fill in the gaps of the columns ``place`` once more, given all others."""
    Y = filled[known, place]
    Z = np.delete(filled, place, axis=1)
    fitted, drawn = _coefficients(Z[known], Y, rng)
    matched = _donors(Z[known] @ fitted, Z[~known] @ drawn, donors)
    pick = rng.integers(0, matched.shape[1], len(matched))
    filled[~known, place] = Y[matched[np.arange(len(matched)), pick]]


def _coefficients(Z: np.ndarray, Y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares coefficients, and a draw from their posterior distribution under a flat prior."""
    S = Z.T @ Z
    S.flat[:: len(S) + 1] *= 1 + RIDGE
    L = np.linalg.cholesky(S)
    fitted = np.linalg.solve(S, Z.T @ Y)
    residual = Y - Z @ fitted
    inflated = residual.T @ residual / rng.chisquare(len(Z) - Z.shape[1])
    noise = np.linalg.solve(L.T, rng.standard_normal(fitted.shape))  # L.T x = z has the covariance of S^-1
    return fitted, fitted + noise @ _root(inflated)


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric R with R R = covariance, which may be singular."""
    if covariance.size == 1:
        return np.sqrt(covariance)
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = vectors * np.sqrt(np.clip(values, 0, None))
    return root @ vectors.T


def _donors(known: np.ndarray, wanted: np.ndarray, donors: int) -> np.ndarray:
    """(missing, donors) rows of ``known`` whose predictions are nearest to each row of ``wanted``."""
    if known.shape[1] == 1:
        return _nearest(known[:, 0], wanted[:, 0], donors)
    distance = ((known[None] - wanted[:, None]) ** 2).sum(axis=2)
    return np.argsort(np.round(distance / _TIE), axis=1, kind="stable")[:, :donors]


def _nearest(known: np.ndarray, wanted: np.ndarray, donors: int) -> np.ndarray:
    """The same of single predictions, by their order: n log n in place of n^2."""
    rounded = np.round(known / _TIE)
    order = np.argsort(rounded, kind="stable")
    ranked = rounded[order]
    k = min(donors, known.size)
    start = np.searchsorted(ranked, np.round(wanted / _TIE))
    window = np.clip(start[:, None] + np.arange(-k, k), 0, known.size - 1)  # the nearest k are among these 2 k
    distance = np.abs(ranked[window] - np.round(wanted / _TIE)[:, None])
    repeated = np.zeros(window.shape, dtype=bool)
    repeated[:, 1:] = window[:, 1:] == window[:, :-1]
    distance[repeated] = np.inf  # at the ends the clipped places stand several times
    best = np.argsort(distance, axis=1, kind="stable")[:, :k]
    nearest: np.ndarray = order[np.take_along_axis(window, best, axis=1)]
    return nearest
