"""From derivatives and clinical tables to the cohort."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cohort import METHODS, morph_path, morph_row, write_cohort, write_rows
from tests.unit.group.small import cohort_of
from thalbids.bids.results.dictionaries import STRIPPED_NOTE
from thalbids.bids.tabular.own import VISIT_COLUMNS
from thalbids.errors import MetadataError, NoInputError
from thalbids.group.analyses.over_time.change import change
from thalbids.group.cohort import PBVC_COLUMNS, VOLUME_COLUMNS
from thalbids.group.intake.reading import read_cohort, with_exclusions
from thalbids.settings import load


def test_ids_and_sessions_of_the_cohort(tmp_path: Path) -> None:
    cohort = cohort_of(*write_cohort(tmp_path, 3)[:2])
    assert list(cohort.visits["participant_id"]) == ["sub-01", "sub-01", "sub-02", "sub-02", "sub-03", "sub-03"]
    assert set(cohort.visits["session_id"]) == {"ses-1", "ses-2"}
    assert tuple(cohort.volumes.columns) == VOLUME_COLUMNS
    assert set(VISIT_COLUMNS) == set(cohort.visits.columns)
    assert tuple(cohort.pbvc.columns) == PBVC_COLUMNS
    assert cohort.visits["has_mri"].all()
    assert len(cohort.volumes) == len(cohort.usable) == 3 * 2 * len(METHODS)
    assert "freesurfer" in cohort.methods
    assert "freesurfer" not in cohort.model_methods
    assert not cohort.volumes.duplicated(["participant_id", "session_id", "method"]).any()


def test_one_source_of_icv_for_everybody(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 4, sessions=1)
    for person in ("sub-01", "sub-02"):
        path = morph_path(out, person, "ses-1")
        path = path.with_name(path.name.replace("desc-thalamus", "desc-icv"))
        write_rows(path, [{"source": "synthal", "icv_mm3": 1.4e6}, {"source": "freesurfer", "icv_mm3": 1.5e6}])
    cohort = cohort_of(raw, out)
    assert set(cohort.volumes["icv_source"]) == {"synthal"}
    assert cohort.volumes["icv_ml"].notna().all()
    cohort = cohort_of(raw, out, icv="freesurfer")
    icv = cohort.volumes.drop_duplicates("participant_id").set_index("participant_id")["icv_ml"]
    assert icv["sub-01"] == 1500.0
    assert np.isnan(icv["sub-03"])


def write_icv(out: Path, person: str, **row: object) -> None:
    path = morph_path(out, person, "ses-1")
    write_rows(path.with_name(path.name.replace("desc-thalamus", "desc-icv")), [{"source": "synthal", **row}])


def test_intracranial_volumes_of_two_kinds_are_told(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 4, sessions=1)
    for n in (1, 2, 3, 4):
        write_icv(out, f"sub-0{n}", icv_mm3=1.4e6, note=STRIPPED_NOTE if n == 3 else "n/a")
    (told,) = (note for note in cohort_of(raw, out).notes if "another kind" in note)
    assert told.startswith(
        "warning: 1 of 4 intracranial volumes are of another kind than the others (the scan is skull"
    )
    for n in (1, 2, 4):
        write_icv(out, f"sub-0{n}", icv_mm3=1.4e6, note=STRIPPED_NOTE)
    assert not any("another kind" in note for note in cohort_of(raw, out).notes)


def test_an_implausible_intracranial_volume_that_is_taken_all_the_same_is_of_no_other_kind(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 4, sessions=1)
    reason = "The intracranial volume is 2.40 L; 2.20 L is the limit of what is plausible in adults."
    for n in (1, 2, 3):
        write_icv(out, f"sub-0{n}", icv_mm3=1.4e6, status="ok", note="n/a")
    write_icv(out, "sub-04", icv_mm3=2.4e6, status="excluded", note=reason)
    assert not any("another kind" in note for note in cohort_of(raw, out, distrusted_icv=True).notes)
    write_icv(out, "sub-04", icv_mm3=2.4e6, status="excluded", note=f"{STRIPPED_NOTE}. {reason}")
    (told,) = (note for note in cohort_of(raw, out, distrusted_icv=True).notes if "another kind" in note)
    assert told.startswith("warning: 1 of 4 ") and reason not in told


def test_a_label_that_the_derivatives_do_not_have_is_answered_with_those_that_they_have(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 2)
    wrong = load(None, {"inputs": {"participant_label": ("zz",)}})
    with pytest.raises(NoInputError) as caught:
        read_cohort(raw, out, wrong)
    assert "It holds results of sub-01, sub-02." in caught.value.mend


def test_several_scans_of_a_session(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    folder = tmp_path / "out" / "sub-01" / "anat"
    for number in (10, 2):
        write_rows(folder / f"sub-01_run-{number}_desc-thalamus_morph.tsv", [morph_row("first", 9000 + number)])
    cohort = cohort_of(tmp_path / "raw", tmp_path / "out")
    assert list(cohort.volumes["volume_ml"]) == [9.002]
    assert list(cohort.repeats["entities"]) == ["run-2", "run-10"]


def test_exclusions_reach_every_table(tmp_path: Path) -> None:
    cohort = cohort_of(*write_cohort(tmp_path, 3)[:2])
    one = {"participant_id": "sub-01", "session_id": "ses-1", "method": "first", "reason": "rater: shifted"}
    every = {"participant_id": "sub-02", "session_id": "ses-2", "method": "", "reason": "rater: motion"}
    changed = with_exclusions(cohort, pd.DataFrame([one, every]))
    status = changed.volumes.set_index(["participant_id", "session_id", "method"])
    assert status.loc[("sub-01", "ses-1", "first"), "reason"] == "rater: shifted"
    assert len(changed.usable) == len(cohort.usable) - 1 - len(METHODS)
    assert changed.excluded("sub-02", "ses-2", "dbsegment") == "rater: motion"
    assert changed.excluded("sub-01", "ses-1", "dbsegment") == ""
    rows = change(changed)
    assert rows[(rows["participant_id"] == "sub-01") & (rows["method"] == "first")]["delta_ml"].isna().all()
    assert "sub-02" not in set(rows["participant_id"])
    assert "sub-02" in set(change(cohort)["participant_id"])


def test_given_pbvc_wins(tmp_path: Path) -> None:
    raw, out, truth = write_cohort(tmp_path, 2)
    table = tmp_path / "pbvc.tsv"
    table.write_text("participant_id\tsession_id_baseline\tsession_id_followup\tpbvc\n01\t1\t2\t-0.75\n02\t1\t2\tn/a\n")
    settings = load(None, {"siena": {"table": table}})
    pbvc = read_cohort(raw, out, settings).pbvc.set_index("participant_id")
    assert (pbvc.loc["sub-01", "pbvc"], pbvc.loc["sub-01", "source"]) == (-0.75, "table")
    assert pbvc.loc["sub-02", "pbvc"] == pytest.approx(truth.pbvc[1])
    assert len(pbvc) == 2


def test_a_pair_of_pbvc_that_begins_with_the_later_session_is_said(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 2, siena=False)
    table = tmp_path / "pbvc.tsv"
    table.write_text("participant_id\tsession_id_baseline\tsession_id_followup\tpbvc\n01\t2\t1\t0.75\n02\t1\t2\t-1\n")
    told = [
        note for note in read_cohort(raw, out, load(None, {"siena": {"table": table}})).notes if "whole-brain" in note
    ]
    (note,) = told
    assert note.startswith("warning: 1 pairs of whole-brain change begin with the later session and are not used: ")
    assert "sub-01 ses-2 ses-1. Name the earlier session first" in note


def test_people_and_sessions_that_nearly_match_are_lost_and_named(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 12)
    table = raw / "participants.tsv"
    table.write_text(table.read_text().replace("sub-0", "sub-"))
    for person in ("sub-10", "sub-11"):
        visits = raw / person / f"{person}_sessions.tsv"
        visits.write_text(visits.read_text().replace("ses-", "ses-0"))
    cohort = cohort_of(raw, out)
    people, sessions = cohort.lost
    assert people.startswith("warning: 9 participants of the clinical tables nearly match those of the derivatives")
    assert "sub-1 for sub-01, sub-2 for sub-02" in people and "and 4 more" in people
    assert sessions.startswith("warning: 4 sessions of the clinical tables nearly match")
    assert "sub-10 ses-01 for ses-1" in sessions
    assert set(cohort.lost) <= set(cohort.notes)
    assert cohort_of(*write_cohort(tmp_path / "other", 3)[:2]).lost == []


def test_people_without_a_row_are_lost_although_they_have_a_sessions_table(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 4)
    table = raw / "participants.tsv"
    everybody = table.read_text()
    table.write_text(everybody.replace("sub-02", "sub-7x"))
    (warning,) = cohort_of(raw, out).lost
    assert "1 of 4 participants with derivatives have no row in participants.tsv" in warning and "sub-02." in warning
    table.write_text(everybody.replace("sub-0", "sub-x"))
    (warning,) = cohort_of(raw, out).lost  # the sessions tables are still of the right people
    assert "4 of 4 participants" in warning
    for person in ("sub-01", "sub-02", "sub-03", "sub-04"):
        (raw / person / f"{person}_sessions.tsv").unlink()
    assert "no participant of the clinical tables has derivatives" in cohort_of(raw, out).lost[1]
    table.unlink()
    assert cohort_of(raw, out).lost == []


def test_further_people_of_participants_tsv_are_no_loss(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 4)
    with (raw / "participants.tsv").open("a") as stream:
        stream.write((raw / "participants.tsv").read_text().splitlines()[-1].replace("sub-04", "sub-99") + "\n")
    cohort = cohort_of(raw, out)
    assert cohort.lost == [] and any("without derivatives: 1 (sub-99)" in note for note in cohort.notes)


def test_a_table_of_participants_without_rows_loses_everybody(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, people=3, sessions=1, methods=("first",))
    (raw / "participants.tsv").write_text("participant_id\tage\n")
    assert any(
        "3 of 3 participants with derivatives have no row" in line for line in read_cohort(raw, out, load()).lost
    )


def test_people_whose_sessions_have_other_names_are_lost_and_named(tmp_path: Path) -> None:
    """Only one of them; a visit without images beside the others is no loss."""
    raw, out, _ = write_cohort(tmp_path, people=3, sessions=2, methods=("first",))
    path = raw / "sub-02" / "sub-02_sessions.tsv"
    path.write_text(path.read_text().replace("ses-1", "ses-baseline").replace("ses-2", "ses-followup"))
    other = raw / "sub-01" / "sub-01_sessions.tsv"
    row = other.read_text().splitlines()[-1]
    other.write_text(other.read_text() + row.replace("ses-2", "ses-3") + "\n")
    third = raw / "sub-03" / "sub-03_sessions.tsv"  # two of three have another name
    morph_path(out, "sub-03", "ses-3").parent.mkdir(parents=True)
    morph_path(out, "sub-03", "ses-3").write_text(morph_path(out, "sub-03", "ses-1").read_text())
    third.write_text(third.read_text().replace("ses-2", "ses-followup"))
    (said,) = read_cohort(raw, out, load()).lost
    assert "of 2 participants, but not most of those with derivatives" in said
    assert "sub-02 (ses-baseline, ses-followup, but ses-1, ses-2), sub-03 (ses-followup, but ses-2, ses-3)" in said


def test_visits_without_images_are_no_loss(tmp_path: Path) -> None:
    """Scores of one visit only, which is not the one that was scanned, and named like it."""
    raw, out, _ = write_cohort(tmp_path, people=2, sessions=1, methods=("first",))
    path = raw / "sub-02" / "sub-02_sessions.tsv"
    path.write_text(path.read_text().replace("ses-1", "ses-2"))
    assert not read_cohort(raw, out, load()).lost


def test_sessions_of_people_whose_results_have_none_are_lost_and_named(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, people=2, sessions=2, methods=("first",))
    (tmp_path / "flat").mkdir()
    for person in ("sub-01", "sub-02"):
        morph = morph_path(tmp_path / "flat", person)
        morph.parent.mkdir(parents=True)
        morph.write_text(morph_path(out, person, "ses-1").read_text())
    (said,) = read_cohort(raw, tmp_path / "flat", load()).lost
    assert "sub-01 (ses-1, ses-2, but no session), sub-02" in said


@pytest.mark.parametrize(("factor", "offset", "word"), [(0.01, 0, "fractions"), (0.01, 1, "ratios"), (1, 0, "")])
def test_changes_that_are_no_percent_are_warned_of(tmp_path: Path, factor: float, offset: float, word: str) -> None:
    raw, out, truth = write_cohort(tmp_path, people=6, sessions=2, methods=("first",), siena=False)
    rows = [{"participant_id": person, "session_id_baseline": "ses-1", "session_id_followup": "ses-2",
             "pbvc": offset + factor * -0.3 * (1 + number)}
            for number, person in enumerate(truth.participants)]  # fmt: skip
    write_rows(tmp_path / "pbvc.tsv", rows)
    (tmp_path / "c.toml").write_text(f'[siena]\ntable = "{tmp_path / "pbvc.tsv"}"\n')
    said = [note for note in read_cohort(raw, out, load(tmp_path / "c.toml")).notes if "--pbvc-table" in note]
    assert [word in note for note in said] == ([True] if word else [])


def test_intracranial_volumes_given_to_the_group_level_are_checked_and_said(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, people=3, sessions=1, methods=("first",))
    path = tmp_path / "icv.tsv"
    (tmp_path / "c.toml").write_text(f'[inputs]\nderivatives = {{icv = "{path}"}}\n')
    path.write_text("participant_id\ticv_mm3\nsub-01\t1500000\n")
    assert any(
        "taken by participant, not by group" in n for n in read_cohort(raw, out, load(tmp_path / "c.toml")).notes
    )
    path.write_text("participant_id\ticv_mm3\nsub-01\t1500\n")
    with pytest.raises(MetadataError, match="is it in mL"):
        read_cohort(raw, out, load(tmp_path / "c.toml"))
