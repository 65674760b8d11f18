"""Acquisition and comparability at the group level: flagged pairs are named, and results are there without them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cohort import morph_row, write_cohort, write_rows
from tests.unit.group.small import cohort_of, morph
from thalbids.bids.tabular.tables import write
from thalbids.group.analyses.clinical import longitudinal
from thalbids.group.analyses.over_time import comparability
from thalbids.group.analyses.over_time.change import change
from thalbids.group.cohort import Cohort
from thalbids.group.modelling import models
from thalbids.group.modelling.samples import pairs
from thalbids.reports.group.group_data import Tables

THIN: dict[str, Any] = {
    "voxel_size_mm": [1.0, 1.0, 1.0], "field_of_view_mm": [176.0, 256.0, 256.0], "slice_thickness_mm": 1.0,
    "slice_direction": None, "scanner": "Siemens Prisma", "contrast_agent": None, "field_strength_t": 3.0,
    "repetition_time_s": 2.5, "echo_time_s": None, "inversion_time_s": 1.0, "flip_angle_deg": 8.0,
}  # fmt: skip


def write_document(
    out: Path, person: str, session: str, flags: tuple[str, ...] = (), icv: float = 1.5e6, **facts
) -> None:
    path = out / person / session / "anat" / f"{person}_{session}_desc-thalamus_qc.json"
    content = {
        "Images": {"T1w": {"acquisition": THIN | facts}},
        "Masks": {},
        "ICV": [{"source": "synthal", "icv_mm3": icv, "flags": []}],
        "Flags": [{"scope": "image:T1w", "rule": rule, "severity": "check"} for rule in flags],
        "Registrations": [],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def two_people(tmp_path: Path) -> Cohort:
    """One whose scanner changed and whose volume rises by 10 %, one who is scanned alike and loses 1 %."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    for person, later in (("sub-01", 11000.0), ("sub-02", 9900.0), ("sub-03", 9800.0)):
        for session, volume in (("ses-1", 10000.0), ("ses-2", later)):
            morph(out, person, session, morph_row("first", volume, volume / 2, volume / 2))
    write_document(out, "sub-01", "ses-1")
    write_document(out, "sub-01", "ses-2", ("thick_slices",), scanner="GE Signa", slice_thickness_mm=3.0)
    write_document(out, "sub-02", "ses-1")
    write_document(out, "sub-02", "ses-2")
    return cohort_of(raw, out)


def test_pairs_are_named_in_group_change_with_the_reason(tmp_path: Path) -> None:
    frame = change(two_people(tmp_path)).set_index("participant_id")
    assert frame["comparable"].to_dict() == {"sub-01": "no", "sub-02": "yes", "sub-03": ""}
    assert "another scanner: Siemens Prisma against GE Signa" in frame.loc["sub-01", "remark"]
    assert "thick slices" in frame.loc["sub-01", "remark"]
    assert frame.loc["sub-02", "remark"] == ""


def test_change_is_summarised_with_and_without_the_flagged_pairs(tmp_path: Path) -> None:
    cohort = two_people(tmp_path)
    rows = {(r["measure"], r["pairs"]): r for r in comparability.summaries(cohort, "first:last")}
    assert rows["delta_percent", "all"]["n"] == 3
    assert rows["delta_percent", "all"]["mean"] == pytest.approx((10 - 1 - 2) / 3)
    assert rows["delta_percent", "comparable"]["n"] == 2
    assert rows["delta_percent", "comparable"]["mean"] == pytest.approx(-1.5)


def test_a_mask_whose_sides_parted_is_remarked(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    morph(out, "sub-01", "ses-1", morph_row("first", 12000, 6000, 6000), morph_row("synthalT1w", 12000, 6000, 6000))
    morph(out, "sub-01", "ses-2", morph_row("first", 11100, 5150, 5950), morph_row("synthalT1w", 11900, 5950, 5950))
    frame = change(cohort_of(raw, out)).set_index("method")
    assert frame["comparable"].to_dict() == {"first": "no", "synthalT1w": ""}
    assert "cut off" in frame.loc["first", "remark"]


def test_the_acquisition_of_every_image_is_in_a_table(tmp_path: Path) -> None:
    made = {t.name: t.frame for t in comparability.tables(two_people(tmp_path))}
    rows = made["group_acquisition"].set_index(["participant_id", "session_id"])
    assert len(rows) == 4
    assert rows.loc[("sub-01", "ses-2"), "scanner"] == "GE Signa"
    assert rows.loc[("sub-01", "ses-2"), "flags"] == "thick_slices"
    assert np.isnan(rows.loc[("sub-02", "ses-1"), "echo_time_s"])


def test_models_without_the_flagged_pairs_are_those_of_the_other_people(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 24, 2, ("first",))
    people = sorted(path.name for path in out.glob("sub-*"))
    sessions = sorted(path.name for path in (out / people[0]).glob("ses-*"))
    for number, person in enumerate(people):
        for session in sessions:
            write_document(out, person, session, scanner="GE" if number < 4 and session == sessions[1] else "Siemens")
    cohort = cohort_of(raw, out)
    found = comparability.models_without(cohort)
    kept = pairs(cohort)
    chosen = kept.where(kept.table["participant_id"].isin(people[4:]).to_numpy())
    plain = models.rows(longitudinal.plan(cohort), cohort, chosen, ("all",))
    assert len(found) == len(plain) > 0
    for one, other in zip(found, plain, strict=True):
        assert (one["term"], one["outcome"], one["n"]) == (other["term"], other["outcome"], other["n"])
        np.testing.assert_equal(one["estimate"], other["estimate"])
    for person in people[:4]:
        write_document(out, person, sessions[1], scanner="Siemens")
    assert comparability.models_without(cohort_of(raw, out)) == []


@pytest.mark.parametrize("asked", [False, True])
def test_a_distrusted_icv_enters_only_when_asked_and_is_counted(tmp_path: Path, asked: bool) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    for person, icv, status in (("sub-01", 2400000, "excluded"), ("sub-02", 1500000, "ok")):
        path = morph(out, person, "ses-1", morph_row("first", 10000, 5000, 5000))
        row = {"source": "synthal", "icv_mm3": icv, "note": None, "status": status}
        write_rows(path.with_name(path.name.replace("desc-thalamus", "desc-icv")), [row])
    cohort = cohort_of(raw, out, distrusted_icv=asked)
    known = cohort.volumes.set_index("participant_id")["icv_ml"]
    assert known["sub-02"] == 1500
    assert known["sub-01"] == 2400 if asked else np.isnan(known["sub-01"])
    assert any("1 of 2 intracranial volumes" in note for note in cohort.notes) != asked
    for made in comparability.tables(cohort):
        write(made, out)
    says = " ".join(comparability.section(Tables(out)).says)
    assert "1 intracranial volume of 2 is distrusted" in says


def test_the_page_says_how_many_pairs_and_images_are_flagged(tmp_path: Path) -> None:
    cohort = two_people(tmp_path)
    for made in comparability.tables(cohort):
        write(made, tmp_path / "out")
    made_section = comparability.section(Tables(tmp_path / "out"))
    text = " ".join(made_section.says)
    assert "1 of 4 images has slices of 2.5 mm or more" in text
    assert "1 of 3 pairs of visits" in text
    assert made_section.tables[0].rows[0][1].endswith("3") and made_section.tables[0].rows[0][2].endswith("2")
