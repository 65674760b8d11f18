"""Kept against lost: tests by scipy and published examples, a method that fails in the most atrophied is named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from tests.people import make_cohort, two_visits
from tests.unit.group.models_of import pick, rows_of
from thalbids.bids.tabular.tables import write
from thalbids.group.analyses.checks import missing_by_method, same_people
from thalbids.reports.group.group_data import Tables

METHODS = ("first", "synthalT1w", "dbsegment")


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


def test_a_method_that_fails_in_the_most_atrophied_is_named(tmp_path: Path) -> None:
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
    write(missing_by_method.tables(cohort)[0], tmp_path)
    first, second, *_ = same_people.section(Tables(tmp_path)).warnings
    assert "Cross-sectional: those whom FSL FIRST lacks have smaller thalami by the other methods" in first
    assert "Cross-sectional: FSL FIRST lacks more often in the fifth with the smallest thalami" in second


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
