"""Repeated scans of one visit: the pooled standard deviation by hand, for whole, left and right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.people import make_cohort, two_visits
from thalbids.group.analyses.trials import retest

PAIRS = {"sub-01": (10.0, 10.2), "sub-02": (12.0, 11.9), "sub-03": (9.0, 9.3)}


def repeats() -> pd.DataFrame:
    rows = [
        {"participant_id": person, "session_id": "ses-1", "entities": f"run-{run}", "method": "first",
         "volume_ml": volume,
         "volume_left_ml": volume / 2, "volume_right_ml": volume / 2, "status": "ok", "reason": ""}
        for person, volumes in PAIRS.items() for run, volume in enumerate(volumes, start=1)
    ]  # fmt: skip
    failed = rows[0] | {"entities": "run-3", "volume_ml": 50.0, "status": "failed", "reason": "cut"}
    return pd.DataFrame([*rows, failed])


def test_the_standard_error_of_measurement_by_hand() -> None:
    cohort = replace(make_cohort(*two_visits(3)), repeats=repeats())
    found, scans = (table.frame for table in retest.tables(cohort))
    row = found[(found["measure"] == "total") & (found["quantity"] == "sem")].iloc[0]
    differences = np.array([b - a for a, b in PAIRS.values()])
    assert row["estimate"] == pytest.approx(np.sqrt((differences**2).mean() / 2))
    assert (row["n"], row["n_scans"]) == (3, 6)  # the failed scan is in no number
    left = found[(found["measure"] == "left") & (found["quantity"] == "sem")].iloc[0]
    assert left["estimate"] == pytest.approx(row["estimate"] / 2)
    assert len(scans) == 7 and scans.iloc[-1]["reason"] == "cut"


def test_nobody_scanned_twice_gives_no_rows() -> None:
    cohort = make_cohort(*two_visits(3))
    empty = replace(cohort, repeats=repeats()[:0])
    assert all(table.frame.empty for table in retest.tables(empty))
