"""Intracranial volumes: what is given, what is read, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from thalbids.errors import MetadataError
from thalbids.files import read_table, write_json
from thalbids.participant.session import SessionPlan
from thalbids.participant.stages.session import icv
from thalbids.settings import load
from thalbids.types import InputImage, Session

SHAPE = (24, 24, 24)


def table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(row.replace(" ", "\t") for row in rows) + "\n")
    return path


def test_a_given_icv_is_found_by_person_and_session(tmp_path: Path) -> None:
    plain = table(tmp_path / "a.tsv", "participant_id icv_mm3", "sub-01 1400000", "02 1500000.5", "sub-03 n/a")
    assert icv.given_icv(plain, "01", "2") == [1400000.0]
    assert icv.given_icv(plain, "02", None) == [1500000.5]
    assert icv.given_icv(plain, "03", None) == []
    visits = table(tmp_path / "b.tsv", "participant_id session_id icv_mm3", "sub-01 ses-1 1.4e6", "sub-01 ses-2 1.5e6")
    assert icv.given_icv(visits, "01", "2") == [1.5e6]
    assert icv.given_icv(visits, "01", "3") == []


def test_a_table_of_icvs_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    for rows, said in (
        (("participant_id icv", "sub-01 1"), "columns participant_id, icv_mm3"),
        (("participant_id icv_mm3", "sub-01 1400000", "sub-01 1400000"), "is there twice"),
        (("participant_id icv_mm3", "sub-01 much"), "'much' is not a number"),
    ):
        with pytest.raises(MetadataError, match=said):
            icv.given_icv(table(tmp_path / "x.tsv", *rows), "01", None)


def test_icv_rows_come_with_the_preferred_source_first(tmp_path: Path) -> None:
    write_json(tmp_path / "t1w.json", {"SkullStripped": True, "IntracranialVolumeMm3": 1.3e6})
    write_json(tmp_path / "fs.json", {"EstimatedTotalIntraCranialVolMm3": 1.45e6})
    given = table(tmp_path / "icv.tsv", "participant_id icv_mm3", "sub-01 1400000")
    inputs: dict[str, Any] = {"synthal": tmp_path / "t1w.json", "freesurfer": tmp_path / "fs.json", "given": given}
    params = icv.IcvParams("01", None, {})
    icv.icv(inputs, {"icv": tmp_path / "out.tsv"}, params, {})
    rows = read_table(tmp_path / "out.tsv")
    assert [(r["source"], float(r["icv_mm3"] or 0)) for r in rows] == [
        ("given", 1.4e6), ("freesurfer", 1.45e6), ("synthal", 1.3e6),
    ]  # fmt: skip
    assert "skull-stripped" in (rows[2]["note"] or "")


def test_sentences_of_a_note_are_apart() -> None:
    one = {"source": "synthal", "icv_mm3": 0.8e6, "note": icv.what_it_lacks(0.8e6, stripped=True)}
    row = icv.judged(one)
    assert row["status"] == "excluded" and "inside the skull is not counted. The intracranial volume is" in row["note"]
    assert not icv.judged(one | {"icv_mm3": 1.4e6})["note"].endswith(".")
    assert icv.judged(one | {"note": None})["note"].startswith("The intracranial volume is 0.8")


@pytest.mark.parametrize("by", ["derivatives", "subjects directory"])
def test_etiv_is_read_beside_given_masks(tmp_path: Path, by: str) -> None:
    place, out = tmp_path / "fs", tmp_path / "out"
    stats = place / "sub-01_ses-1" / "stats" / "aseg.stats"
    stats.parent.mkdir(parents=True)
    head = "# Measure EstimatedTotalIntraCranialVol, eTIV, Estimated Total Intracranial Volume, 1764143.0, mm^3\n"
    stats.write_text(f"{head}# ColHeaders StructName Volume_mm3 NVoxels SegId\nThalamus 1 1 10\nThalamus 1 1 49\n")
    tree = {"inputs": {"derivatives": {"freesurfer": str(place)}}}
    if by == "subjects directory":
        tree = {"tools": {"freesurfer": {"subjects_dir": str(place)}}}
    one = Session("01", "1", {"T1w": InputImage(tmp_path / "t1w.nii.gz", "bids:raw:t1w.nii.gz", "T1w")})
    made = SessionPlan(one, out, load(None, tree), images={"T1w": "sub-01_ses-1 anatomy"})
    icv.add_steps(made)
    (step,) = made.steps
    assert step.inputs["freesurfer results"] == stats
    write_json(tmp_path / "t1w.json", {"SkullStripped": False, "IntracranialVolumeMm3": 1.3e6})
    inputs = {**step.inputs, "synthal": tmp_path / "t1w.json"}
    icv.icv(inputs, {"icv": tmp_path / "out.tsv"}, step.params, {})
    assert [(r["source"], r["icv_mm3"]) for r in read_table(tmp_path / "out.tsv")] == [
        ("freesurfer", "1764143.0"), ("synthal", "1300000.0"),
    ]  # fmt: skip
    (place / "sub-01_ses-1" / "scripts").mkdir()
    (place / "sub-01_ses-1" / "scripts" / "IsRunning.lh+rh").touch()
    made.steps.clear()
    icv.add_steps(made)
    assert "freesurfer results" not in made.steps[0].inputs


def test_a_head_that_is_cut_off_has_no_intracranial_volume(tmp_path: Path) -> None:
    write_json(tmp_path / "t1w.json", {"SkullStripped": False, "IntracranialVolumeMm3": None})
    params = icv.IcvParams("01", None, {})
    icv.icv({"synthal": tmp_path / "t1w.json"}, {"icv": tmp_path / "out.tsv"}, params, {})
    (row,) = read_table(tmp_path / "out.tsv")
    assert row["icv_mm3"] is None and "field of view" in (row["note"] or "")


def test_a_volume_that_is_not_there_has_a_reason_and_that_of_a_stripped_scan_a_caution() -> None:
    assert "field of view" in str(icv.what_it_lacks(None, stripped=True))
    assert "skull-stripped" in str(icv.what_it_lacks(1.5e6, stripped=True))
    assert icv.what_it_lacks(1.5e6, stripped=False) is None
