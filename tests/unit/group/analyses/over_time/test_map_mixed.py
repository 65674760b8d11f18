"""Mixed models of a map over visits: against statsmodels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm

from tests.people import make_cohort
from tests.unit.group.map_people import with_maps
from thalbids.group.analyses.over_time import map_mixed


def test_the_change_per_year_is_that_of_statsmodels(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    people, visits = 25, 3
    person = np.repeat(np.arange(people), visits)
    years = np.tile(np.arange(visits, dtype=float), people)
    age, female = np.repeat(rng.uniform(25, 60, people), visits), np.repeat(np.arange(people) % 2, visits)
    r1 = 0.8 + np.repeat(rng.normal(0, 0.04, people), visits) - 0.006 * years + rng.normal(0, 0.01, len(person))
    seen = [
        {"participant_id": f"sub-{p:02d}", "session_id": f"ses-{int(y) + 1}", "order": int(y), "years": y,
         "age": a + y, "female": float(f)}
        for p, y, a, f in zip(person, years, age, female, strict=True)
    ]  # fmt: skip
    told, missing = map_mixed.tables(with_maps(tmp_path, seen, {"synthalT1w": r1}))
    design = np.column_stack([years, age, 1 - female, np.ones(len(person))])
    model = sm.MixedLM(r1, design, groups=person).fit(reml=True, method="lbfgs")
    rows = told.frame[(told.frame["subset"] == "all") & (told.frame["random"] == "intercept")].set_index("term")
    own = rows.loc["years"]
    assert own["map"] == "R1map" and own["formula"] == "R1map ~ years + age + sex"
    assert own["estimate"] == pytest.approx(model.params[0], rel=1e-4)
    assert own["se"] == pytest.approx(model.bse[0], rel=1e-3)
    assert own["percent"] == pytest.approx(100 * own["estimate"] / r1.mean())
    assert missing.frame["n_used"].tolist() == [people * visits]
    assert set(missing.frame["analysis"]) == {"mixed_R1map"} and "mL" not in str(told.columns)


def test_without_maps_there_is_nothing() -> None:
    visit = {"participant_id": "sub-01", "session_id": "ses-1"}
    cohort = make_cohort([visit], [visit | {"method": "first", "volume_ml": 12.0}])
    assert all(one.frame.empty for one in map_mixed.tables(cohort))
