"""Cross-sectional models by the normal equations; families, subsets, methods left out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.people import make_cohort, two_visits
from tests.unit.group.models_of import normal_equations, pick, rows_of, table_of
from thalbids.group.analyses.clinical import crosssectional, longitudinal
from thalbids.group.modelling import samples
from thalbids.reports.group.group_data import Tables
from thalbids.settings import Group, Settings


def test_crosssectional_coefficients_by_the_normal_equations() -> None:
    visits, volumes = two_visits(50)
    rows = rows_of(make_cohort(visits, volumes), crosssectional, "group_crosssectional")
    base = table_of(visits, volumes, "first", 0)
    icv_z = (base["icv"] - base["icv"].mean()) / base["icv"].std(ddof=1)
    for outcome in ("edss", "t25fw", "nhpt", "sdmt", "disease_duration"):
        y = np.log(base[outcome]) if outcome in ("t25fw", "nhpt") else base[outcome]
        expected = normal_equations(y, [base["volume"], base["age"], 1 - base["female"], icv_z])
        terms = ("volume_ml", "age", "sex", "icv_z", "intercept")
        found = [pick(rows, outcome=outcome, method="first", subset="all", term=term) for term in terms]
        np.testing.assert_allclose([row["estimate"] for row in found], expected, rtol=1e-8)
        assert {row["cov_type"] for row in found} == {"HC3" if outcome in ("edss", "disease_duration") else "nonrobust"}
        assert {row["transform"] for row in found} == {"log" if outcome in ("t25fw", "nhpt") else "none"}
        assert {row["n"] for row in found} == {50}


@pytest.mark.parametrize(("people", "word"), [(40, "icv_z does not vary"), (1, "too few rows: 1")])
def test_an_intracranial_volume_that_does_not_vary_is_not_called_missing(people: int, word: str) -> None:
    visits, volumes = two_visits(people)
    strict = Settings(group=Group(strict=True))
    cohort = make_cohort(visits, [row | {"icv_ml": 1400.0} for row in volumes], settings=strict)
    rows = rows_of(cohort, crosssectional, "group_crosssectional")
    row = pick(rows, outcome="sdmt", method="first", subset="all", term="volume_ml")
    assert word in row["reason"] and math.isnan(row["estimate"])
    lost = [row for row in rows_of(cohort, crosssectional, "group_missing") if row["subset"] == "all"]
    assert {row["lost_no_icv"] for row in lost} == {0}
    assert {(row["n_total"], row["n_used"], row["lost_model_not_fitted"]) for row in lost} == {(people, 0, people)}
    assert all(word in row["reason"] for row in lost)


def test_subset_is_a_family_of_its_own_and_the_volume_alone_is_corrected() -> None:
    visits, volumes = two_visits(60)
    rows = rows_of(make_cohort(visits, volumes), crosssectional, "group_crosssectional")
    for subset, n in (("all", 60), ("RRMS", 40)):
        own = [row for row in rows if row["subset"] == subset and row["term"] == "volume_ml"]
        assert len(own) == 2 * 5 and {row["n"] for row in own} == {n}
        adjusted = stats.false_discovery_control([row["p"] for row in own])
        np.testing.assert_allclose([row["p_fdr"] for row in own], adjusted)
        edss = [row for row in own if row["outcome"] == "edss"]
        np.testing.assert_allclose(
            [row["p_fdr_outcome"] for row in edss], stats.false_discovery_control([row["p"] for row in edss])
        )
    assert all(math.isnan(row["p_fdr"]) for row in rows if row["term"] != "volume_ml")


def test_icv_is_standardised_over_everybody_also_in_a_subset() -> None:
    visits, volumes = two_visits(30)
    sample = samples.baseline(make_cohort(visits, volumes))
    z = sample.table["icv_z"].to_numpy()
    assert (z.mean(), z.std(ddof=1)) == pytest.approx((0, 1))
    np.testing.assert_array_equal(sample.within("RRMS").table["icv_z"], z[(sample.table["diagnosis"] == "RRMS")])


def test_the_method_left_out_leaves_the_family() -> None:
    visits, volumes = two_visits(40, methods=("freesurfer", "first", "synthalT1w"))
    rows = rows_of(make_cohort(visits, volumes), crosssectional, "group_crosssectional")
    assert {row["method"] for row in rows} == {"first", "synthalT1w"}
    every = make_cohort(visits, volumes, settings=Settings(group=Group(not_in_models=())))
    more = rows_of(every, crosssectional, "group_crosssectional")
    assert {row["method"] for row in more} == {"freesurfer", "first", "synthalT1w"}
    key = {"outcome": "edss", "method": "first", "subset": "all", "term": "volume_ml"}
    assert pick(rows, **key)["p"] == pick(more, **key)["p"]
    table = crosssectional.tables(make_cohort(visits, volumes))[0]
    assert table.settings["methods_left_out"] == ["freesurfer"]


def test_warning_reaches_the_table_and_the_terminal() -> None:
    visits, volumes = two_visits(60)
    base, follow = (table_of(visits, volumes, "first", order) for order in (0, 1))
    change = dict(zip(sorted({v["participant_id"] for v in visits}), follow["volume"] - base["volume"], strict=True))
    start = {v["participant_id"]: v["edss"] for v in visits if v["order"] == 0}
    for visit in visits:
        if visit["order"]:
            visit["edss"] = start[visit["participant_id"]] + round(4 * change[visit["participant_id"]]) / 2
    table = longitudinal.tables(make_cohort(visits, volumes))[0]
    row = pick(table.frame.to_dict("records"), outcome="d_edss", method="first", subset="all", sensitivity="none",
               term="delta_volume_ml")  # fmt: skip
    assert row["sign"] == "opposite" and "counter-intuitive" in row["warning"]
    assert any(note.startswith("warning: counter-intuitive sign") for note in table.notes)


def test_where_no_model_was_fitted_the_page_says_why_and_lists_nothing(tmp_path: Path) -> None:
    header = "outcome\tmethod\tterm\tsubset\tsensitivity\testimate\tci_low\tci_high\tp\tp_fdr\tn\treason\n"
    row = "edss\tfirst\tvolume_ml\tall\tnone\tn/a\tn/a\tn/a\tn/a\tn/a\t0\t3 rows are too few\n"
    (tmp_path / "group_crosssectional.tsv").write_text(header + row)
    section = crosssectional.section(Tables(tmp_path))
    assert section.nothing == "No cross-sectional model could be fitted: 3 rows are too few."
    assert not section.tables and not section.figures
