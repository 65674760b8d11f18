"""The ordinal analysis: its rows for a change that the volume explains, and a reason where there is nothing to fit."""

from __future__ import annotations

import numpy as np

from tests.people import make_cohort, two_visits
from thalbids.group.analyses.clinical import ordinal


def test_every_method_has_its_rows_and_numbers() -> None:
    visits, volumes = two_visits(60)
    made = {table.name: table.frame for table in ordinal.tables(make_cohort(visits, volumes))}
    frame = made["group_ordinal"]
    assert set(frame["method"]) == {row["method"] for row in volumes}
    assert (np.isfinite(frame["estimate"]) | (frame["reason"] != "")).all()
    fitted = frame[np.isfinite(frame["estimate"])]
    assert len(fitted) and ((fitted["ci_low"] <= fitted["estimate"]) & (fitted["estimate"] <= fitted["ci_high"])).all()
    assert (fitted[["n_improved", "n_stable", "n_worse"]].sum(axis=1) == fitted["n"]).all()


def test_few_people_give_reasons_and_no_number() -> None:
    frame = {table.name: table.frame for table in ordinal.tables(make_cohort(*two_visits(3)))}["group_ordinal"]
    assert len(frame) and frame["estimate"].isna().all() and (frame["reason"] != "").all()
