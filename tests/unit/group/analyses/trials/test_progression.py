"""Progression of a cohort: known people, shares, and an effect that comes back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.people import make_cohort
from thalbids.group.analyses.trials import progression


def cohort_of(n: int = 120, visits_each: int = 3) -> Any:
    """Who has a small thalamus progresses; the second visit of sub-001 has no MRI and no volume."""
    rng = np.random.default_rng(8)
    visits, volumes = [], []
    for i in range(n):
        volume, icv, age = rng.normal(12, 1.5), rng.normal(1450, 90), rng.normal(40, 9)
        worse = rng.uniform() < 1 / (1 + np.exp(1.2 * (volume - 11.5)))
        for order in range(visits_each):
            key = {"participant_id": f"sub-{i:03d}", "session_id": f"ses-{order + 1}"}
            visits.append(
                key | {"order": order, "years": 1.02 * order + 0.01 * i * (order > 0), "age": age + order,
                       "female": float(i % 2), "edss": 2.0 + 1.0 * (worse and order > 0),
                       "steroid": float(rng.uniform() < 0.3), "diagnosis": "RRMS" if i % 4 else "PMS"}
            )  # fmt: skip
            if not (i == 1 and order == 1):
                volumes.append(
                    key | {"method": "first", "volume_ml": volume - 0.1 * order * rng.normal(), "icv_ml": icv}
                )
    return make_cohort(visits, volumes)


def test_people_shares_and_the_effect() -> None:
    cohort = cohort_of()
    people, short, models = (table.frame for table in progression.tables(cohort))
    later = cohort.visits.groupby("participant_id")["edss"].max() > 2
    assert (people.set_index("participant_id")["progression"] == later.astype(float)).all()
    assert (people["confirmed"] == people["progression"]).all()
    one = people[people["progression"] == 1].iloc[0]
    assert (one["session_id_progression"], one["session_id_confirmation"], one["step"]) == ("ses-2", "ses-3", 1.0)
    assert people.set_index("participant_id").loc["sub-001"]["n_visits"] == 2  # a visit without MRI counts
    row = short[(short["diagnosis"] == "all") & (short["outcome"] == "confirmed")].iloc[0]
    bounds = stats.binomtest(int(later.sum()), 120).proportion_ci(method="wilson")
    assert (row["share"], row["ci_low"]) == pytest.approx((later.mean(), bounds.low))
    effect = models[(models["term"] == "volume_ml") & (models["subset"] == "all")].set_index("outcome")
    assert abs(effect.loc["progression"]["estimate"] + 1.2) < 3 * effect.loc["progression"]["se"]
    assert effect.loc["progression"]["p_fdr"] < 0.001 and set(models["predictor"]) == {"volume_ml", "delta_volume_ml"}


def test_two_visits_confirm_nothing() -> None:
    people, short, models = (table.frame for table in progression.tables(cohort_of(30, 2)))
    assert people["confirmed"].isna().all() and people["reason"].str.contains("nothing can be confirmed").all()
    assert short[short["outcome"] == "confirmed"]["n"].eq(0).all()
    assert models[models["outcome"] == "confirmed"]["reason"].ne("").all()
