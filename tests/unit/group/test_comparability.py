"""Which pairs of visits can be compared, from the quality control of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.cohort import morph_row, write_rows
from tests.people import make_cohort, two_visits
from tests.unit.group.analyses.over_time.test_comparability import THIN, two_people
from tests.unit.group.analyses.over_time.test_mixed import cohort as several_visits
from tests.unit.group.map_people import with_maps
from tests.unit.group.small import cohort_of, morph
from thalbids.bids.results.derivatives import CHANGES, PAIRS
from thalbids.bids.tabular.tables import write
from thalbids.group import comparability
from thalbids.group.analyses.checks import imputed, influence, same_people
from thalbids.group.analyses.clinical import longitudinal, map_models, ordinal, plots, sides
from thalbids.group.analyses.description import people
from thalbids.group.analyses.over_time import change, detectable, mixed, pbvc
from thalbids.group.analyses.over_time import comparability as compared
from thalbids.group.analyses.trials import baseline_score, detection, progression, samplesize
from thalbids.group.cohort import Cohort
from thalbids.group.intake.reading import frame_of, read_cohort
from thalbids.group.modelling import map_values
from thalbids.reports.group.group_data import Tables
from thalbids.settings import load

MIRRORED = "ses-2: its image is the mirror image of that of ses-1, or nearly so: were left and right exchanged?"
OF_CHANGE = (compared, longitudinal, ordinal, influence, pbvc, sides, mixed, detectable, samplesize, progression,
             baseline_score, plots, same_people, detection)  # fmt: skip
OWN_WORDS = ("group_missing", "group_comparability")  # where an excluded pair is told otherwise than a missing volume


def test_a_pair_is_comparable_where_both_documents_say_so(tmp_path: Path) -> None:
    cohort = two_people(tmp_path)
    assert len(cohort.documents) == 4
    told = comparability.pairs(cohort).set_index("participant_id")
    assert told["comparable"].to_dict() == {"sub-01": "no", "sub-02": "yes", "sub-03": ""}
    assert "scanner" in told.loc["sub-01", "remark"] and told.loc["sub-03", "remark"] == ""


def test_documents_of_another_shape_tell_nothing() -> None:
    facts = {"scanner": "x"}
    assert comparability.acquired({"Images": {"T1w": {"acquisition": facts}, "FLAIR": {}, "R1map": 3}}) == {
        "T1w": facts
    }
    assert comparability.acquired({"Images": []}) == comparability.acquired({}) == {}


def with_excluded(cohort: Cohort, *pairs: tuple[str, str, str], reason: str = MIRRORED) -> Cohort:
    """A cohort in which the participant level excluded these pairs (person, two sessions), ."""
    rows: list[Mapping[str, Any]] = [dict(zip(PAIRS, (*pair, reason), strict=True)) for pair in pairs]
    return replace(cohort, excluded_pairs=frame_of(rows, PAIRS))


def followed(n: int = 30, **settings: object) -> Cohort:
    whole = [
        {"participant_id": f"sub-{i:03d}", "session_id_baseline": "ses-1", "session_id_followup": "ses-2",
         "pbvc": -0.3 + 0.1 * (i % 7), "source": "siena"}
        for i in range(n)
    ]  # fmt: skip
    return make_cohort(*two_visits(n), pbvc=whole, settings=load(None, {"group": {"bootstrap": 100, **settings}}))


@pytest.mark.parametrize("ends", [("ses-1", "ses-2"), ("ses-2", "ses-1")])
def test_an_excluded_pair_has_a_row_and_no_change(ends: tuple[str, str]) -> None:
    cohort = followed()
    before = change.change(cohort)
    after = change.change(with_excluded(cohort, ("sub-004", *ends)))
    out = (after["participant_id"] == "sub-004").to_numpy()
    pd.testing.assert_frame_equal(after[~out], before[~out])
    assert after.loc[out, list(change.MEASURES)].isna().all(axis=None)
    kept = ["volume_baseline_ml", "volume_followup_ml", "interval_years"]
    pd.testing.assert_frame_equal(after.loc[out, kept], before.loc[out, kept])
    told = after.loc[out, ["status", "comparable", "reason", "remark"]].to_numpy().tolist()
    assert told == [["excluded", "no", f"excluded ({MIRRORED})", MIRRORED]] * 2


def test_status_of_a_pair_is_that_of_its_volumes() -> None:
    visits, volumes = two_visits(3, methods=("first",))
    volumes[1] |= {"status": "failed", "reason": "torn"}
    volumes[2] |= {"status": "missing", "reason": "no image"}
    volumes[3] |= {"status": "excluded", "reason": "noise"}
    visits += [{"participant_id": "sub-003", "session_id": f"ses-{n}", "order": n} for n in (1, 2)]
    cohort = make_cohort(visits, volumes)
    cohort.visits["has_mri"] = True
    assert change.change(cohort)["status"].tolist() == ["failed", "excluded", "ok", "missing"]


def test_means_and_tests_are_those_of_the_others() -> None:
    cohort = with_excluded(followed(), ("sub-004", "ses-1", "ses-2"))
    tables = {table.name: table.frame for table in change.tables(cohort)}
    others = change.change(followed()).query("participant_id != 'sub-004' and method == 'first'")["delta_percent"]
    row = tables["group_change_summary"].query(
        "method == 'first' and diagnosis == 'all' and measure == 'delta_percent'"
    )
    assert row["n"].item() == 29 and row["mean"].item() == pytest.approx(others.mean())
    assert tables["group_change_tests"]["n"].tolist() == [29]
    ledgers = [row for row in change.ledgers(cohort) if row["outcome"] == "delta_ml"]
    assert [(row["n_used"], row["lost_pair_excluded"]) for row in ledgers] == [(29, 1)] * 2


@pytest.mark.parametrize("imputations", [0, 5])
def test_no_analysis_takes_the_difference(imputations: int) -> None:
    """Every table of change is that of a cohort whose later volumes of this person must not be used at all."""
    cohort = followed(imputations=imputations)
    volumes = cohort.volumes.copy()
    later = (volumes["participant_id"] == "sub-004") & (volumes["session_id"] == "ses-2")
    volumes.loc[later, "status"] = "excluded"
    without = replace(cohort, volumes=volumes)
    excluded = with_excluded(cohort, ("sub-004", "ses-1", "ses-2"))
    for module in (*OF_CHANGE, imputed) if imputations else OF_CHANGE:
        before, expected, after = (
            {table.name: table.frame for table in module.tables(one) if table.name not in OWN_WORDS}
            for one in (cohort, without, excluded)
        )
        for name, frame in after.items():
            pd.testing.assert_frame_equal(frame, expected[name], obj=name)
        assert not all(frame.equals(before[name]) for name, frame in after.items()), module.__name__


def test_columns_of_people_have_no_change() -> None:
    cohort = with_excluded(followed(), ("sub-004", "ses-1", "ses-2"))
    before, after = (people.tables(one)[0].frame.set_index(["participant_id", "session_id"]) for one in
                     (followed(), cohort))  # fmt: skip
    assert after.loc[("sub-004", "ses-2"), ["first_change_ml", "synthalT1w_change_percent"]].isna().all()
    changed = before.ne(after) & ~(before.isna() & after.isna())
    assert set(changed.index[changed.any(axis=1)]) == {("sub-004", "ses-2")}
    assert {name.partition("_")[2] for name in changed.columns[changed.any()]} == {"change_ml", "change_percent"}


def test_the_visit_between_is_out_and_the_others_stay() -> None:
    visits, volumes = several_visits(8, 4)
    odd = [("sub-03", "ses-1", "ses-2"), ("sub-03", "ses-2", "ses-3"), ("sub-03", "ses-2", "ses-4")]
    cohort = with_excluded(make_cohort(visits, volumes), *odd)
    of_person = change.change(cohort, "consecutive").query("participant_id == 'sub-03'")
    assert of_person["status"].tolist() == ["excluded", "excluded", "ok"]
    pd.testing.assert_frame_equal(change.change(cohort), change.change(make_cohort(visits, volumes)))
    kept = mixed.frame(cohort)
    assert len(kept) == 31
    assert kept.query("participant_id == 'sub-03'")["session_id"].tolist() == ["ses-1", "ses-3", "ses-4"]


def test_of_a_course_the_odd_visit_goes_also_where_it_is_the_earliest() -> None:
    visits, volumes = several_visits(8, 4)
    odd = [("sub-03", "ses-1", f"ses-{other}") for other in (2, 3, 4)]
    kept = mixed.frame(with_excluded(make_cohort(visits, volumes), *odd))
    assert kept.query("participant_id == 'sub-03'")["session_id"].tolist() == ["ses-2", "ses-3", "ses-4"]


def written(root: Path, measure: str, status: str, percent: str = "0.1", flags: str = "visit_mirrored") -> Cohort:
    """Two people of two visits and a rescan of the first, one with a table of change that says this of every pair."""
    raw, out = root / "raw", root / "out"
    for person in ("sub-01", "sub-02"):
        sessions = [
            {"session_id": f"ses-{label}", "rescan_of": of} for label, of in (("1", "n/a"), ("1b", "1"), ("2", "n/a"))
        ]
        write_rows(raw / person / f"{person}_sessions.tsv", sessions)
        for session, volume in (("ses-1", 10000.0), ("ses-1b", 10020.0), ("ses-2", 9900.0)):
            morph(out, person, session, morph_row("first", volume, volume / 2, volume / 2))
    table = out / "sub-01/anat/sub-01_desc-change_morph.tsv"
    row = {**dict.fromkeys(CHANGES[1:], "n/a"), "method": "first", "measure": measure, "status": status}
    row |= {"reason": MIRRORED, "delta_percent": percent, "comparable": "no", "flags": flags}
    ends = [("ses-1", "ses-1b"), ("ses-1", "ses-2"), ("ses-1b", "ses-2")]
    table.parent.mkdir(parents=True)
    write_rows(table, [row | {"session_id_baseline": one, "session_id_followup": two} for one, two in ends])
    write_rows(
        out / "sub-01/anat/sub-01_desc-siena_morph.tsv",
        [{"session_id_baseline": "ses-1", "session_id_followup": "ses-2", "pbvc": -0.5, "source": "siena",
          "status": "ok", "reason": "n/a"}],
    )  # fmt: skip
    return cohort_of(raw, out)


@pytest.mark.parametrize(
    ("measure", "status", "percent", "flags"),
    [
        ("volume_difference", "excluded", "0.1", "visit_icv, visit_mirrored"),
        ("volume_difference", "missing", "n/a", "visit_person"),  # of masks that the group may have from elsewhere
        ("pbvc", "excluded", "-1.2", "visit_mirrored"),
    ],
)
def test_what_the_table_of_a_person_excludes_is_out_and_told(
    tmp_path: Path, measure: str, status: str, percent: str, flags: str
) -> None:
    cohort = written(tmp_path, measure, status, percent, flags)
    of_person = change.change(cohort).set_index("participant_id")
    assert of_person["status"].to_dict() == {"sub-01": "excluded", "sub-02": "ok"}
    assert of_person.loc["sub-01", "reason"] == f"excluded ({MIRRORED})"
    (told,) = (note for note in cohort.pressing if "no part" in note)
    assert told == (
        "warning: 3 pairs of visits take no part in change, as participant excluded them: sub-01 ses-1 to ses-1b, "
        "sub-01 ses-1 to ses-2, sub-01 ses-1b to ses-2. The person's table of change (desc-change_morph.tsv) says why."
    )
    assert set(cohort.pressing) <= set(cohort.notes)
    repeats = cohort.repeats.set_index(["participant_id", "entities"])["status"].to_dict()
    assert repeats == {
        ("sub-01", "ses-1"): "ok", ("sub-01", "ses-1b"): "excluded", ("sub-02", "ses-1"): "ok",
        ("sub-02", "ses-1b"): "ok",
    }  # fmt: skip
    assert cohort.pbvc[["status", "reason"]].to_numpy().tolist() == [["excluded", MIRRORED]]


@pytest.mark.parametrize(
    ("measure", "status", "percent"),
    [
        ("registration", "excluded", "0.1"),  # the volumes stay
        ("registration", "failed", "n/a"),
        ("volume_difference", "ok", "0.1"),
        ("volume_difference", "excluded", "n/a"),  # for a mask, of which its own table tells
    ],
)
def test_what_is_not_about_the_pair_of_images_excludes_no_difference(
    tmp_path: Path, measure: str, status: str, percent: str
) -> None:
    cohort = written(tmp_path, measure, status, percent, "visit_contrast_agent")
    assert (
        change.change(cohort)[["status", "reason"]].to_numpy().tolist()
        == [["ok", "no interval: a session without a date"]] * 2
    )
    assert not any("no part" in note for note in cohort.notes)
    assert set(cohort.repeats["status"]) == set(cohort.pbvc["status"]) == {"ok"}


@pytest.mark.parametrize(
    ("flags", "percent", "alike"),
    [
        (["visit_border", "visit_icv, visit_border"], ["-9", "-8"], "no"),
        (["visit_border", ""], ["-9", "-8"], "yes"),  # by one mask of two
        (["visit_border", ""], ["-9", "n/a"], "no"),  # the other was not measured
        (["", ""], ["-1", "-1"], "yes"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_what_registration_sees_at_the_border_speaks_against_the_pair(
    flags: list[str], percent: list[str], alike: str, turned: bool
) -> None:
    cohort = followed()
    facts = {"acquisition": {"scanner": "x"}}
    seen = {"Images": {"T1w": facts}}
    ends = ("ses-2", "ses-1") if turned else ("ses-1", "ses-2")
    rows = [
        {"participant_id": "sub-004", "session_id_baseline": ends[0], "session_id_followup": ends[1], "method": method,
         "measure": "registration", "status": "ok", "reason": "", "comparable": "", "remark": "", "flags": flag,
         "delta_percent": float(number.replace("n/a", "nan"))}
        for method, flag, number in zip(cohort.methods, flags, percent, strict=True)
    ]  # fmt: skip
    cohort = replace(
        cohort,
        changes=frame_of(rows, CHANGES, ("measure", "comparable", "flags", "remark")),
        documents={("sub-004", session): seen for session in ends},
    )
    told = comparability.pairs(cohort).set_index("participant_id").loc["sub-004"]
    assert told["comparable"] == alike and told["status"] == "ok"
    assert told["remark"] == ("one visit alone shows something at the border of the thalami" if alike == "no" else "")
    of_change = change.change(cohort).query("participant_id == 'sub-004'")
    assert set(of_change["comparable"]) == {alike} and of_change["delta_ml"].notna().all()


def test_without_a_table_of_change_every_pair_counts(tmp_path: Path) -> None:
    cohort = written(tmp_path, "volume_difference", "excluded")
    (cohort.out_dir / "sub-01/anat/sub-01_desc-change_morph.tsv").unlink()
    again = read_cohort(cohort.bids_dir, cohort.out_dir, cohort.settings)
    assert np.isfinite(change.change(again)["delta_ml"]).all()
    assert set(again.repeats["status"]) == set(again.pbvc["status"]) == {"ok"}


@pytest.mark.parametrize("everybody", [False, True])
def test_the_page_tells_of_excluded_pairs(tmp_path: Path, everybody: bool) -> None:
    odd = [(f"sub-{i:03d}", "ses-1", "ses-2") for i in (range(8) if everybody else (4, 6))]
    cohort = with_excluded(followed(8), *odd)
    keys = cohort.visits[["participant_id", "session_id"]].itertuples(index=False, name=None)
    cohort = replace(cohort, documents={key: {"Images": {"T1w": {"acquisition": THIN}}} for key in keys})
    for made in (*change.tables(cohort), *compared.tables(cohort)):
        write(made, tmp_path)
    of_pairs, of_change = compared.section(Tables(tmp_path)), change.section(Tables(tmp_path))
    assert f"{len(odd)} of 8 pairs of visits are excluded at the participant level" in of_pairs.says[0]
    if everybody:
        assert of_change.nothing.endswith("two sessions with volumes of the same method that can be compared.")
        assert len(of_pairs.says) == 1 and not of_pairs.warnings
    else:
        assert of_pairs.says[1].startswith("0 of 6 pairs of visits differ")
        assert of_change.figures[0].panels[0].title == "All (n = 6)"
        assert [row[1].rpartition("; ")[2] for row in of_change.tables[0].rows] == ["6", "6"]


def test_the_change_of_a_map_is_not_taken_either(tmp_path: Path) -> None:
    visits, _ = two_visits(4)
    cohort = with_excluded(
        with_maps(tmp_path, visits, {"first": [1.0 + 0.01 * k for k in range(8)]}), ("sub-002", "ses-1", "ses-2")
    )
    change_of = map_models.change_of(cohort, "R1map", "first:last").volumes["R1map"]["first"]
    np.testing.assert_allclose(change_of, [0.01, 0.01, np.nan, 0.01], rtol=1e-9)
    kept = mixed.frame(map_values.in_place_of_volumes(cohort, "R1map"))
    assert kept.groupby("participant_id").size().tolist() == [2, 2, 1, 2]
