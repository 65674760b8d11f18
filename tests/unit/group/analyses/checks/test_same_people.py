"""Methods on the same people: who is in the common sample, and whether associations differ."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.people import make_cohort, two_visits
from tests.unit.group.models_of import pick, rows_of
from thalbids.bids.tabular.tables import write
from thalbids.group.analyses.checks import same_people
from thalbids.group.analyses.clinical import crosssectional
from thalbids.group.modelling import samples
from thalbids.reports.group.group_data import Tables
from thalbids.settings import Group, Settings

METHODS = ("first", "synthalT1w", "dbsegment")


def cohort_of(n: int = 60, without: int = 8, **group: Any) -> tuple[Any, list[str]]:
    """The first people lack a volume of FIRST at the baseline; gives the cohort and the others."""
    visits, volumes = two_visits(n, methods=METHODS)
    for row in volumes:
        if row["method"] == "first" and row["session_id"] == "ses-1" and int(row["participant_id"][4:]) < without:
            row |= {"status": "failed", "reason": "no head"}
    settings = Settings(group=Group(bootstrap=200, **group))
    return make_cohort(visits, volumes, settings=settings), [f"sub-{i:03d}" for i in range(without, n)]


def test_the_common_sample_has_those_whom_every_method_has() -> None:
    cohort, everybody = cohort_of()
    assert len(samples.baseline(cohort).table) == 60
    common = samples.baseline(cohort, "common")
    assert list(common.table["participant_id"]) == everybody
    z = common.table["icv_z"].to_numpy()
    assert (z.mean(), z.std(ddof=1)) == pytest.approx((0, 1))  # standardised over these people
    assert list(samples.pairs(cohort, which="common").table["participant_id"]) == everybody
    asked, _ = cohort_of(sample="common")
    rows = rows_of(asked, crosssectional, "group_crosssectional")
    assert {row["n"] for row in rows if row["subset"] == "all"} == {52}
    two, _ = cohort_of(sample="common", sample_methods=("synthalT1w", "dbsegment"))
    assert len(samples.baseline(two).table) == 60


def test_the_models_on_the_other_sample_stand_beside() -> None:
    cohort, _ = cohort_of()
    beside = rows_of(cohort, same_people, "group_samples")
    asked, _ = cohort_of(sample="common")
    main = rows_of(asked, crosssectional, "group_crosssectional")
    key = {"outcome": "sdmt", "method": "dbsegment", "subset": "all", "term": "volume_ml"}
    found = pick(beside, analysis="crosssectional", **key)
    assert found["sample"] == "common" and found["n"] == 52
    for name in ("estimate", "p", "p_fdr", "n"):
        assert found[name] == pytest.approx(pick(main, **key)[name], rel=1e-9)
    (note,) = [note for note in same_people.tables(cohort)[0].notes if note.startswith("crosssectional")]
    assert note.startswith("crosssectional: 52 of 60 people have all of 3 methods; the models on the common sample")
    available = pick(rows_of(asked, same_people, "group_samples"), analysis="crosssectional", **key)
    assert (available["sample"], available["n"]) == ("available", 60)
    complete, _ = cohort_of(without=0)
    assert not rows_of(complete, same_people, "group_samples")


def test_associations_are_compared_on_the_common_sample() -> None:
    import pingouin

    cohort, _ = cohort_of()
    rows = rows_of(cohort, same_people, "group_associations")
    own = [row for row in rows if row["analysis"] == "crosssectional" and row["subset"] == "all"]
    assert len(own) == 5 * 3 * 3 and {row["n"] for row in own} == {52}
    assert {row["formula"] for row in own if row["outcome"] == "nhpt"} == {"log(nhpt) ~ volume_ml + age + sex + icv_z"}
    row = pick(own, outcome="sdmt", method="first", method2="dbsegment", quantity="partial_r")
    sample = samples.baseline(cohort, "common")
    frame = sample.table[["age", "sex", "icv_z", "sdmt"]].astype(float)
    for name, key in (("first", "estimate"), ("dbsegment", "estimate2")):
        frame[name] = sample.volumes["total"][name].to_numpy()
        expected = pingouin.partial_corr(frame, name, "sdmt", ["age", "sex", "icv_z"])["r"].iloc[0]
        assert row[key] == pytest.approx(expected, abs=1e-9)
    from scipy import stats

    family = [r["p"] for r in own if r["quantity"] == "r2"]
    adjusted = stats.false_discovery_control(family)
    np.testing.assert_allclose([r["p_fdr"] for r in own if r["quantity"] == "r2"], adjusted)


def test_a_better_method_is_named() -> None:
    rng = np.random.default_rng(4)
    truth = rng.normal(10, 1, 150)
    visits = [
        {"participant_id": f"sub-{i:03d}", "session_id": "ses-1", "age": float(rng.normal(40, 8)),
         "female": float(i % 2), "edss": float(8 - 0.5 * truth[i] + rng.normal(0, 0.3))}
        for i in range(150)
    ]  # fmt: skip
    noise = {"first": 1.5, "synthalT1w": 0.1}
    volumes = [
        {"participant_id": f"sub-{i:03d}", "session_id": "ses-1", "method": name, "icv_ml": 1400.0 + i % 9,
         "volume_ml": float(truth[i] + rng.normal(0, sd))}
        for i in range(150)
        for name, sd in noise.items()
    ]  # fmt: skip
    cohort = make_cohort(visits, volumes, settings=Settings(group=Group(outcomes=("edss",), bootstrap=300)))
    rows = [row for row in rows_of(cohort, same_people, "group_associations") if row["subset"] == "all"]
    rows = [row for row in rows if row["analysis"] == "crosssectional"]
    assert {row["stronger"] for row in rows} == {"synthalT1w"} and len(rows) == 3
    for row in rows:
        assert row["ci_low"] > 0 or row["ci_high"] < 0


def test_reasons_where_nothing_can_be_compared() -> None:
    visits, volumes = two_visits(6, methods=METHODS)
    cohort = make_cohort(visits, volumes, settings=Settings(group=Group(bootstrap=100)))
    rows = rows_of(cohort, same_people, "group_associations")
    assert rows and all(row["reason"] and math.isnan(row["p_fdr"]) for row in rows)
    one = make_cohort(*two_visits(20, methods=("first",)))
    assert not rows_of(one, same_people, "group_associations")
    assert isinstance(same_people.tables(one)[1].frame, pd.DataFrame)


def test_what_the_common_sample_lacks_is_not_said_of_everybody(tmp_path: Path) -> None:
    visits, volumes = two_visits(8, methods=("first", "synthalT1w"))
    for visit in visits:
        visit["edss"] = 2.0 if visit["participant_id"] == "sub-000" else math.nan
    volumes = [row for row in volumes if (row["participant_id"], row["method"]) != ("sub-000", "first")]
    cohort = make_cohort(visits, volumes, settings=Settings(group=Group(bootstrap=100)))
    made = {table.name: table for table in same_people.tables(cohort)}
    rows = made["group_associations"].frame.query("analysis == 'crosssectional' and outcome == 'edss'")
    assert set(rows["reason"]) == {"edss is missing for everybody in the sample"}
    for table in made.values():
        write(table, tmp_path)
    says = same_people.section(Tables(tmp_path)).says
    start = "Longitudinal associations could not be compared between methods, on the people who have all of them ("
    assert any(line.startswith(start) for line in says)
