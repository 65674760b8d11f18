"""Change of the thalamus against the change of the whole brain (percentage brain volume change; paper, 3.5).

The paper names a Wilcoxon test on the PBVC between methods. There is one PBVC per person, the same for every method, so
there is nothing to test; what can be compared is how strongly the methods' change goes with it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from thalbids.bids.results.names import mask_of
from thalbids.bids.tabular.tables import Column, Table, column, count, table
from thalbids.group.analyses.clinical.longitudinal import measures_of
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import METHOD, METHOD2, REASON, SESSIONS
from thalbids.group.modelling.missing import after_fit, ledger, missing_table
from thalbids.group.modelling.registered import CHANGE_MEASURE, with_measure
from thalbids.group.modelling.samples import pairs, wide
from thalbids.group.statistics.fits.fit import constant
from thalbids.group.statistics.testing import correlations
from thalbids.group.statistics.testing.correction import adjust
from thalbids.reports.group.figures import clinical, descriptive, look
from thalbids.reports.group.group_data import Tables, interval, mean_sd, methods_in, number, p_value, rows_of
from thalbids.reports.group.section import PageTable, Section, by_measure, counted, matrix, word

MIN_PAIRS = 4  # Fisher's z divides by n - 3
_EXACT = 1e-12
NO_WILCOXON = (
    "The paper's Wilcoxon test on PBVC between methods cannot be done: PBVC does not depend on the method. "
    "Williams' t, Steiger's z and Zou's interval compare the correlations instead."
)


PBVC: dict[str, Column] = {
    **METHOD,
    **SESSIONS,
    "r": column("Correlation", "Pearson's r between the change of the thalamus and PBVC, both in percent."),
    "ci_low": column("Lower bound", "Of the 95 % interval, by Fisher's z."),
    "ci_high": column("Upper bound", "Of the 95 % interval, by Fisher's z."),
    "p": column("p value", "Two-sided, t distribution."),
    "p_fdr": column("Adjusted p value", "Benjamini-Hochberg over the methods of a measure of change."),
    "n": count("Number of pairs", "Participants with both."),
    **REASON,
    **CHANGE_MEASURE,
}


PBVC_TESTS: dict[str, Column] = {
    **METHOD,
    **METHOD2,
    **SESSIONS,
    "test": column(
        "Test",
        "Test of equal correlations with PBVC.",
        Levels={"williams": "Williams' t, n - 3 degrees of freedom", "steiger": "Steiger's z with pooled correlation"},
    ),
    "difference": column("Difference", "Correlation of the first method minus that of the second."),
    "ci_low": column("Lower bound", "Of the 95 % interval of the difference (Zou 2007)."),
    "ci_high": column("Upper bound", "Of the 95 % interval of the difference (Zou 2007)."),
    "statistic": column("Statistic", "t or z."),
    "p": column("p value", "Two-sided."),
    "p_fdr": column(
        "Adjusted p value",
        "Benjamini-Hochberg over the pairs of methods, per test; pairs with a change by registration, of two such "
        "methods or of both measures of one method, are a family of their own.",
    ),
    "n": count("Number of participants", "With PBVC and both methods' change."),
    "r": column("Correlation of the first method", "With PBVC, over the same people."),
    "r2": column("Correlation of the second method", "With PBVC, over the same people."),
    "r_methods": column("Correlation between the methods", "Of their changes, over the same people."),
    **REASON,
    **CHANGE_MEASURE,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_pbvc``, ``group_pbvc_tests``, and the ledger."""
    rows = with_measure(
        row for of_measure, pair in measures_of(cohort) for row in correlate(*frame(of_measure, pair), sessions=pair)
    )
    tests = with_measure(row for of_measure, pair in measures_of(cohort) for row in tests_of(cohort, of_measure, pair))
    choices = {
        "on": "change of the volume in percent of baseline",
        "note": NO_WILCOXON,
        "methods_left_out": [name for name in cohort.methods if name not in cohort.model_methods],
    }
    notes = [] if any(row["n"] for row in rows) else ["PBVC: no participant has a PBVC and a change of the thalamus."]
    return [
        table("group_pbvc", rows, PBVC, settings=choices, notes=notes),
        table("group_pbvc_tests", tests, PBVC_TESTS, settings=choices),
        missing_table(after_fit(ledgers(cohort), rows, "r")),
    ]


def ledgers(cohort: Cohort) -> list[dict[str, Any]]:
    """How many pairs each correlation has."""
    lines = []
    for of_measure, pair in measures_of(cohort):
        change, pbvc = frame(of_measure, pair)
        for method, values in change.items():
            lost = {"no pbvc": ~np.isfinite(pbvc), "no volume": ~np.isfinite(values)}
            lines.append(ledger("pbvc", "pbvc", method, lost, sessions=pair))
    return lines


def frame(cohort: Cohort, pair: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Change in percent of baseline per method of the clinical models, and the PBVC of the same two sessions.

    One value per participant.
    """
    sample = pairs(cohort, pair)
    base = wide(cohort, sample.table["participant_id"], sample.table["session_id_baseline"])
    percent = 100 * sample.volumes["total"] / base.where(base > 0)
    keys = ["participant_id", "session_id_baseline", "session_id_followup"]
    known = cohort.pbvc[cohort.pbvc["status"] == "ok"].drop_duplicates(keys)[[*keys, "pbvc"]]
    pbvc = sample.table[keys].merge(known, on=keys, how="left", validate="one_to_one")["pbvc"]
    change = {method: percent[method].to_numpy(dtype=np.float64) for method in cohort.model_methods}
    return change, pbvc.to_numpy(dtype=np.float64, na_value=np.nan)


def correlate(change: dict[str, np.ndarray], pbvc: np.ndarray, **more: str) -> list[dict[str, Any]]:
    """Rows of ``group_pbvc``: Pearson's r with its interval (Fisher's z), p (t distribution), BH over the methods."""
    rows = []
    for method, values in change.items():
        x, y = _complete(values, pbvc)
        row = {"method": method, **more, "r": math.nan, "ci_low": math.nan, "ci_high": math.nan, "p": math.nan}
        row |= {"n": x.size, "reason": _unfit(method, x, y)}
        if not row["reason"]:
            correlation = stats.pearsonr(x, y)
            low, high = correlation.confidence_interval(correlations.CONFIDENCE)
            row |= {
                "r": float(correlation.statistic),
                "ci_low": float(low),
                "ci_high": float(high),
                "p": float(correlation.pvalue),
            }
        rows.append(row)
    adjust(rows, {"p_fdr": ()})
    return rows


def tests_of(cohort: Cohort, of_measure: Cohort, pair: str) -> list[dict[str, Any]]:
    """Rows of ``group_pbvc_tests`` of a measure of change (``of_measure``): its pairs of methods, and, of changes by
    registration, each with the difference of volumes of the same method.
    """
    change, pbvc = frame(of_measure, pair)
    if of_measure is cohort:
        return compare(change, pbvc, sessions=pair)
    volumes, _ = frame(cohort, pair)
    people = [pd.Index(pairs(one, pair).table["participant_id"]) for one in (cohort, of_measure)]
    place = people[0].get_indexer(people[1])  # samples of "common" may be of other people
    same = {mask_of(name): name for name in change}
    beside = {name: pd.Series(volumes[name]).reindex(place).to_numpy() for name in same if name in volumes}
    couples = [*itertools.combinations(change, 2), *((same[name], name) for name in beside)]
    return compare(change | beside, pbvc, couples, sessions=pair)


def compare(
    change: dict[str, np.ndarray], pbvc: np.ndarray, couples: Iterable[tuple[str, str]] | None = None, **more: str
) -> list[dict[str, Any]]:
    """Rows of ``group_pbvc_tests``: every pair of methods (or these) on the people who have both; BH over the pairs of
    a test.
    """
    rows = []
    for first, second in itertools.combinations(change, 2) if couples is None else couples:
        y, a, b = _complete(pbvc, change[first], change[second])
        reason = _unfit(first, a, y) or _unfit(second, b, y)
        key = {"method": first, "method2": second, **more, "n": y.size}
        if not reason:
            r12, r13, r23 = correlations.pearson(a, y), correlations.pearson(b, y), correlations.pearson(a, b)
            if 1 - abs(r23) < _EXACT:
                reason = "the two methods' changes are the same up to scale"
            elif 1 - max(abs(r12), abs(r13)) < _EXACT:
                reason = "a correlation is perfect"
        if reason:
            rows += [key | {"test": test, "difference": math.nan, "p": math.nan, "reason": reason} for test in _TESTS]
            continue
        low, high = correlations.zou(r12, r13, r23, y.size)
        for test, function in _TESTS.items():
            difference = function(r12, r13, r23, y.size)
            numbers = {"difference": r12 - r13, "ci_low": low, "ci_high": high, "r": r12, "r2": r13, "r_methods": r23}
            rows.append(
                key | {"test": test, **numbers, "statistic": difference.statistic, "p": difference.p, "reason": ""}
            )
    adjust(rows, {"p_fdr": ("test",)})
    return rows


_TESTS = {"williams": correlations.williams, "steiger": correlations.steiger}


def _complete(*columns: np.ndarray) -> list[np.ndarray]:
    there = np.all([np.isfinite(values) for values in columns], axis=0)
    return [values[there] for values in columns]


def _unfit(method: str, x: np.ndarray, y: np.ndarray) -> str:
    if x.size < MIN_PAIRS:
        return f"pairs of values: {x.size}, at least {MIN_PAIRS} are needed"
    if constant(y):
        return "PBVC does not vary"
    return f"the change of {method} does not vary" if constant(x) else ""


def section(tables: Tables) -> Section:
    """Thalamic change and the whole brain's."""
    section = Section("pbvc", "Thalamic change and whole-brain change (SIENA)")
    table = tables.get("pbvc", ("method", "r")).dropna(subset=["r"]).sort_values("r")
    if table.empty:
        section.nothing = (
            "There is no percentage brain volume change (PBVC) for anybody: SIENA was not run, or not given."
        )
        return section
    section.figures += descriptive.pbvc(tables)
    best, least = table.iloc[-1], table.iloc[0]
    ends = interval(best.get("ci_low"), best.get("ci_high"))
    text = f"{look.label(best['method'])} has the strongest correlation with PBVC, r = {number(best['r'])} {ends}"
    section.says.append(
        text + (f"; {look.label(least['method'])} the weakest, r = {number(least['r'])}." if len(table) > 1 else ".")
    )
    described = rows_of(tables.get("descriptives", ("variable", "diagnosis", "mean", "sd", "n")), variable="pbvc")
    described = rows_of(described, diagnosis="all").dropna(subset=["mean"])
    if len(described):
        row = described.iloc[0]
        section.says.append(f"The mean PBVC is {mean_sd(row)} % (n = {row['n']:.0f}).")
    tests = tables.get("pbvc_tests", ("method", "method2", "test", "p_fdr"))
    for test in dict.fromkeys(tests["test"].dropna()):
        part = rows_of(tests, test=test).dropna(subset=["p_fdr"])
        if len(part):
            below = int((part["p_fdr"] < clinical.ALPHA).sum())
            section.says.append(
                f"By the test of {word(test)}, {below} of {counted(len(part), 'pair')} of correlations differ."
            )
    rows = [
        [
            look.label(m),
            number(r["r"]),
            interval(r.get("ci_low"), r.get("ci_high")),
            p_value(r.get("p_fdr")),
            number(r.get("n"), 0),
        ]
        for m in methods_in(table)
        for r in rows_of(table, method=m).to_dict("records")
    ]
    section.tables.append(
        PageTable(
            "Pearson correlations", ["Method", "r", "95 % interval", "p corrected", "n"], rows, tables.file("pbvc")
        )
    )
    for test in dict.fromkeys(tests["test"].dropna()):
        for words, part in by_measure(rows_of(tests, test=test)):
            title = f"Correlations compared by {word(test)}{words}, corrected p"
            section.tables += matrix(title, part, tables.file("pbvc_tests"))
    section.caveats += [
        (
            "The paper names a Wilcoxon test between methods on PBVC. It cannot be done: there is one PBVC per person, "
            "the same for every method. Correlations that share the PBVC are compared here (Williams, Steiger, Zou's "
            "interval)."
        ),
        "The thalamus is part of the brain: some correlation is there by construction.",
    ]
    return section


ANALYSIS = Analysis("pbvc", tables, ledgers, sections={"pbvc": section}, told=("pbvc", "pbvc_tests"))
