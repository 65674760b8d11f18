"""What is described."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cohort import morph_row, write_rows
from tests.people import make_cohort, two_visits
from tests.unit.group.small import cohort_of, morph
from thalbids.group.analyses.description import descriptives
from thalbids.reports.group.group_data import Tables


def test_the_number_of_trials_is_kept(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    for person, trials in (("sub-01", (5.0, 6.0)), ("sub-02", (7.0, None))):
        visit = {"session_id": "ses-1", "t25fw_1": trials[0], "t25fw_2": trials[1]}
        write_rows(raw / person / f"{person}_sessions.tsv", [visit])
        morph(out, person, "ses-1", morph_row("first", 9000))
    (made,) = descriptives.tables(cohort_of(raw, out))
    rows = made.frame[(made.frame["sample"] == "baseline") & (made.frame["diagnosis"] == "all")].set_index("variable")
    assert (rows.loc["t25fw", "mean"], rows.loc["t25fw_trials", "mean"]) == (6.25, 1.5)
    assert rows.loc["nhpt_trials", "n"] == 0
    assert made.notes[0].startswith("participants with a usable volume: all 2; followed: ")  # nobody has a diagnosis


def test_attacks_and_the_change_of_the_brain_are_described() -> None:
    visits, volumes = two_visits(9, methods=("first",))
    for i, row in enumerate(visits):
        row["attacks"] = float(i // 2)
    pairs = [
        {
            "participant_id": f"sub-{i:03d}",
            "session_id_baseline": "ses-1",
            "session_id_followup": "ses-2",
            "pbvc": -i / 10,
        }
        for i in range(5)
    ]
    rows = descriptives.tables(make_cohort(visits, volumes, pbvc=pairs))[0].frame
    rows = rows[rows["diagnosis"] == "all"].set_index(["sample", "variable"])
    assert rows.loc[("baseline", "attacks"), "median"] == 4
    assert rows.loc[("followed", "pbvc"), "n"] == 5
    assert rows.loc[("followed", "pbvc"), "mean"] == pytest.approx(-0.2)
    assert rows.loc[("followed", "pbvc"), "sd"] == pytest.approx(np.std([0, 1, 2, 3, 4], ddof=1) / 10)


def test_the_sample_of_the_manual_masks() -> None:
    """Of a person with two masks the first; a mask of another person is none; RRMS and PMS apart."""
    visits, volumes = two_visits(6, methods=("first",))
    drawn = [
        ("sub-000", "ses-1", 8.0),
        ("sub-000", "ses-2", 7.0),
        ("sub-001", "ses-2", 9.0),
        ("sub-003", "ses-1", 11.0),
    ]
    overlap = pd.DataFrame(
        {
            "participant_id": p,
            "session_id": s,
            "rater": "manual",
            "method": "first",
            "volume_rater_ml": v,
            "status": "ok",
        }
        for p, s, v in drawn
    )
    overlap.loc[len(overlap)] = ["sub-004", "ses-1", "manual", "first", 99.0, "excluded"]
    cohort = make_cohort(visits, volumes)
    rows = descriptives.of_masks(cohort, overlap)[0].frame
    assert set(rows["sample"]) == {"manual"}
    all_, rrms, pms = (rows[rows["diagnosis"] == name].set_index("variable") for name in ("all", "RRMS", "PMS"))
    assert (all_.loc["volume_manual_ml", "n"], rrms.loc["volume_manual_ml", "n"]) == (3, 1)  # sub-001 alone is RRMS
    assert all_.loc["volume_manual_ml", "mean"] == pytest.approx(28 / 3)
    assert pms.loc["volume_manual_ml", "mean"] == pytest.approx(9.5)
    ages = cohort.visits.set_index(["participant_id", "session_id"])["age"]
    expected = np.mean([ages[("sub-000", "ses-1")], ages[("sub-001", "ses-2")], ages[("sub-003", "ses-1")]])
    assert all_.loc["age", "mean"] == pytest.approx(expected)
    assert descriptives.of_masks(cohort, overlap.iloc[:0]) == []


def test_the_page_of_one_person_shows_no_empty_rows(tmp_path: Path) -> None:
    rows = {
        "volumes": ["participant_id\tmethod\tstatus", "01\tfirst\tok", "01\tsynthalFLAIR\tmissing"],
        "descriptives": [
            "sample\tvariable\tdiagnosis\tn\tmean\tsd",
            "baseline\ticv_ml\tall\t1\t1358.2\tn/a",
            "followed\ticv_ml\tall\t0\tn/a\tn/a",
        ],
        "missing": [
            "analysis\toutcome\tmethod\tn_total\tn_used\tlost_no_outcome\tlost_no_age",
            "crosssectional\tedss\tfirst\t1\t0\t1\t0",
            "crosssectional\tsdmt\tfirst\t1\t0\t0\t1",
            "longitudinal\td_edss\tfirst\t0\t0\t0\t0",
        ],
    }
    for name, lines in rows.items():
        (tmp_path / f"group_{name}.tsv").write_text("\n".join(lines) + "\n")
    section = descriptives.section(Tables(tmp_path))
    assert section.says == [
        "1 participant with 1 session and 1 method: FSL FIRST.",
        "Nobody has a volume by SynThal FLAIR: not shown here, the reasons stand in group_volumes.tsv.",
    ]
    described, ledger = section.tables
    assert described.rows == [["Intracranial volume (mL)", "1358 (1)"]]
    assert ledger.rows == [["Cross-sectional", "SDMT", "1", "0", "1"]]
    assert not section.warnings


def test_people_with_only_a_method_that_nobody_has_are_counted(tmp_path: Path) -> None:
    rows = ["participant_id\tmethod\tstatus", "01\tfirst\tok", "01\tsynthalFLAIR\tmissing", "02\tsynthalFLAIR\tmissing"]
    (tmp_path / "group_volumes.tsv").write_text("\n".join(rows) + "\n")
    section = descriptives.section(Tables(tmp_path))
    assert section.says[0] == "2 participants with 2 sessions and 1 method: FSL FIRST."


@pytest.mark.parametrize(("status", "said"), [("missing", True), ("ok", False)])
def test_a_cohort_without_any_usable_volume_is_called_so(status: str, said: bool, tmp_path: Path) -> None:
    rows = [
        "participant_id\tsession_id\tmethod\tstatus",
        f"01\tn/a\tsynthalT1w\t{status}",
        "02\tn/a\tsynthalT1w\tfailed",
    ]
    (tmp_path / "group_volumes.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "group_baselines.tsv").write_text("participant_id\tsession_id\n02\tn/a\n")
    warned = " ".join(descriptives.section(Tables(tmp_path)).warnings)
    assert ("Nobody has a usable volume: nothing could be analysed." in warned) is said
    assert "has no usable volume, and no other session has one (group_baselines.tsv)" in warned
