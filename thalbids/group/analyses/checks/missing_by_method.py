"""Is what a method lacks a random part of the people? Kept against lost, method by method: beyond the paper.

The size of the thalamus of those whom a method lost is known from the other methods: the mean of their volumes, each
standardised over everybody who has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from thalbids.bids.tabular.tables import Column, Table, column, count, table
from thalbids.group.analyses.clinical.longitudinal import pairs_of
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import METHOD, REASON, SESSIONS
from thalbids.group.modelling.samples import Sample, baseline, pairs, wide
from thalbids.group.statistics.fits.fit import z_score
from thalbids.group.statistics.testing import lost
from thalbids.group.statistics.testing.correction import adjust
from thalbids.reports.group.beyond import View
from thalbids.reports.group.figures import look

BINARY = ("smallest_fifth", "male", "control")
FIFTH = 0.2
ALPHA = 0.05
MISSING_TESTS: dict[str, Column] = {
    "analysis": column("Analysis", "crosssectional: volume at the baseline; longitudinal: change of the volume."),
    **SESSIONS,
    **METHOD,
    "lost": column(
        "Lost",
        "Who counts as lost.",
        Levels={
            "any": "Without a volume (change) of this method, for whatever reason",
            "failed": "Those whose volume failed or was excluded; without an image of the method is neither",
        },
    ),
    "variable": column(
        "Variable",
        "What is compared, at the baseline.",
        Levels={
            "thalamus_z": "Size of the thalamus by the other methods, in SD of everybody",
            "smallest_fifth": "Whether that size is in the lowest fifth (share)",
            "male": "Share of men",
            "control": "Share of healthy controls",
        },
    ),
    "n_kept": count("Number of kept", "With a value."),
    "n_lost": count("Number of lost", "With a value."),
    "kept": column("Kept", "Mean (share) of those who are kept, in the units of the variable."),
    "lost_mean": column("Lost mean", "Mean (share) of those who are lost."),
    "difference": column("Difference", "Kept minus lost."),
    "ci_low": column("Lower bound", "Of the 95 % interval: Welch's; Newcombe's for shares."),
    "ci_high": column("Upper bound", "Of the 95 % interval."),
    "smd": column("Standardised difference", "Hedges' g; n/a for shares."),
    "test": column("Test", "welch: Welch's t test; fisher: Fisher's exact test."),
    "p": column("p value", "Two-sided."),
    "p_fdr": column("Adjusted p value", "Benjamini-Hochberg over methods x variables of an analysis and kind of loss."),
    **REASON,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_missing_tests``."""
    rows = list(_rows(cohort))
    adjust(rows, {"p_fdr": ("analysis", "sessions", "lost")})
    return [table("group_missing_tests", rows, MISSING_TESTS, settings={"fifth": FIFTH}, notes=named(rows))]


def _rows(cohort: Cohort) -> Iterator[dict[str, Any]]:
    for analysis, pair, sample in _samples(cohort):
        session = "session_id_baseline" if pair else "session_id"
        base = wide(cohort, sample.table["participant_id"], sample.table[session])
        bad = _failed(cohort, sample.table, ["session_id_baseline", "session_id_followup"] if pair else ["session_id"])
        for method in cohort.methods:
            without = ~np.isfinite(sample.volumes["total"][method].to_numpy(dtype=np.float64))
            failed = without & bad[method].to_numpy()
            kinds = {"any": without} | ({"failed": failed} if 0 < failed.sum() < without.sum() else {})
            for kind, mask in kinds.items() if without.any() else ():
                rows = np.ones(without.size, dtype=bool) if kind == "any" else mask | ~without
                for variable, values in _variables(sample, base, method, cohort.settings.checks.controls).items():
                    comparison = asdict(lost.compare(values[rows], mask[rows], variable in BINARY))
                    key = {"analysis": analysis, "sessions": pair, "method": method, "lost": kind, "variable": variable}
                    yield comparison | {"lost_mean": comparison["lost"]} | key  # the key "lost" says which kind


def _samples(cohort: Cohort) -> Iterator[tuple[str, str, Sample]]:
    yield "crosssectional", "", baseline(cohort, "available")
    for pair in pairs_of(cohort):
        yield "longitudinal", pair, pairs(cohort, pair, "available")


def _failed(cohort: Cohort, people: pd.DataFrame, sessions: list[str]) -> dict[str, pd.Series]:
    """Per method, whether its volume failed or was excluded at one of these sessions."""
    bad = cohort.volumes[cohort.volumes["status"].isin(["failed", "excluded"])]
    failed = {}
    for method in cohort.methods:
        keys = set(bad[bad["method"] == method][["participant_id", "session_id"]].itertuples(index=False, name=None))
        hits = [
            [key in keys for key in zip(people["participant_id"], people[session], strict=True)] for session in sessions
        ]
        failed[method] = pd.Series(np.any(hits, axis=0) if len(people) else np.zeros(0, dtype=bool))
    return failed


def _variables(sample: Sample, base: pd.DataFrame, method: str, controls: str) -> dict[str, np.ndarray]:
    """What kept and lost are compared in; columns that nobody has are left out."""
    size = size_by_others(base, method)
    smallest = np.where(np.isfinite(size), size <= _quantile(size, FIFTH), np.nan)
    names = ("age", "disease_duration", "edss", "t25fw", "nhpt", "sdmt", "icv_ml")
    suffixed = {name: f"{name}_baseline" if f"{name}_baseline" in sample.table else name for name in names}
    values = sample.columns(list(suffixed.values()))
    diagnosis = sample.table["diagnosis"].to_numpy(dtype=object)
    control = np.array([float(word == controls) if word else np.nan for word in diagnosis], dtype=np.float64)
    variables = {
        "thalamus_z": size,
        "smallest_fifth": smallest,
        "male": sample.columns(["sex"])["sex"],
        "control": control,
    }
    variables |= {name: values[column] for name, column in suffixed.items()}
    return {name: column for name, column in variables.items() if np.isfinite(column).any()}


def size_by_others(base: pd.DataFrame, method: str) -> np.ndarray:
    """The mean of the standardised volumes of the other methods, as far as a person has them; NaN without any."""
    others = [z_score(base[name].to_numpy(dtype=np.float64)) for name in base if name != method]
    if not others:
        return np.full(len(base), np.nan)
    stacked = np.column_stack(others)
    counts = np.isfinite(stacked).sum(axis=1)
    return np.where(counts > 0, np.nansum(stacked, axis=1) / np.maximum(counts, 1), np.nan)


def _quantile(values: np.ndarray, q: float) -> float:
    there = values[np.isfinite(values)]
    return float(np.quantile(there, q)) if there.size else math.nan


def said(rows: list[dict[str, Any]]) -> list[str]:
    """The same for the page, with methods by their names."""
    words = {"crosssectional": "Cross-sectional", "longitudinal": "Longitudinal"}
    people = [row | {"method": look.label(str(row["method"])), "analysis": words[str(row["analysis"])]} for row in rows]
    return [note.removeprefix("warning: ") for note in named(people)]


def named(rows: list[dict[str, Any]]) -> list[str]:
    """A warning for each method that lacks more often where the thalamus is small, with the difference."""
    names = []
    for row in rows:
        fifth, size = row["variable"] == "smallest_fifth", row["variable"] == "thalamus_z"
        if row["lost"] != "any" or not (fifth or size) or not row["p_fdr"] < ALPHA:
            continue
        if fifth and row["difference"] < 0:
            names.append(
                f"warning: {row['analysis']}: {row['method']} lacks more often in the fifth with the smallest thalami: "
                f"they are {100 * row['lost_mean']:.0f} % of the {row['n_lost']} lost and {100 * row['kept']:.0f} % of "
                f"the {row['n_kept']} kept (corrected p {row['p_fdr']:.2g})."
            )
        if size and row["difference"] > 0:
            names.append(
                f"warning: {row['analysis']}: those whom {row['method']} lacks have smaller thalami by the other "
                f"methods, {row['difference']:.2f} SD (95 % interval {row['ci_low']:.2f} to {row['ci_high']:.2f}, "
                f"{row['n_lost']} lost, {row['n_kept']} kept): its people are no random part."
            )
    return names


VIEW = View(
    "Who is missing, by method: kept against lost",
    {"variable": ("thalamus_z", "smallest_fifth", "age", "edss")},
    ("analysis", "method", "lost", "variable", "n_kept", "n_lost", "kept", "lost_mean", "difference", "ci_low",
     "ci_high", "p_fdr", "reason"),
)  # fmt: skip
ANALYSIS = Analysis("missing_by_method", tables, views={"missing_tests": VIEW})
