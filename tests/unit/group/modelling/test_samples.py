"""Rows are joined by keys, and rounding is no change."""

from __future__ import annotations

import math

import numpy as np

from tests.people import make_cohort, two_visits
from tests.unit.group.models_of import rows_of
from thalbids.group.analyses.clinical import crosssectional, longitudinal, sides


def test_rows_are_joined_by_keys() -> None:
    visits, volumes = two_visits(40)
    rng = np.random.default_rng(5)
    mixed = [visits[i] for i in rng.permutation(len(visits))], [volumes[i] for i in rng.permutation(len(volumes))]
    for module, name in ((crosssectional, "group_crosssectional"), (longitudinal, "group_longitudinal")):
        a, b = (
            {
                tuple(str(row[k]) for k in ("outcome", "method", "subset", "sensitivity", "term")): row
                for row in rows_of(c, module, name)
            }
            for c in (make_cohort(visits, volumes), make_cohort(*mixed))
        )
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_allclose(a[key]["estimate"], b[key]["estimate"], rtol=1e-7)


def test_change_that_is_rounding_noise_is_no_change() -> None:
    visits, volumes = two_visits(50)
    for row in volumes:
        row |= {"volume_left_ml": 0.505 * row["volume_ml"], "volume_right_ml": 0.495 * row["volume_ml"]}
    rows = rows_of(make_cohort(visits, volumes), sides, "group_sides")
    found = [row for row in rows if row["measure"] == "asymmetry"]
    assert found and all("does not vary" in row["reason"] and math.isnan(row["p"]) for row in found)
