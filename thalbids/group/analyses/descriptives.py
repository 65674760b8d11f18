"""Descriptives by diagnosis (paper, 3.1 and Tables S1 - S3, S8)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from thalbids.bids.tables import Table, table
from thalbids.group.analyses.change import by_diagnosis, spread
from thalbids.group.cohort import OUTCOMES, Cohort, baseline, visit_pairs
from thalbids.group.columns import DESCRIPTIVES

BASELINE = ("age", "female", "disease_duration", *OUTCOMES, "t25fw_trials", "nhpt_trials", "icv_ml")
CHANGES = ("interval_years", *(f"d_{name}" for name in OUTCOMES), "steroid")


def tables(cohort: Cohort) -> list[Table]:
    """``group_descriptives``: of the baseline, and of those who were followed."""
    base, pairs = baseline(cohort), visit_pairs(cohort)
    first = pairs.drop_duplicates("participant_id")
    followed = base[base["participant_id"].isin(first["participant_id"])]
    rows = [
        *_rows(base, BASELINE, "baseline"),
        *_volumes(cohort, base, "baseline"),
        *_rows(followed, BASELINE, "followed"),
        *_rows(first, CHANGES, "followed"),
        *_volumes(cohort, followed, "followed"),
    ]
    counts = "; ".join(f"{name} {len(part)}" for name, part in by_diagnosis(base))
    notes = [f"participants with a usable volume: {counts}; followed: {len(first)}."]
    return [table("group_descriptives", rows, DESCRIPTIVES, notes=notes)]


def _rows(frame: pd.DataFrame, variables: tuple[str, ...], sample: str) -> list[dict[str, Any]]:
    return [
        {"variable": name, "diagnosis": diagnosis, "sample": sample, **spread(part[name])}
        for name in variables
        for diagnosis, part in by_diagnosis(frame)
    ]


def _volumes(cohort: Cohort, frame: pd.DataFrame, sample: str) -> list[dict[str, Any]]:
    """The thalamus volume of each method at the baseline session."""
    keys = ["participant_id", "session_id"]
    own = frame[[*keys, "diagnosis"]].merge(cohort.usable[[*keys, "method", "volume_ml"]], on=keys)
    return [
        {
            "variable": "volume_ml",
            "method": method,
            "diagnosis": diagnosis,
            "sample": sample,
            **spread(part["volume_ml"]),
        }
        for method, by_method in own.groupby("method", sort=False)
        for diagnosis, part in by_diagnosis(by_method)
    ]
