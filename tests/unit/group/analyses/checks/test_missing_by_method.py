"""Kept against lost: tests by scipy and published examples, a method that fails in the most atrophied is named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.people import make_cohort, two_visits
from tests.unit.group.models_of import pick, rows_of
from thalbids.group.analyses.checks import missing_by_method
from thalbids.group.statistics.testing import lost

METHODS = ("first", "synthalT1w", "dbsegment")


def test_numbers_by_welch_and_hedges() -> None:
    import pingouin

    rng = np.random.default_rng(2)
    values = np.r_[rng.normal(0, 1, 40), rng.normal(1, 2, 15), np.nan]
    gone = np.r_[np.zeros(40, bool), np.ones(16, bool)]
    found = lost.compare(values, gone)
    test = stats.ttest_ind(values[:40], values[40:55], equal_var=False)
    interval = test.confidence_interval(0.95)
    assert (found.n_kept, found.n_lost) == (40, 15)
    assert (found.p, found.ci_low, found.ci_high) == pytest.approx((test.pvalue, interval.low, interval.high), rel=1e-9)
    expected = pingouin.compute_effsize(values[:40], values[40:55], eftype="hedges")
    assert found.smd == pytest.approx(expected, rel=1e-9)


def test_shares_by_fisher_and_newcombe() -> None:
    values = np.r_[np.ones(56), np.zeros(14), np.ones(48), np.zeros(32)]  # Newcombe 1998, table II, example a
    found = lost.compare(values, np.arange(150) >= 70, binary=True)
    assert found.difference == pytest.approx(0.2)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.p == pytest.approx(stats.fisher_exact([[56, 14], [48, 32]]).pvalue)
    assert "at least 2" in lost.compare(values, np.arange(150) < 1, binary=True).reason
    assert "do not vary" in lost.compare(np.ones(10), np.arange(10) < 4).reason


def cohort_of(n: int, seed: int, fails: Any) -> Any:
    """Two visits; ``fails`` says from the true size in SD and a random number whether FIRST fails at the baseline."""
    visits, volumes = two_visits(n, seed, METHODS)
    own = [v for v in volumes if v["session_id"] == "ses-1"]
    size = {v["participant_id"]: v["volume_ml"] for v in own if v["method"] == "synthalT1w"}
    mean, sd = np.mean(list(size.values())), np.std(list(size.values()))
    rng = np.random.default_rng(seed)
    for row in own:
        if row["method"] == "first" and fails((size[row["participant_id"]] - mean) / sd, rng.uniform()):
            row |= {"status": "failed", "reason": "no head"}
    return make_cohort(visits, volumes)


def test_a_method_that_fails_in_the_most_atrophied_is_named() -> None:
    cohort = cohort_of(120, 1, lambda z, u: z < -0.84 and u < 0.8)
    rows = rows_of(cohort, missing_by_method, "group_missing_tests")
    assert {row["method"] for row in rows} == {"first"}  # the others lack nobody
    row = pick(rows, analysis="crosssectional", lost="any", variable="smallest_fifth")
    assert row["lost_mean"] > 0.7 and row["kept"] < 0.15 and row["p_fdr"] < 0.001
    size = pick(rows, analysis="crosssectional", lost="any", variable="thalamus_z")
    sample = missing_by_method.size_by_others(
        cohort.usable[cohort.usable["session_id"] == "ses-1"].pivot(
            index="participant_id", columns="method", values="volume_ml"
        ),
        "first",
    )
    assert size["difference"] > 1 and size["n_kept"] + size["n_lost"] == 120 == sample.size
    assert abs(np.mean(sample)) < 1e-12
    notes = missing_by_method.tables(cohort)[0].notes
    assert any("first lacks more often in the fifth with the smallest thalami" in note for note in notes)
    assert any(f"{size['difference']:.2f} SD" in note for note in notes)


def test_random_failure_is_named_at_its_level() -> None:
    """Failure of a fifth by chance: one of two tests names the method in about 5 % of the cohorts, not more."""
    hits = 0
    for seed in range(40):
        cohort = cohort_of(60, seed, lambda z, u: u < 0.2)
        rows = [
            r for r in rows_of(cohort, missing_by_method, "group_missing_tests") if r["analysis"] == "crosssectional"
        ]
        hits += pick(rows, lost="any", variable="thalamus_z")["p"] < 0.05
    assert hits <= 7  # binomial(40, 0.05): above in 0.3 % of the times; the seeds are fixed


def test_one_method_or_nobody_lost() -> None:
    visits, volumes = two_visits(20, methods=("first",))
    assert not rows_of(make_cohort(visits, volumes), missing_by_method, "group_missing_tests")
    volumes[0] |= {"status": "failed"}
    rows = rows_of(make_cohort(visits, volumes), missing_by_method, "group_missing_tests")
    assert "thalamus_z" not in {row["variable"] for row in rows}  # no other method tells the size
    assert all(row["reason"] and math.isnan(row["p"]) for row in rows)
