"""Groups of diagnosis compared: what the table says against a model of its own, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.people import make_cohort
from thalbids.bids.tabular.tables import write
from thalbids.group.analyses.description import groups, normative
from thalbids.group.statistics.concordance.paired import benjamini_hochberg
from thalbids.reports.group.group_data import Tables
from thalbids.settings import Checks, Group, Settings


def people(sizes: dict[str, int], seed: int = 0, checks: Checks | None = None, **change: Any) -> Any:
    rng = np.random.default_rng(seed)
    visits, volumes = [], []
    for i, diagnosis in enumerate(name for name, n in sizes.items() for _ in range(n)):
        key = {"participant_id": f"sub-{i:03d}", "session_id": "ses-1"}
        age, female, icv = rng.uniform(25, 65), float(rng.integers(0, 2)), rng.normal(1400, 100)
        volume = 12 - 0.04 * (age - 44) + 0.004 * (icv - 1400) - {"RRMS": 1.0, "PMS": 2.0}.get(diagnosis, 0.0)
        visits.append(key | {"age": age, "female": female, "diagnosis": diagnosis} | change)
        for method in ("first", "synthalT1w", "freesurfer"):
            volumes.append(key | {"method": method, "volume_ml": volume + rng.normal(0, 0.8), "icv_ml": icv})
    return make_cohort(visits, volumes, settings=Settings(checks=checks or Checks()))


def test_the_difference_is_that_of_the_model() -> None:
    import statsmodels.api as sm

    cohort = people({"HC": 20, "RRMS": 30, "PMS": 12, "NMOSD": 3})
    table = groups.tables(cohort)[0]
    rows = table.frame
    assert set(rows["method"]) == {"first", "synthalT1w"}  # group.not_in_models
    own = rows[(rows["method"] == "first") & (rows["group"] == "RRMS")].iloc[0]
    used = (cohort.visits["diagnosis"] != "NMOSD").to_numpy()
    v = cohort.visits[used]
    first = cohort.volumes[cohort.volumes["method"] == "first"][used]
    icv = cohort.volumes[cohort.volumes["method"] == "first"]["icv_ml"]
    z = ((icv - icv.mean()) / icv.std())[used]
    X = np.column_stack([v["diagnosis"] == "RRMS", v["diagnosis"] == "PMS", v["age"], 1 - v["female"], z, np.ones(62)])
    model = sm.OLS(first["volume_ml"].to_numpy(), X.astype(float)).fit()
    assert (own["difference"], own["se"], own["p"]) == pytest.approx((model.params[0], model.bse[0], model.pvalues[0]))
    assert (own["n"], own["n_reference"], own["df"]) == (30, 20, 56)
    assert own["adjusted_for"] == "age sex icv_z"
    assert "NMOSD (3)" in table.notes[0]
    tested = rows[rows["group"] != groups.OMNIBUS]
    assert len(tested) == 4
    np.testing.assert_allclose(tested["p_fdr"], benjamini_hochberg(tested["p"].tolist()))


def test_all_pairs_and_another_name_of_the_controls() -> None:
    checks = Checks(controls="volunteer", contrasts="all", smallest_group=3)
    rows = groups.tables(people({"volunteer": 8, "RRMS": 9, "PMS": 8}, checks=checks))[0].frame
    pairs = rows[(rows["method"] == "first") & (rows["group"] != groups.OMNIBUS)]
    assert set(zip(pairs["group"], pairs["reference"], strict=True)) == {
        ("PMS", "volunteer"), ("RRMS", "volunteer"), ("RRMS", "PMS")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sizes", "word"), [({"RRMS": 20, "PMS": 9}, "controls (HC)"), ({"HC": 20, "PMS": 2}, "fewer than two groups")]
)
def test_no_comparison_has_its_reason(sizes: dict[str, int], word: str) -> None:
    rows = groups.tables(people(sizes))[0].frame
    assert len(rows) == 2 and rows["reason"].str.contains(word, regex=False).all() and rows["difference"].isna().all()


def test_a_cohort_of_women_is_adjusted_for_the_rest() -> None:
    rows = groups.tables(people({"HC": 12, "RRMS": 12}, female=1.0))[0].frame
    assert set(rows["adjusted_for"]) == {"age icv_z"} and rows["p"].notna().all()


def test_the_norms_in_short() -> None:
    cohort = people({"HC": 25, "PMS": 20})
    full, short = (table.frame for table in normative.tables(cohort))
    row = short[(short["method"] == "first") & (short["diagnosis"] == "PMS")].iloc[0]
    z = full[(full["method"] == "first") & (full["diagnosis"] == "PMS")]["z"]
    interval = stats.ttest_1samp(z, 0).confidence_interval()
    assert (row["mean"], row["ci_low"], row["ci_high"]) == pytest.approx((z.mean(), *interval))
    low = int((stats.t.cdf(z, 21) < 0.05).sum())
    bounds = stats.binomtest(low, 20).proportion_ci(method="wilson")
    assert row["n_low"] == low and row["share_low_ci_low"] == pytest.approx(bounds.low)


def test_the_section(tmp_path: Path) -> None:
    cohort = people({"HC": 20, "RRMS": 30})
    for table in (*groups.tables(cohort), *normative.tables(cohort)):
        write(table, tmp_path)
    section = groups.section(Tables(tmp_path))
    assert "RRMS against HC: 2 of 2 methods differ" in section.says[0]
    assert [figure.name for figure in section.figures] == ["groups", "normative"]
    assert any("intracranial volume" in text for text in section.caveats)
    assert groups.section(Tables(tmp_path / "none")).nothing


def test_the_headline_has_every_contrast_in_the_order_of_the_paper(tmp_path: Path) -> None:
    (table, *_) = groups.tables(people({"HC": 20, "MOGAD": 12, "RRMS": 30, "PMS": 12}))
    write(table, tmp_path)
    section = groups.section(Tables(tmp_path))
    (first,) = section.says
    assert first.startswith("RRMS against HC: 2 of 2 methods differ (d -")
    assert first.index("RRMS") < first.index("; PMS against HC: 2 of 2 (") < first.index("; MOGAD against HC: ")
    assert [row[0] for row in section.tables[0].rows] == [f"{g} – HC" for g in ("RRMS", "PMS", "MOGAD") for _ in "ab"]


def at_sites(sizes: dict[str, int], offset: float, **checks: Any) -> Any:
    """People at two sites, the second of which measures ``offset`` more and has most of the patients."""
    cohort = people(sizes, 4, **checks)
    patient = (cohort.visits["diagnosis"] != "HC").to_numpy()
    order = np.arange(len(cohort.visits))
    second = np.where(patient, order % 4 > 0, order % 4 == 0)
    cohort.visits["site"] = pd.Series(np.where(second, "B", "A"), index=cohort.visits.index, dtype=object)
    cohort.volumes.loc[np.repeat(second, 3), "volume_ml"] += offset
    return cohort


def test_a_scanner_that_adds_volume_does_not_move_the_difference() -> None:
    one, two = (groups.tables(at_sites({"HC": 40, "RRMS": 60}, offset))[0].frame for offset in (0.0, 3.0))
    for name in ("difference", "p", "d", "p_hc3", "p_slopes"):
        np.testing.assert_allclose(one[name].astype(float), two[name].astype(float), rtol=1e-7)
    assert set(two["adjusted_for"]) == {"age sex icv_z site"}
    assert set(two["levels"]) == {"site: B (reference), A"}
    assert one["p_slopes"].notna().any()


def test_controls_of_another_site_cannot_be_told_from_it(tmp_path: Path) -> None:
    cohort = people({"HC": 20, "RRMS": 20})
    cohort.visits["site"] = cohort.visits["diagnosis"].map({"HC": "A", "RRMS": "B"})
    made = [*groups.tables(cohort), *normative.tables(cohort)]
    rows = made[0].frame
    assert set(rows["adjusted_for"]) == {"age sex icv_z"}
    assert rows["left_out"].str.contains("site (cannot be told from the other covariates)", regex=False).all()
    told = [note.removeprefix("warning: ") for table in made for note in table.notes if note.startswith("warning:")]
    assert told == [
        "diagnosis contrasts: site is left out of 2 of 2 models: cannot be told from the other covariates.",
        (
            "diagnosis contrasts: diagnosis groups and sites go together, so that a difference between groups may be "
            "one between sites."
        ),
        "normative scores: 20 of 40 people have none: fewer than 5 controls of this site (20).",
    ]
    for table in made:
        write(table, tmp_path)
    assert [text.lower() for text in groups.section(Tables(tmp_path)).warnings] == [text.lower() for text in told]


def test_covariates_of_the_settings_but_none_that_controls_lack() -> None:
    cohort = people({"HC": 20, "RRMS": 20})
    cohort.visits["education"] = np.arange(40.0) % 7
    cohort.visits["lesion_ml"] = np.where(cohort.visits["diagnosis"] == "HC", np.nan, np.arange(40.0) % 5)
    group = Group(extra_covariates=("education", "lesion_ml", "edss"))
    rows = groups.tables(replace(cohort, settings=Settings(group=group)))[0].frame
    assert set(rows["adjusted_for"]) == {"age sex icv_z education"}
    assert set(rows["left_out"]) == {"lesion_ml (missing for everybody in HC)"}
