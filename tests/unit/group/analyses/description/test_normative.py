"""Norms by the normal equations and by leaving out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.people import make_cohort
from thalbids.group.analyses.description import normative


def people(controls: int, patients: int, seed: int = 0, **change: Any) -> Any:
    rng = np.random.default_rng(seed)
    visits, volumes = [], []
    for i in range(controls + patients):
        key = {"participant_id": f"sub-{i:03d}", "session_id": "ses-1"}
        age, female, icv = rng.uniform(25, 65), float(i % 2), rng.normal(1400, 100)
        volume = 12 - 0.04 * (age - 44) - 0.3 * female + 0.004 * (icv - 1400) + rng.normal(0, 0.8)
        volume -= 1.6 * (i >= controls)
        visits.append(key | {"age": age, "female": female, "diagnosis": "HC" if i < controls else "RRMS"} | change)
        volumes.append(key | {"method": "first", "volume_ml": volume, "icv_ml": icv})
    return make_cohort(visits, volumes)


def test_z_scores_by_the_normal_equations_and_by_leaving_out() -> None:
    cohort = people(30, 10)
    rows = normative.tables(cohort)[0].frame.set_index("participant_id")
    v, m = cohort.visits, cohort.volumes
    X = np.column_stack([v["age"], 1 - v["female"], m["icv_ml"], np.ones(40)])
    y = m["volume_ml"].to_numpy()
    for i in (0, 17, 33):
        used = np.array([k < 30 and k != i for k in range(40)])
        bread = np.linalg.inv(X[used].T @ X[used])
        b = bread @ X[used].T @ y[used]
        s = math.sqrt(((y[used] - X[used] @ b) ** 2).sum() / (used.sum() - 4))
        spread = s * math.sqrt(1 + X[i] @ bread @ X[i])
        row = rows.loc[f"sub-{i:03d}"]
        assert row["z"] == pytest.approx((y[i] - X[i] @ b) / spread, rel=1e-6)
        assert row["percentile"] == pytest.approx(100 * stats.t.cdf(row["z"], used.sum() - 4))


def test_controls_z_is_the_externally_studentised_residual() -> None:
    import statsmodels.api as sm

    cohort = people(25, 3)
    X = np.column_stack([cohort.visits["age"], 1 - cohort.visits["female"], cohort.volumes["icv_ml"], np.ones(28)])[:25]
    expected = sm.OLS(cohort.volumes["volume_ml"].to_numpy()[:25], X).fit().get_influence().resid_studentized_external
    np.testing.assert_allclose(normative.tables(cohort)[0].frame["z"][:25], expected, rtol=1e-6)


def test_percentiles_of_new_controls_are_uniform() -> None:
    found = np.concatenate([normative.tables(people(15, 0, seed))[0].frame["percentile"] for seed in range(40)])
    assert stats.kstest(found / 100, "uniform").pvalue > 0.001


@pytest.mark.parametrize(
    ("cohort", "word"),
    [
        (people(0, 12), "value: 0,"),
        (people(8, 12), "value: 8,"),
    ],
)
def test_no_norm(cohort: Any, word: str) -> None:
    rows = normative.tables(cohort)[0].frame
    assert len(rows) and rows["reason"].str.contains(word).all() and rows["z"].isna().all()


def test_a_covariate_that_nobody_has_is_named() -> None:
    cohort = people(20, 5)
    cohort.volumes["icv_ml"] = np.nan
    table, _ = normative.tables(cohort)
    assert set(table.frame["adjusted_for"]) == {"age sex"} and table.frame["z"].notna().all()
    assert "icv_ml" in table.notes[0]


def test_outside_the_controls_is_said() -> None:
    cohort = people(20, 5)
    cohort.visits.loc[22, "age"] = 90.0
    cohort.visits.loc[23, "age"] = np.nan
    rows = normative.tables(cohort)[0].frame
    assert "range of age" in rows["reason"][22] and np.isfinite(rows["z"][22])
    assert rows["reason"][23] == "no age" and np.isnan(rows["z"][23])


def test_a_cohort_of_women_has_norms_without_sex() -> None:
    table, _ = normative.tables(people(20, 5, female=1.0))
    assert set(table.frame["adjusted_for"]) == {"age icv_ml"} and table.frame["z"].notna().all()
    assert "sex" in table.notes[0]


def test_men_have_no_norm_where_all_controls_are_women() -> None:
    cohort = people(20, 10)
    cohort.visits.loc[:19, "female"] = 1.0
    rows = normative.tables(cohort)[0].frame
    men = (cohort.visits["female"] == 0).to_numpy()
    assert men.any() and rows["z"][men].isna().all() and rows["z"][~men].notna().all()
    assert set(rows["reason"][men]) == {"controls: sex does not vary"}


def test_a_scanner_that_adds_a_quarter_moves_no_z() -> None:
    """Each site's volumes are compared with its own controls; a site without controls has no norm, and says so."""
    plain = people(40, 20, 3)
    moved = people(40, 20, 3)
    for cohort in (plain, moved):
        cohort.visits["site"] = np.resize(np.array(["A", "A", "B", "B"], dtype=object), len(cohort.visits))
        cohort.visits.loc[59, "site"] = "C"
    second = (moved.visits["site"] == "B").to_numpy()
    moved.volumes.loc[second, "volume_ml"] += 3.0
    one, two = (normative.tables(cohort)[0].frame for cohort in (plain, moved))
    np.testing.assert_allclose(one["z"].astype(float), two["z"].astype(float), rtol=1e-8)
    assert set(one["adjusted_for"]) == {"age sex icv_ml site"}
    assert one["reason"][59] == "fewer than 5 controls of this site" and np.isnan(one["z"][59])
    assert one["z"][:59].notna().all()
