"""Longitudinal models by the normal equations, clipping, and rates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.people import make_cohort, two_visits
from tests.unit.group.models_of import normal_equations, pick, rows_of, table_of
from thalbids.group.analyses.clinical import longitudinal


def test_longitudinal_coefficients_by_the_normal_equations() -> None:
    visits, volumes = two_visits(60)
    rows = rows_of(make_cohort(visits, volumes), longitudinal, "group_longitudinal")
    base, follow = (table_of(visits, volumes, "synthalT1w", order) for order in (0, 1))
    z = (base["icv"] - base["icv"].mean()) / base["icv"].std(ddof=1)
    change = follow["volume"] - base["volume"]
    other = [base["age"], 1 - base["female"], z, follow["steroid"], follow["years"]]
    terms = ("delta_volume_ml", "age", "sex", "icv_z", "steroid", "interval_years", "intercept")
    for outcome in ("edss", "t25fw", "nhpt", "sdmt"):
        y = follow[outcome] - base[outcome]  # raw seconds, no logarithm
        for sensitivity, (low, high) in {
            "none": (0, 1),
            "winsor_1_99": (0.01, 0.99),
            "winsor_5_95": (0.05, 0.95),
        }.items():
            x = np.clip(change, np.quantile(change, low), np.quantile(change, high))
            key = {"outcome": f"d_{outcome}", "method": "synthalT1w", "subset": "all", "sensitivity": sensitivity}
            found = [pick(rows, term=term, **key) for term in terms]
            np.testing.assert_allclose([row["estimate"] for row in found], normal_equations(y, [x, *other]), rtol=1e-7)
            assert {row["cov_type"] for row in found} == {"HC3" if outcome in ("edss", "nhpt") else "nonrobust"}


def test_winsorising_clips_before_deletion_and_does_not_count() -> None:
    from scipy.stats import mstats

    values = np.array([np.nan, *np.arange(10.0)])
    found = longitudinal.winsorise(values, 0.05, 0.95)
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], [0.45, 1, 2, 3, 4, 5, 6, 7, 8, 8.55])
    assert not np.allclose(found[1:], mstats.winsorize(values[1:], (0.05, 0.05)))  # that replaces 0 of 10 values
    assert np.isnan(longitudinal.winsorise(np.full(3, np.nan), 0.05, 0.95)).all()


def test_quantiles_of_the_clipping_include_rows_that_are_deleted_later() -> None:
    visits, volumes = two_visits(60)
    lost = {"sub-001", "sub-002"}
    for visit in visits:
        if visit["participant_id"] in lost and visit["order"] == 1:
            visit["edss"] = math.nan
    rows = rows_of(make_cohort(visits, volumes), longitudinal, "group_longitudinal")
    base, follow = (table_of(visits, volumes, "first", order) for order in (0, 1))
    change = follow["volume"] - base["volume"]
    x = np.clip(change, *np.quantile(change, [0.05, 0.95]))
    y = follow["edss"] - base["edss"]
    z = (base["icv"] - base["icv"].mean()) / base["icv"].std(ddof=1)
    kept = np.isfinite(y)
    columns = [x, base["age"], 1 - base["female"], z, follow["steroid"], follow["years"]]
    expected = normal_equations(y[kept], [c[kept] for c in columns])[0]
    found = pick(
        rows, outcome="d_edss", method="first", subset="all", sensitivity="winsor_5_95", term="delta_volume_ml"
    )
    assert found["estimate"] == pytest.approx(expected, rel=1e-7)
    assert found["n"] == 58


def test_rates_divide_both_changes_and_need_an_interval() -> None:
    visits, volumes = two_visits(40)
    for visit in visits:
        if visit["participant_id"] == "sub-003" and visit["order"]:
            visit["years"] = math.nan
    rows = rows_of(make_cohort(visits, volumes), longitudinal, "group_annualised")
    base, follow = (table_of(visits, volumes, "first", order) for order in (0, 1))
    years = follow["years"]
    kept = np.isfinite(years)
    z = (base["icv"] - base["icv"].mean()) / base["icv"].std(ddof=1)
    columns = [(follow["volume"] - base["volume"]) / years, base["age"], 1 - base["female"], z, follow["steroid"]]
    expected = normal_equations(((follow["sdmt"] - base["sdmt"]) / years)[kept], [c[kept] for c in columns])[0]
    found = pick(rows, outcome="d_sdmt", method="first", subset="all", term="delta_volume_ml_per_year")
    assert found["estimate"] == pytest.approx(expected) and found["n"] == 39
    assert "interval_years" not in {row["term"] for row in rows}
