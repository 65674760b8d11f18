"""People who were lost against those who were kept: their baselines side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import stats

from thalbids.bids.tabular.own import OUTCOMES
from thalbids.bids.tabular.tables import Column, Table, column, count, table
from thalbids.group.analyses.clinical import longitudinal
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import METHOD, REASON
from thalbids.group.modelling.samples import Sample, baseline, pairs
from thalbids.group.statistics.fits import contrasts, fit
from thalbids.group.statistics.testing.correction import adjust
from thalbids.reports.group.beyond import View

VARIABLES = ("age", "sex", "disease_duration", *OUTCOMES, "icv_ml")
LEAST = 2  # people on each side

LOST: dict[str, Column] = {
    "kept": column(
        "Kept",
        "Who counts as kept among the people of the baseline: followed (a later session with a volume), or an outcome "
        "of group_longitudinal (in its model of the first method); the others are lost.",
    ),
    "variable": column("Variable", "At the baseline; sex is 1 for male, volume_ml that of the method."),
    **METHOD,
    "n_kept": count("Number kept", "With the variable."),
    "n_lost": count("Number lost", "With the variable."),
    "mean_kept": column("Mean of the kept", "In the units of the variable."),
    "sd_kept": column("SD of the kept", "Sample standard deviation (n - 1)."),
    "mean_lost": column("Mean of the lost", "In the units of the variable."),
    "sd_lost": column("SD of the lost", "Sample standard deviation (n - 1)."),
    "difference": column("Difference", "Mean of the lost minus that of the kept."),
    "smd": column("Standardised difference", "Difference / pooled standard deviation."),
    "smd_ci_low": column("Lower bound", "Of its 95 % interval (noncentral t)."),
    "smd_ci_high": column("Upper bound", "Of its 95 % interval (noncentral t)."),
    "p": column("p value", "Two-sided: Welch's t test; of sex, Fisher's exact test."),
    "p_fdr": column("Adjusted p value", "Benjamini-Hochberg over the variables of a comparison."),
    **REASON,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_lost``."""
    sample = baseline(cohort)
    rows = []
    for kept, mask in _kept(cohort, sample):
        for variable, method, values in _variables(cohort, sample):
            rows.append({"kept": kept, "variable": variable, "method": method, **compared(values, mask, variable)})
    adjust(rows, {"p_fdr": ("kept",)})
    far = [row for row in rows if row["p_fdr"] < 0.05]
    words = dict.fromkeys(f"{row['variable']} {row['method']}".strip() for row in far if row["kept"] == "followed")
    notes = [f"warning: people who were not followed differ at baseline in {', '.join(words)}."] if words else []
    return [table("group_lost", rows, LOST, notes=notes)]


def _kept(cohort: Cohort, sample: Sample) -> Iterator[tuple[str, np.ndarray]]:
    """Name and mask of each comparison."""
    people = sample.table["participant_id"]
    chosen = longitudinal.pairs_of(cohort)[:1]
    if not chosen:
        return
    followed = pairs(cohort, chosen[0])
    yield "followed", people.isin(followed.table["participant_id"]).to_numpy()
    if not cohort.model_methods:
        return
    plan = longitudinal.plan(cohort)
    for outcome in plan.outcomes:
        used = fit.listwise(plan.design(followed, outcome, cohort.model_methods[0]).columns)
        if used.any():
            yield outcome, people.isin(followed.table["participant_id"][used]).to_numpy()


def _variables(cohort: Cohort, sample: Sample) -> Iterator[tuple[str, str, np.ndarray]]:
    for name, values in sample.columns(VARIABLES).items():
        yield name, "", values
    for method in cohort.model_methods:
        yield "volume_ml", method, sample.volumes["total"][method].to_numpy(dtype=np.float64)


def compared(values: np.ndarray, kept: np.ndarray, variable: str) -> dict[str, Any]:
    """One variable of the lost and the kept.

    Parameters
    ----------
    values : (n,) with NaN for missing
    kept : (n,) bool
    """
    there = np.isfinite(values)
    a, b = values[there & kept], values[there & ~kept]
    row: dict[str, Any] = {"n_kept": a.size, "n_lost": b.size}
    for name, values_of in (("kept", a), ("lost", b)):
        row[f"mean_{name}"] = float(values_of.mean()) if values_of.size else math.nan
        row[f"sd_{name}"] = float(values_of.std(ddof=1)) if values_of.size > 1 else math.nan
    row |= {"difference": row["mean_lost"] - row["mean_kept"], "p": math.nan, "reason": ""}
    if min(a.size, b.size) < LEAST:
        return row | {"reason": f"fewer than {LEAST} people are {'kept' if a.size < b.size else 'lost'}"}
    if fit.constant(np.r_[a, b]):
        return row | {"reason": "does not vary"}
    if fit.constant(a) and fit.constant(b):
        return row | {"reason": "does not vary within the groups"}
    group = np.r_[np.full(a.size, "kept"), np.full(b.size, "lost")]
    comparisons = contrasts.ancova(np.r_[a, b], group, [], [("lost", "kept")]).contrasts[0]
    if variable == "sex":
        counts = [[int(values_of.sum()), int(values_of.size - values_of.sum())] for values_of in (a, b)]
        p = float(stats.fisher_exact(counts).pvalue)
    else:
        p = welch(b, a)
    return row | {
        "smd": comparisons.d,
        "smd_ci_low": comparisons.d_ci_low,
        "smd_ci_high": comparisons.d_ci_high,
        "p": p,
    }


def welch(a: np.ndarray, b: np.ndarray) -> float:
    """The p value of Welch's t test of two groups, of which one may be constant: ``ttest_ind`` warns of that."""
    moments = [(x.mean(), 0.0 if fit.constant(x) else x.std(ddof=1), x.size) for x in (a, b)]
    return float(stats.ttest_ind_from_stats(*moments[0], *moments[1], equal_var=False).pvalue)


VIEW = View(
    "Lost against kept: people who were not followed, and those who were",
    {"kept": ("followed",)},
    ("variable", "method", "n_kept", "mean_kept", "n_lost", "mean_lost", "smd", "smd_ci_low", "smd_ci_high", "p_fdr",
     "reason"),
)  # fmt: skip
ANALYSIS = Analysis("lost", tables, views={"lost": VIEW})
