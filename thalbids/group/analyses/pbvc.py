"""Change of the thalamus against the change of the whole brain (percentage brain volume change; paper, 3.5).

The paper names a Wilcoxon test on the PBVC between methods. There is one PBVC per person, the same for every method, so
there is nothing to test; what can be compared is how strongly the methods' change goes with it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from scipy import stats

from thalbids.bids.tables import Table, table
from thalbids.group.analyses.longitudinal import pairs_of
from thalbids.group.cohort import Cohort
from thalbids.group.missing import after_fit, ledger, missing_table
from thalbids.group.model_columns import PBVC, PBVC_TESTS
from thalbids.group.samples import pairs, wide
from thalbids.group.statistics import correlations
from thalbids.group.statistics.correction import adjust
from thalbids.group.statistics.fit import constant

MIN_PAIRS = 4  # Fisher's z divides by n - 3
_EXACT = 1e-12
NO_WILCOXON = (
    "The paper's Wilcoxon test on PBVC between methods cannot be done: PBVC does not depend on the method. "
    "Williams' t, Steiger's z and Zou's interval compare the correlations instead."
)


def tables(cohort: Cohort) -> list[Table]:
    """``group_pbvc``, ``group_pbvc_tests``, and the ledger."""
    frames = {pair: frame(cohort, pair) for pair in pairs_of(cohort)}
    rows = [row for pair, (change, pbvc) in frames.items() for row in correlate(change, pbvc, sessions=pair)]
    tests = [row for pair, (change, pbvc) in frames.items() for row in compare(change, pbvc, sessions=pair)]
    choices = {"on": "change of the volume in percent of baseline", "note": NO_WILCOXON}
    notes = [] if any(row["n"] for row in rows) else ["PBVC: no participant has a PBVC and a change of the thalamus."]
    return [
        table("group_pbvc", rows, PBVC, settings=choices, notes=notes),
        table("group_pbvc_tests", tests, PBVC_TESTS, settings=choices),
        missing_table(after_fit(ledgers(cohort), rows, "r")),
    ]


def ledgers(cohort: Cohort) -> list[dict[str, Any]]:
    """How many pairs each correlation has."""
    made = []
    for pair in pairs_of(cohort):
        change, pbvc = frame(cohort, pair)
        for method, values in change.items():
            lost = {"no pbvc": ~np.isfinite(pbvc), "no volume": ~np.isfinite(values)}
            made.append(ledger("pbvc", "pbvc", method, lost, sessions=pair))
    return made


def frame(cohort: Cohort, pair: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Change in percent of baseline per method, and the PBVC of the same two sessions, one value per participant."""
    sample = pairs(cohort, pair)
    base = wide(cohort, sample.table["participant_id"], sample.table["session_id_baseline"])
    percent = 100 * sample.volumes["total"] / base.where(base > 0)
    keys = ["participant_id", "session_id_baseline", "session_id_followup"]
    known = cohort.pbvc[cohort.pbvc["status"] == "ok"].drop_duplicates(keys)[[*keys, "pbvc"]]
    pbvc = sample.table[keys].merge(known, on=keys, how="left", validate="one_to_one")["pbvc"]
    change = {method: percent[method].to_numpy(dtype=np.float64) for method in cohort.methods}
    return change, pbvc.to_numpy(dtype=np.float64, na_value=np.nan)


def correlate(change: dict[str, np.ndarray], pbvc: np.ndarray, **more: str) -> list[dict[str, Any]]:
    """Rows of ``group_pbvc``: Pearson's r with its interval (Fisher's z), p (t distribution), BH over the methods."""
    rows = []
    for method, values in change.items():
        x, y = _complete(values, pbvc)
        row = {"method": method, **more, "r": math.nan, "ci_low": math.nan, "ci_high": math.nan, "p": math.nan}
        row |= {"n": x.size, "reason": _unfit(method, x, y)}
        if not row["reason"]:
            found = stats.pearsonr(x, y)
            low, high = found.confidence_interval(correlations.CONFIDENCE)
            row |= {"r": float(found.statistic), "ci_low": float(low), "ci_high": float(high), "p": float(found.pvalue)}
        rows.append(row)
    adjust(rows, {"p_fdr": ()})
    return rows


def compare(change: dict[str, np.ndarray], pbvc: np.ndarray, **more: str) -> list[dict[str, Any]]:
    """Rows of ``group_pbvc_tests``: every pair of methods on the people who have both; BH over the pairs of a test."""
    rows = []
    for first, second in itertools.combinations(change, 2):
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
            found = function(r12, r13, r23, y.size)
            numbers = {"difference": r12 - r13, "ci_low": low, "ci_high": high, "r": r12, "r2": r13, "r_methods": r23}
            rows.append(key | {"test": test, **numbers, "statistic": found.statistic, "p": found.p, "reason": ""})
    adjust(rows, {"p_fdr": ("test",)})
    return rows


_TESTS = {"williams": correlations.williams, "steiger": correlations.steiger}


def _complete(*columns: np.ndarray) -> list[np.ndarray]:
    there = np.all([np.isfinite(values) for values in columns], axis=0)
    return [values[there] for values in columns]


def _unfit(method: str, x: np.ndarray, y: np.ndarray) -> str:
    if x.size < MIN_PAIRS:
        return f"{x.size} pairs of values, at least {MIN_PAIRS} are needed"
    if constant(y):
        return "PBVC does not vary"
    return f"the change of {method} does not vary" if constant(x) else ""
