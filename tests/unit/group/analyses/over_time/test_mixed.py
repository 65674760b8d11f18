"""The table of mixed models."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.people import make_cohort
from tests.unit.group.models_of import pick, rows_of
from tests.unit.group.statistics.test_sites import visits
from thalbids.group.analyses.over_time import mixed as analysis
from thalbids.group.analyses.over_time import mixed as mixed_analysis
from thalbids.group.statistics.fits import mixed


def cohort(people: int, visits: int, seed: int = 2, rate: float = -0.1) -> tuple[list, list]:
    rng = np.random.default_rng(seed)
    seen, volumes = [], []
    for i in range(people):
        person, base, slope = f"sub-{i:02d}", rng.normal(12, 1.3), rate + rng.normal(0, 0.1)
        age, female, icv = rng.normal(44, 10), float(i % 2), rng.normal(1400, 100)
        for order in range(visits):
            years = order * 1.0 + (rng.normal(0, 0.05) if order else 0)
            key = {"participant_id": person, "session_id": f"ses-{order + 1}"}
            seen.append(key | {"order": order, "years": years, "age": age + years, "female": female})
            volume = base + slope * years + rng.normal(0, 0.1)
            volumes.append(key | {"method": "synthalT1w", "volume_ml": volume, "icv_ml": icv})
    return seen, volumes


def test_table() -> None:
    rows = mixed_analysis.tables(make_cohort(*cohort(60, 4)))[0].frame.to_dict("records")
    for random in mixed.RANDOM:
        (row,) = [r for r in rows if r["term"] == "years" and r["random"] == random and r["subset"] == "all"]
        assert row["reason"] == "" and (row["n_participants"], row["n_three"], row["n"]) == (60, 60, 240)
        assert row["ci_low"] < -0.1 < row["ci_high"]
        assert row["percent"] == pytest.approx(-100 * 0.1 / 12, abs=0.4)
    assert row["sd_slope"] == pytest.approx(0.1, abs=0.04)
    assert row["sd_residual"] == pytest.approx(0.1, abs=0.02)
    assert row["sd_intercept"] == pytest.approx(1.3, abs=0.4)


def test_two_visits_are_too_few() -> None:
    rows = mixed_analysis.tables(make_cohort(*cohort(30, 2)))[0].frame
    assert rows["reason"].str.contains("three and more visits").all()
    assert rows["estimate"].isna().all()


def test_ledger_counts_sessions_without_a_date() -> None:
    visits, volumes = cohort(20, 3)
    visits[5] |= {"years": math.nan}
    (row,) = mixed_analysis.ledgers(make_cohort(visits, volumes))
    assert (row["n_total"], row["n_used"], row["lost_no_years"]) == (60, 59, 1)


def test_the_table_has_the_site_as_a_random_effect() -> None:
    d = visits(4)
    rows, volumes = [], []
    for i, person in enumerate(d["person"]):
        key = {"participant_id": f"sub-{person:02d}", "session_id": f"ses-{i % 3 + 1}"}
        rows.append({**key, "order": i % 3, "years": float(d["years"][i]), "age": float(d["age"][i]),
                     "female": float(person % 3 == 0), "site": "ABCDE"[d["site"][i]]})  # fmt: skip
        icv = 1400.0 + 10 * (person % 11)
        volumes.append({**key, "method": "first", "volume_ml": float(d["y"][i]), "icv_ml": icv})
    own = pick(
        rows_of(make_cohort(rows, volumes), analysis, "group_mixed"), subset="all", random="intercept", term="years"
    )
    assert own["formula"] == "volume_ml ~ years + age + sex + icv_z + (1 | site)"
    assert own["sd_site"] > 0.3 and own["estimate"] == pytest.approx(-0.1, abs=4 * own["se"])
    one = make_cohort([row | {"site": "A"} for row in rows], volumes)
    without = pick(rows_of(one, analysis, "group_mixed"), subset="all", random="intercept", term="years")
    assert math.isnan(without["sd_site"]) and without["formula"].endswith("+ icv_z")
