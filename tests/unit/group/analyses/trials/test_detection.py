"""Which measure detects most: numbers by hand, ranks that a simulation must find, and the same people for all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.people import make_cohort, two_visits
from tests.unit.group.analyses.test_model_tables import one
from thalbids.bids.results.derivatives import CHANGES
from thalbids.bids.tabular.tables import table, write
from thalbids.group.analyses.over_time import change
from thalbids.group.analyses.trials import detection
from thalbids.group.intake.reading import frame_of
from thalbids.reports.group.group_data import Tables

D = detection.DIFFERENCE


def test_the_steadier_of_two_measures_is_first() -> None:
    """By simulation: one loss, measured with noise of .5 and of 2 %."""
    rng = np.random.default_rng(5)
    true = rng.normal(-1.0, 0.3, 60)
    rates = {("noisy", D): true + rng.normal(0, 2.0, 60), ("steady", D): true + rng.normal(0, 0.5, 60)}
    first, second = detection.ranked(rates, seed=1, draws=400)
    assert (first["method"], first["rank"], first["behind"]) == ("steady", 1.0, 0.0)
    assert first["srm"] == pytest.approx(np.mean(rates["steady", D]) / np.std(rates["steady", D], ddof=1))
    assert second["behind"] == pytest.approx(second["srm"] - first["srm"])
    assert second["behind_ci_low"] > 0
    assert first["share_first"] > 0.99
    assert first["share_first"] + second["share_first"] == pytest.approx(1.0)
    assert first["n_per_arm"] < second["n_per_arm"]


def test_measures_that_are_alike_share_the_first_place() -> None:
    rng = np.random.default_rng(6)
    true = rng.normal(-1.0, 0.3, 60)
    rates = {(name, D): true + rng.normal(0, 0.5, 60) for name in ("a", "b")}
    _, second = detection.ranked(rates, seed=1, draws=400)
    assert second["behind_ci_low"] < 0 < second["behind_ci_high"]


def test_too_few_people_have_no_rank() -> None:
    (row,) = detection.ranked({("a", D): np.array([-1.0, -2.0])}, seed=1, draws=10)
    assert "rank" not in row
    assert "at least" in row["reason"]


def test_a_cohort_counts_the_same_people_for_every_measure() -> None:
    visits, volumes = two_visits(30)
    gone = {v["participant_id"] for v in visits if int(v["participant_id"][4:]) in (20, 21)}
    for row in volumes:
        if row["participant_id"] in gone and row["method"] == "first":
            row |= {"status": "failed", "volume_ml": np.nan}  # costs the people of every measure
    visits = [v | {"diagnosis": "HC" if int(v["participant_id"][4:]) < 10 else "RRMS"} for v in visits]
    pbvc = [
        {"participant_id": v["participant_id"], "session_id_baseline": "ses-1", "session_id_followup": "ses-2",
         "pbvc": -0.3 - 0.02 * int(v["participant_id"][4:]), "source": "siena", "status": "ok", "reason": ""}
        for v in visits if v["order"] == 1
    ]  # fmt: skip
    changes = [{**row, "method": "first", "measure": "registration", "delta_percent": -1.0} for row in pbvc]
    words = ("measure", "comparable", "flags", "remark")
    cohort = replace(make_cohort(visits, volumes, pbvc=pbvc), changes=frame_of(changes, CHANGES, words))
    rows = detection.tables(cohort)[0].frame.to_dict("records")
    assert {row["population"] for row in rows} == {"patients", "RRMS"}
    assert {row["n"] for row in rows} == {18}
    own = [
        v["years"] for v in visits if v["order"] == 1 and v["diagnosis"] == "RRMS" and v["participant_id"] not in gone
    ]
    whole = one(rows, method="siena", population="RRMS")
    years = {v["participant_id"]: v["years"] for v in visits if v["order"] == 1}
    rate = [row["pbvc"] / years[row["participant_id"]] for row in pbvc
            if int(row["participant_id"][4:]) >= 10 and row["participant_id"] not in gone]  # fmt: skip
    assert whole["measure"] == "pbvc"
    assert whole["srm"] == pytest.approx(np.mean(rate) / np.std(rate, ddof=1))
    controls = [row["pbvc"] for row in pbvc if int(row["participant_id"][4:]) < 10]
    assert whole["smallest_change"] == pytest.approx(1.96 * np.std(controls, ddof=1))
    registered = one(rows, method="first", measure="registration", population="RRMS")
    assert registered["srm"] == pytest.approx(-np.mean(1 / np.array(own)) / np.std(1 / np.array(own), ddof=1))
    assert sorted(row["rank"] for row in rows if row["population"] == "RRMS") == list(range(1, 1 + len(rows) // 2))


def test_the_page_says_which_measure_detects_most(tmp_path: Path) -> None:
    """Two measures of one loss that are equally steady, and a noisy one."""
    rng = np.random.default_rng(6)
    true = rng.normal(-1.0, 0.3, 60)
    rates = {
        (name, D): true + rng.normal(0, sd, 60) for name, sd in (("first", 0.5), ("dbsegment", 0.5), ("siena", 3.0))
    }
    rows = [{"population": "patients", "sessions": "1:3", **row} for row in detection.ranked(rates, 1, 400)]
    others = detection.ranked({("synthalT1w", D): true * 10}, 1, 400)  # of another pair: no part of the sentence
    rows += [{"population": "patients", "sessions": "1:2", **row} for row in others]
    write(table("group_detection", rows, detection.DETECTION), tmp_path)
    (text,) = change.detecting_most(Tables(tmp_path))
    assert text.startswith("On the same 60 patients ")
    assert text.endswith("(1:3; group_detection.tsv).")
    assert "1 of 2 other measures cannot be told from it" in text
    assert change.detecting_most(Tables(tmp_path / "nothing")) == []
