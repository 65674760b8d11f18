"""Voxel agreement over participants: medians with intervals, paired tests between methods (paper, 2.7.2 and 3.2)."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from thalbids.bids.tabular.counting import one_per_person
from thalbids.group.comparison import METRICS
from thalbids.group.statistics.concordance.agreement import bootstrap
from thalbids.group.statistics.testing.correction import benjamini_hochberg

if TYPE_CHECKING:
    import pandas as pd

LARGE = 500  # beyond this the exact distribution is a matter of minutes, and the asymptotic one the same
SMALL = 25  # differences up to which the exact p stands beside the asymptotic one


def summary(table: pd.DataFrame, seed: int, draws: int = 2000) -> list[dict[str, Any]]:
    """Median, quartiles (numpy's linear quantiles) and the bootstrap interval of the median, per rater, method, metric.

    Rows without a measure (an empty mask) are counted in ``n_empty``.
    """
    rows = []
    chosen = one_per_person(table, ["rater", "method"])
    for (rater, method), group in chosen.groupby(["rater", "method"], sort=False):
        for metric in METRICS:
            values = group[metric].to_numpy(dtype=np.float64)
            there = values[~np.isnan(values)]
            q1, median, q3 = np.quantile(there, [0.25, 0.5, 0.75]) if there.size else (math.nan,) * 3
            low, high = bootstrap(there, np.median, seed, draws)
            numbers = {"median": float(median), "q1": float(q1), "q3": float(q3), "ci_low": low, "ci_high": high}
            counts = {"n": int(there.size), "n_empty": int(values.size - there.size)}
            rows.append({"rater": rater, "method": method, "metric": metric, **counts, **numbers})
    return rows


def tests(table: pd.DataFrame, method: str = "asymptotic") -> list[dict[str, Any]]:
    """Wilcoxon signed-rank tests of every pair of methods per rater and metric.

    Benjamini-Hochberg adjusts over the pairs of that metric.
    """
    rows = []
    chosen = one_per_person(table, ["rater", "method"])
    for rater, group in chosen.groupby("rater", sort=False):
        names = list(dict.fromkeys(group["method"]))
        for metric in METRICS:
            wide = group.pivot(index="participant_id", columns="method", values=metric)
            family = []
            for first, second in itertools.combinations(names, 2):
                result = signed_rank(wide[first].to_numpy(), wide[second].to_numpy(), method)
                family.append({"rater": rater, "metric": metric, "method": first, "method2": second, **result})
            adjusted = benjamini_hochberg([row["p"] for row in family])
            rows += [row | {"p_fdr": p} for row, p in zip(family, adjusted, strict=True)]
    return rows


def signed_rank(a: np.ndarray, b: np.ndarray, method: str = "asymptotic") -> dict[str, Any]:
    """Two-sided Wilcoxon signed-rank test of a - b.

    Zero differences are dropped, there is no continuity correction, and the method is the named one, never scipy's
    choice. The exact distribution is that of all signs of the ranks at hand, ties included (Streitberg and Roehmel
    1986).

    Returns
    -------
    dict
        ``n`` pairs, ``n_zero`` of them without a difference, ``statistic`` (the smaller sum of ranks), ``p``,
        ``reason`` when there is no test; ``p_exact`` for up to `SMALL` differences.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    d = (a - b)[np.isfinite(a) & np.isfinite(b)]
    used = d[d != 0]
    row = {
        "n": int(d.size),
        "n_zero": int(d.size - used.size),
        "statistic": math.nan,
        "p": math.nan,
        "reason": "",
        "p_exact": math.nan,
    }
    if used.size == 0:
        return row | {"reason": "no pairs" if d.size == 0 else "every difference is 0"}
    if used.size == 1:
        return row | {"reason": "one pair differs: nothing to test"}
    if method == "exact" and used.size > LARGE:
        row["reason"], method = f"more than {LARGE} differences: asymptotic", "asymptotic"
    if method == "exact" or used.size <= SMALL:
        row["p_exact"] = exact(used)
    result = stats.wilcoxon(used, zero_method="wilcox", correction=False, method="asymptotic")
    p = row["p_exact"] if method == "exact" else float(result.pvalue)
    return row | {"statistic": float(result.statistic), "p": p}


def exact(differences: np.ndarray) -> float:
    """Two-sided p of the signed-rank statistic over all signs of its ranks; tied ranks are their means.

    Examples
    --------
    >>> exact(np.array([1.0, 2, 3, 4, 5]))  # 2 / 2^5
    0.0625
    """
    ranks = np.rint(2 * stats.rankdata(np.abs(differences))).astype(int)  # halves of tied ranks become whole
    share = np.zeros(int(ranks.sum()) + 1)
    share[0] = 1.0
    for rank in ranks:  # the distribution of the sum, one rank after the other
        share = (share + np.concatenate([np.zeros(rank), share[:-rank]])) / 2
    positive = int(ranks[differences > 0].sum())
    low = min(positive, int(ranks.sum()) - positive)
    return min(1.0, 2 * float(share[: low + 1].sum()))
