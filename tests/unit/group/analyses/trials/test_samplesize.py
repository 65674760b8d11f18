"""Sample size takes the change of the cohort."""

from __future__ import annotations

import numpy as np
import pytest

from tests.people import make_cohort, two_visits
from tests.unit.group.analyses.test_model_tables import one
from thalbids.group.analyses.over_time import detectable
from thalbids.group.analyses.trials import samplesize


def test_detectable_and_sample_size_take_the_change_of_the_cohort() -> None:
    visits, volumes = two_visits(40)
    visits = [v | {"diagnosis": "HC" if int(v["participant_id"][4:]) < 12 else "RRMS"} for v in visits]
    cohort = make_cohort(visits, volumes)
    volume = {(v["participant_id"], v["session_id"]): v["volume_ml"] for v in volumes if v["method"] == "first"}
    years = {v["participant_id"]: v["years"] for v in visits if v["order"] == 1}
    change = {p: volume[p, "ses-2"] - volume[p, "ses-1"] for p in sorted(years)}
    controls = [change[p] for p in change if int(p[4:]) < 12]
    row = one(detectable.tables(cohort)[0].frame.to_dict("records"), method="first", unit="ml", diagnosis="all")
    assert row["smallest_change"] == pytest.approx(1.96 * np.std(controls, ddof=1))
    assert row["n_loss"] == sum(c < -row["smallest_change"] for c in change.values())
    rate = [100 * change[p] / volume[p, "ses-1"] / years[p] for p in change if int(p[4:]) >= 12]
    found = [r for r in samplesize.tables(cohort)[0].frame.to_dict("records") if r["method"] == "first"]
    assert [r["mean"] for r in found] == [pytest.approx(np.mean(rate))] * len(found)
    assert {r["n_patients"] for r in found} == {28} and {r["relative_to"] for r in found} == {"no change", "controls"}
    assert all(np.isfinite(r["n_per_arm"]) or r["reason"] for r in found)
    answers = samplesize.tables(cohort)[1].frame.to_dict("records")
    row = one(answers, method="first", population="patients")
    assert row["srm"] == pytest.approx(np.mean(rate) / np.std(rate, ddof=1))
    assert {r["population"] for r in answers} == {"patients", "HC", "RRMS"}
