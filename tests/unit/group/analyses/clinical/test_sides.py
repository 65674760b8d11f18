"""Left, right and asymmetry."""

from __future__ import annotations

import math

import pytest

from tests.people import make_cohort, two_visits
from tests.unit.group.models_of import normal_equations, pick, rows_of, table_of
from thalbids.group.analyses.clinical import sides


@pytest.mark.parametrize("people", [2, 40])
def test_sides_without_an_estimate_used_nobody(people: int) -> None:
    cohort = make_cohort(*two_visits(people))
    lost = rows_of(cohort, sides, "group_missing")
    assert {row["analysis"] for row in lost} > {"crosssectional_left", "longitudinal_asymmetry"}
    assert {row["n_used"] > 0 for row in lost if not row["analysis"].endswith("asymmetry")} == {people == 40}


def test_sides() -> None:
    visits, volumes = two_visits(50)
    for i, row in enumerate(volumes):
        left = row["volume_ml"] * (0.5 + 0.01 * math.sin(i))
        row |= {"volume_left_ml": left, "volume_right_ml": row["volume_ml"] - left}
    cohort = make_cohort(visits, volumes)
    rows = rows_of(cohort, sides, "group_sides")
    base = table_of(visits, [v | {"volume_ml": v["volume_left_ml"]} for v in volumes], "first", 0)
    z = (base["icv"] - base["icv"].mean()) / base["icv"].std(ddof=1)
    expected = normal_equations(base["sdmt"], [base["volume"], base["age"], 1 - base["female"], z])[0]
    found = pick(rows, analysis="crosssectional", measure="left", outcome="sdmt", method="first", term="volume_ml")
    assert found["estimate"] == pytest.approx(expected)
    assert {row["term"] for row in rows if row["measure"] == "asymmetry"} >= {"asymmetry", "delta_asymmetry"}
    assert {row["sign"] for row in rows if row["measure"] == "asymmetry"} == {""}
