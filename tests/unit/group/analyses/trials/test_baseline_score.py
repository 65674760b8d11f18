"""The score at follow-up given the baseline, by the normal equations, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest

from tests.people import make_cohort, two_visits
from tests.unit.group.models_of import normal_equations, pick, rows_of, table_of
from thalbids.group.analyses.trials import baseline_score
from thalbids.group.statistics.testing.correction import benjamini_hochberg


def test_by_the_normal_equations() -> None:
    visits, volumes = two_visits(50)
    cohort = make_cohort(visits, volumes)
    rows = rows_of(cohort, baseline_score, "group_baseline_adjusted")
    base, follow = (table_of(visits, volumes, "first", order) for order in (0, 1))
    icv = (base["icv"] - base["icv"].mean()) / base["icv"].std(ddof=1)
    change = follow["volume"] - base["volume"]
    covariates = [base["age"], 1 - base["female"], icv, follow["steroid"], follow["years"]]
    beta = normal_equations(follow["sdmt"], [change, base["sdmt"], *covariates])
    key = {"outcome": "sdmt_followup", "method": "first", "subset": "all"}
    assert pick(rows, **key, term="delta_volume_ml")["estimate"] == pytest.approx(beta[0])
    assert pick(rows, **key, term="baseline_score")["estimate"] == pytest.approx(beta[1])
    assert pick(rows, **(key | {"outcome": "edss_followup"}), term="age")["cov_type"] == "HC3"
    tested = [row for row in rows if row["term"] == "delta_volume_ml" and row["subset"] == "all"]
    assert len(tested) == 8  # 4 scores x 2 methods: one family
    np.testing.assert_allclose([row["p_fdr"] for row in tested], benjamini_hochberg([row["p"] for row in tested]))


def test_with_the_slope_of_the_baseline_at_one_it_is_the_change_score() -> None:
    """A follow-up that is the baseline plus an effect: slope 1, and the same coefficient as of the change."""
    visits, volumes = two_visits(60)
    first, last = (table_of(visits, volumes, "first", order) for order in (0, 1))
    people = sorted({v["participant_id"] for v in visits})
    change = dict(zip(people, last["volume"] - first["volume"], strict=True))
    start = {v["participant_id"]: v["sdmt"] for v in visits if v["order"] == 0}
    rng = np.random.default_rng(1)
    for visit in visits:
        if visit["order"]:
            person = visit["participant_id"]
            visit["sdmt"] = start[person] + 6 * change[person] + float(rng.normal(0, 0.3))
    rows = rows_of(make_cohort(visits, volumes), baseline_score, "group_baseline_adjusted")
    key = {"outcome": "sdmt_followup", "method": "first", "subset": "all"}
    assert pick(rows, **key, term="baseline_score")["estimate"] == pytest.approx(1, abs=0.05)
    row = pick(rows, **key, term="delta_volume_ml")
    assert abs(row["estimate"] - 6) < 3 * row["se"] and row["sign"] == "expected"
