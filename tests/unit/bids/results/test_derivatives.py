"""Our own derivatives, read again: places in natural order, masks by label, rows that say why they are no volume."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.cohort import morph_row, write_rows
from thalbids.bids.results import derivatives
from thalbids.bids.results.derivatives import CHANGES, Place, read_changes
from thalbids.errors import NoInputError


def place(root: Path, person: str = "sub-01", session: str = "ses-1") -> Path:
    folder = root / person / session / "anat"
    folder.mkdir(parents=True)
    return folder


def test_places_in_natural_order_and_of_those_asked_for(tmp_path: Path) -> None:
    for person, session in (("sub-10", "ses-1"), ("sub-9", "ses-10"), ("sub-9", "ses-2")):
        (place(tmp_path, person, session) / "x.nii").touch()
    place(tmp_path, "sub-8")  # empty
    names = [found.name for found in derivatives.find_places(tmp_path)]
    assert names == ["sub-9_ses-2", "sub-9_ses-10", "sub-10_ses-1"]
    assert [p.name for p in derivatives.find_places(tmp_path, ["9"], ["2"])] == ["sub-9_ses-2"]
    with pytest.raises(NoInputError):
        derivatives.find_places(tmp_path / "nowhere")


def test_masks_by_their_label_and_what_only_looks_like_one() -> None:
    names = ("sub-1_acq-b_label-thalamus_desc-first_mask.nii.gz", "sub-1_label-thalamus_desc-first_mask.nii.gz",
             "sub-1_desc-brain_mask.nii.gz", "sub-1_thalamus.nii.gz",
             ".sub-1_label-thalamus_desc-x_mask.nii.gz")  # fmt: skip
    found = Place("sub-1", "", Path("anat"), names)
    assert found.masks() == {"first": Path("anat", names[1])}  # fewer entities first
    assert found.misnamed() == ["sub-1_thalamus.nii.gz"]
    assert found.name == "sub-1"


@pytest.mark.parametrize(
    ("row", "status", "why"),
    [
        (morph_row("first", 12000.0, 6000, 6000), "ok", ""),
        (morph_row("first", 0.0), "failed", "the volume is 0.0"),
        (morph_row("first", 90000.0), "failed", "no pair of thalami"),
        (morph_row("first", 12000.0) | {"status": "good"}, "failed", "unknown status 'good'"),
        (morph_row("first", 12000.0) | {"status": "excluded", "reason": "cut"}, "excluded", "cut"),
    ],
)
def test_a_row_is_a_volume_in_ml_or_says_why_not(tmp_path: Path, row: dict, status: str, why: str) -> None:
    write_rows(place(tmp_path) / "sub-01_ses-1_desc-thalamus_morph.tsv", [row])
    (found,) = derivatives.read_volumes(derivatives.find_places(tmp_path)).rows
    assert found["status"] == status and why in found["reason"]
    assert found["volume_ml"] == pytest.approx(float(row["volume_mm3"]) / 1000)


def test_a_method_twice_is_used_only_when_both_rows_agree(tmp_path: Path) -> None:
    rows = [morph_row("first", 12000.0), morph_row("first", 12000.0), morph_row("x", 9000.0), morph_row("x", 9001.0)]
    write_rows(place(tmp_path) / "sub-01_ses-1_desc-thalamus_morph.tsv", rows)
    read = derivatives.read_volumes(derivatives.find_places(tmp_path))
    assert [(row["method"], row["status"]) for row in read.rows] == [("first", "ok"), ("x", "failed")]
    assert "twice, with different values" in read.notes[0]


def test_several_scans_of_a_session_are_repeats(tmp_path: Path) -> None:
    folder = place(tmp_path)
    for run, volume in ((2, 11000.0), (1, 12000.0)):
        write_rows(folder / f"sub-01_ses-1_run-{run}_desc-thalamus_morph.tsv", [morph_row("first", volume)])
    read = derivatives.read_volumes(derivatives.find_places(tmp_path))
    assert [row["entities"] for row in read.rows] == ["run-1"]
    assert [row["entities"] for row in read.repeats] == ["run-1", "run-2"]


def test_intracranial_volumes(tmp_path: Path) -> None:
    rows = [{"source": "synthal", "icv_mm3": "1500000", "note": "stripped"}, {"source": "x", "icv_mm3": "-1"},
            {"source": "fs", "icv_mm3": "1400000", "status": "excluded"}]  # fmt: skip
    rows = [{"status": "ok", "note": "n/a", **row} for row in rows]
    write_rows(place(tmp_path) / "sub-01_ses-1_desc-icv_morph.tsv", rows)
    read, notes = derivatives.read_icv(derivatives.find_places(tmp_path))
    assert [(row["source"], row["icv_ml"], row["status"], row["note"]) for row in read] == [
        ("synthal", 1500.0, "ok", "stripped"), ("fs", 1400.0, "excluded", None),
    ]  # fmt: skip
    assert notes == []


@pytest.mark.parametrize(("text", "value"), [("1.5", 1.5), ("n/a", None), ("inf", None), (None, None)])
def test_a_number_is_finite_or_none(text: str | None, value: float | None) -> None:
    found = derivatives.number(text)
    assert found == value if value is not None else math.isnan(found)


@pytest.mark.parametrize(("left", "status"), [("-1.5", "ok"), ("n/a", "ok"), ("-150", "failed"), ("-100", "failed")])
def test_a_side_cannot_lose_more_than_it_has(tmp_path: Path, left: str, status: str) -> None:
    folder = tmp_path / "sub-01" / "anat"
    folder.mkdir(parents=True)
    row = dict.fromkeys(CHANGES[1:], "n/a") | {
        "measure": "registration", "method": "synthalT1w", "status": "ok", "delta_percent": "-2",
        "delta_left_percent": left,
    }  # fmt: skip
    (folder / "sub-01_desc-change_morph.tsv").write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    (found,), _, notes = read_changes(tmp_path)
    assert found["status"] == status and not notes
