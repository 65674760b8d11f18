"""How far the agreement of two methods with the same manual masks differs: difference, interval, effect size.

Overlap is compared person by person. CCC and ICC are numbers of a whole sample: they are compared by a paired
bootstrap, in which both methods are computed of the same resample of people.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from thalbids.bids.tabular.counting import one_per_person
from thalbids.group.statistics.concordance.agreement import bootstrap
from thalbids.group.statistics.testing.associations import CHUNK, bootstrapped
from thalbids.group.statistics.testing.correction import adjust

if TYPE_CHECKING:
    import pandas as pd

OVERLAP = ("dice", "precision", "sensitivity")
VOLUMETRIC = ("ccc", "icc_c1", "icc_a1")
MIN_PAIRS = 5
_EXACT = 1e-12


def rows(table: pd.DataFrame, seed: int, draws: int) -> list[dict[str, Any]]:
    """Rows of ``group_agreement_tests`` from those of ``group_overlap``: pairs of methods per rater and quantity."""
    result: list[dict[str, Any]] = []
    for rater, group in one_per_person(table, ["rater", "method"]).groupby("rater", sort=False):
        methods = list(dict.fromkeys(group["method"]))
        names = (*OVERLAP, "volume_ml", "volume_rater_ml")
        wide = {name: group.pivot(index="participant_id", columns="method", values=name) for name in names}
        for a, b in itertools.combinations(methods, 2):
            key = {"rater": rater, "method": a, "method2": b}
            first, second = ({name: wide[name][m].to_numpy(dtype=np.float64) for name in names} for m in (a, b))
            for name in OVERLAP:
                result.append(key | {"quantity": name} | overlap(first[name], second[name], seed, draws))
            known = np.isfinite(first["volume_rater_ml"])
            x = np.where(known, first["volume_rater_ml"], second["volume_rater_ml"])
            volumes = _drawn(x), _drawn(first["volume_ml"]), _drawn(second["volume_ml"])
            result += [key | row for row in volumetric(*volumes, seed=seed, draws=draws)]
    adjust(result, {"p_fdr": ("rater", "quantity")})
    return result


def _drawn(volumes: np.ndarray) -> np.ndarray:
    """NaN for an empty mask, which is no measurement of 0 mL."""
    return np.where(volumes > 0, volumes, math.nan)


def overlap(a: np.ndarray, b: np.ndarray, seed: int, draws: int) -> dict[str, Any]:
    """Medians, the median of the paired differences with its bootstrap interval, and the rank-biserial correlation."""
    there = np.isfinite(a) & np.isfinite(b)
    a, b = a[there], b[there]
    row: dict[str, Any] = {"n": int(a.size), "p": math.nan, "reason": ""}
    if a.size < MIN_PAIRS:
        return row | {"reason": f"people with both: {a.size}, at least {MIN_PAIRS} are needed"}
    low, high = bootstrap(a - b, np.median, seed, draws)
    numbers = {"estimate": float(np.median(a)), "estimate2": float(np.median(b)), "difference": float(np.median(a - b))}
    return row | numbers | {"ci_low": low, "ci_high": high, "effect_size": rank_biserial(a - b)}


def rank_biserial(d: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): (sum of ranks above 0 - below 0) / sum; zeros dropped.

    Examples
    --------
    >>> rank_biserial(np.array([1.0, 2, -3, 4, 0]))
    0.4
    """
    used = d[d != 0]
    if not used.size:
        return math.nan
    ranks = stats.rankdata(np.abs(used))
    return float(np.sum(ranks * np.sign(used)) / ranks.sum())


def volumetric(x: np.ndarray, a: np.ndarray, b: np.ndarray, seed: int, draws: int) -> list[dict[str, Any]]:
    """CCC, ICC(C,1) and ICC(A,1) of two methods with one reference; the effect size is Cohen's q, the difference of
    their Fisher z.
    """
    there = np.isfinite(x) & np.isfinite(a) & np.isfinite(b)
    V = np.column_stack([x, a, b])[there]
    n = len(V)
    shared = {"n": n, "p": math.nan}
    reason = f"people with both: {n}, at least {MIN_PAIRS} are needed" if n < MIN_PAIRS else ""
    if not reason and (np.ptp(V, axis=0) <= _EXACT * np.abs(V).max()).any():
        reason = "a volume does not vary"
    if reason:
        return [{"quantity": name, **shared, "reason": reason} for name in VOLUMETRIC]
    point, resamples = coefficients(V), resampled(V, seed, draws)
    result = []
    for name in VOLUMETRIC:
        first, second = point[name]
        estimate = bootstrapped(first - second, resamples[name][:, 0] - resamples[name][:, 1])
        perfect = max(abs(first), abs(second)) > 1 - _EXACT
        q = math.nan if perfect else math.atanh(first) - math.atanh(second)
        numbers = {"estimate": first, "estimate2": second, "difference": first - second, "effect_size": q}
        tested = {key: getattr(estimate, key) for key in ("ci_low", "ci_high", "statistic", "p", "reason")}
        result.append({"quantity": name, **shared, **numbers, **tested})
    return result


def coefficients(V: np.ndarray) -> dict[str, np.ndarray]:
    """Per quantity the coefficients (methods,) of volumes (people, 1 + methods), the reference first."""
    S = V.T @ V
    return {name: values[0] for name, values in _of_moments(V.sum(axis=0)[None], S[None], len(V)).items()}


def resampled(V: np.ndarray, seed: int, draws: int) -> dict[str, np.ndarray]:
    """The same of resamples of people, (draws, methods)."""
    n, d = V.shape
    centred = V - V.mean()  # digits are kept; differences and variances stay
    products = np.column_stack([centred, (centred[:, :, None] * centred[:, None, :]).reshape(n, d * d)])
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        chosen = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        sums = np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n) @ products
        parts.append(_of_moments(sums[:, :d], sums[:, d:].reshape(size, d, d), n))
    return {name: np.concatenate([part[name] for part in parts]) for name in VOLUMETRIC}


def _of_moments(sums: np.ndarray, squares: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """CCC 2 Sxy / (Sx2 + Sy2 + d^2) with sample moments; ICC(C,1) without d^2; ICC(A,1) with d^2 - MSE 2 / n.

    For two raters MSR - MSE = 2 Sxy, MSR + MSE = Sx2 + Sy2 and MSC = n d^2 / 2 (McGraw and Wong 1996).
    """
    means = sums / n
    covariance = (squares - n * means[:, :, None] * means[:, None, :]) / (n - 1)
    sxy, sx2 = covariance[:, 0, 1:], covariance[:, 0, :1]
    sy2 = np.diagonal(covariance, axis1=1, axis2=2)[:, 1:]
    shift2 = (means[:, :1] - means[:, 1:]) ** 2
    both = sx2 + sy2
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "ccc": 2 * sxy / (both + shift2),
            "icc_c1": 2 * sxy / both,
            "icc_a1": 2 * sxy / (both + shift2 - (both - 2 * sxy) / n),
        }
