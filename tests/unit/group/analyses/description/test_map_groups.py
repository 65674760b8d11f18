"""Diagnosis groups compared by a map: against a model of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm

from tests.people import make_cohort
from tests.unit.group.map_people import with_maps
from thalbids.group.analyses.description import map_groups


def test_the_difference_is_that_of_the_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    n = 40
    patient, age, female = np.arange(n) % 2, rng.uniform(25, 60, n), rng.integers(0, 2, n)
    r1 = 0.8 - 0.03 * patient - 0.001 * (age - 40) + rng.normal(0, 0.02, n)
    visits = [
        {"participant_id": f"sub-{i:02d}", "session_id": "ses-1", "order": 0, "years": 0.0, "age": age[i],
         "female": float(female[i]), "diagnosis": ("HC", "RRMS")[patient[i]]}
        for i in range(n)
    ]  # fmt: skip
    told, missing = map_groups.tables(with_maps(tmp_path, visits, {"synthalT1w": r1, "first": r1 + 0.05}))
    model = sm.OLS(r1, np.column_stack([np.ones(n), patient, age, 1 - female])).fit()
    rows = told.frame.set_index(["map", "method", "group"])
    for method, shift in (("synthalT1w", 0.0), ("first", 0.05)):
        own = rows.loc[("R1map", method, "RRMS")]
        assert own["difference"] == pytest.approx(model.params[1]) and own["p"] == pytest.approx(model.pvalues[1])
        mean = model.params @ [1, 0, age.mean(), 1 - female.mean()]
        assert own["adjusted_mean_reference"] == pytest.approx(mean + shift)
        assert own["adjusted_for"] == "age sex"  # no intracranial volume
    assert set(missing.frame["analysis"]) == {"diagnosis_contrasts_R1map"} and (missing.frame["n_used"] == n).all()
    assert "Units" not in told.columns["difference"] and "mL" not in str(told.columns)


def test_without_maps_there_is_nothing() -> None:
    visit = {"participant_id": "sub-01", "session_id": "ses-1"}
    cohort = make_cohort([visit], [visit | {"method": "first", "volume_ml": 12.0}])
    assert all(one.frame.empty for one in map_groups.tables(cohort))
