"""Masks of a session compared: counts by hand, other grids, another person's mask, damage."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tests.conftest import rotation_matrix, with_header
from thalbids.group.comparison import SessionMasks, compare, compare_all
from thalbids.group.statistics.concordance import containment, paired

SHAPE = (40, 36, 32)
AFFINE = np.diag([0.8, 1.0, 1.5, 1.0])


def box(x: int, y: int = 10, z: int = 8, size: tuple[int, int, int] = (10, 8, 6)) -> np.ndarray:
    """A box that starts at a voxel."""
    data = np.zeros(SHAPE, np.uint8)
    data[x : x + size[0], y : y + size[1], z : z + size[2]] = 1
    return data


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    nib.save(image, path)
    return path


def job(
    folder: Path, methods: dict[str, np.ndarray], manual: dict[str, np.ndarray], person: str = "sub-1"
) -> SessionMasks:
    files = {name: save(folder / f"{person}_{name}.nii.gz", data) for name, data in (methods | manual).items()}
    return SessionMasks(person, "ses-1", {m: files[m] for m in methods}, {r: files[r] for r in manual}, tuple(methods))


def test_counts_of_shifted_boxes(tmp_path: Path) -> None:
    """A box of 10 x 8 x 6 voxels shifted by 2 along x: 8/10 in common; every distance is 0 or at most 1.6 mm."""
    made = compare(job(tmp_path, {"first": box(12), "dbsegment": box(10)}, {"manual": box(10)}))
    row, same = made.overlap
    assert (row["tp"], row["fp"], row["fn"]) == (8 * 48, 2 * 48, 2 * 48)
    assert row["dice"] == row["precision"] == row["sensitivity"] == pytest.approx(0.8)
    assert row["volume_similarity"] == 1
    assert row["hd95_mm"] == pytest.approx(1.6)
    assert row["volume_ml"] == pytest.approx(480 * 1.2 / 1000)
    assert (same["dice"], same["assd_mm"], same["status"]) == (1, 0, "ok")
    assert made.names == ("first", "dbsegment")
    assert made.common == ((480, 384), (384, 480))
    assert not made.notes and not made.problems


def test_sensitivity_over_precision_is_the_ratio_of_volumes(tmp_path: Path) -> None:
    made = compare(job(tmp_path, {"first": box(8, size=(14, 9, 7))}, {"manual": box(10)}))
    row = made.overlap[0]
    assert row["sensitivity"] / row["precision"] == pytest.approx(row["volume_ml"] / row["volume_rater_ml"])
    assert row["sensitivity"] == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["both", "sform-only", "qform-only"])
@pytest.mark.parametrize("order", [[[0, -1], [1, -1], [2, 1]], [[2, 1], [0, -1], [1, 1]]])
def test_a_mask_drawn_on_the_raw_scan_before_reorientation(tmp_path: Path, kind: str, order: list[list[int]]) -> None:
    affine = rotation_matrix(4, -7, 3) @ AFFINE
    methods = {"synthalT1w": save(tmp_path / "method.nii.gz", box(11), affine)}
    raw = nib.Nifti1Image(box(10), affine).as_reoriented(np.array(order))
    raw.set_sform(raw.affine, code=1)
    raw.set_qform(raw.affine, code=1)
    nib.save(with_header(raw, kind), tmp_path / "manual.nii.gz")
    made = compare(SessionMasks("sub-1", None, methods, {"manual": tmp_path / "manual.nii.gz"}))
    assert made.overlap[0]["dice"] == pytest.approx(0.9)
    assert "was put on the session's grid" in made.notes[0]
    assert "(+0.00 %)" in made.notes[0]


def test_a_mask_on_a_much_other_grid_is_warned_of(tmp_path: Path) -> None:
    """3 mm voxels that hold a thin plate lose or gain much of it; a plate half outside is named too."""
    methods = {"synthalT1w": save(tmp_path / "method.nii.gz", box(10))}
    coarse = np.zeros((16, 16, 16), np.uint8)
    coarse[3:6, 3:6, 15] = 1
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = [24.0, 0.0, 0.0]  # 0.8 mm voxels end at 31.6 mm: the plate reaches from 31.5 to 40.5
    made = compare(SessionMasks("sub-1", None, methods, {"manual": save(tmp_path / "manual.nii.gz", coarse, affine)}))
    assert made.notes[0].startswith("warning: sub-1: the mask of manual (16 x 16 x 16 voxels, RAS)")
    assert "outside the field of view" in made.notes[0]


def test_the_mask_of_another_person_is_named_and_left_out(tmp_path: Path) -> None:
    methods = {"first": box(10), "dbsegment": box(11)}
    good = compare(job(tmp_path, methods, {"manual": box(10)}))
    wrong = compare(job(tmp_path, methods, {"manual": box(25, 22, 20), "manual2": box(11)}, person="sub-2"))
    assert "sub-2_ses-1: the mask of manual meets none of the 2 methods' masks" in wrong.problems[0]
    table = pd.DataFrame([*good.overlap, *wrong.overlap])
    assert set(table[table["rater"] == "manual"]["status"]) == {"ok", "excluded"}
    rows = [row for row in paired.summary(table, seed=1) if row["rater"] == "manual" and row["metric"] == "dice"]
    assert {row["n"] for row in rows} == {1}
    assert wrong.raters[0]["status"] == "excluded"
    assert "manual is of another person" in wrong.raters[0]["reason"]


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ({}, "the mask of b lies outside the image: it is of another person"),
        ({"first": box(10)}, "the mask of b does not meet the mask of first (Dice at most 0.000): it is"),
        ({"first": box(10), "dbsegment": box(11)}, "the mask of b meets none of the 2 methods' masks (Dice at most"),
    ],
)
def test_a_mask_outside_the_image_is_told_beside_any_number_of_methods(
    methods: dict[str, np.ndarray], said: str, tmp_path: Path
) -> None:
    masks = job(tmp_path, methods, {"a": box(10), "b": box(10)})
    far = AFFINE.copy()
    far[:3, 3] = 500.0
    save(masks.raters["b"], box(10), far)
    problems = [problem for problem in compare(masks).problems if "mask of b" in problem]
    assert said in problems[0]


def test_one_method_that_errs_does_not_condemn_the_mask(tmp_path: Path) -> None:
    made = compare(job(tmp_path, {"first": box(25, 22, 20), "dbsegment": box(10)}, {"manual": box(10)}))
    assert [row["status"] for row in made.overlap] == ["ok", "ok"]
    assert made.overlap[0]["dice"] == 0


def test_empty_masks_are_nan_and_counted(tmp_path: Path) -> None:
    empty = np.zeros(SHAPE, np.uint8)
    made = compare(job(tmp_path, {"first": empty, "dbsegment": box(10)}, {"manual": box(10)}))
    assert math.isnan(made.overlap[0]["dice"]) and math.isnan(made.overlap[0]["hd95_mm"])
    assert made.overlap[0]["reason"] == "empty mask: the other mask"
    found = paired.summary(pd.DataFrame(made.overlap), seed=1)
    assert [(row["n"], row["n_empty"]) for row in found if row["metric"] == "dice"] == [(0, 1), (1, 0)]
    inner = {(row["method_inner"], row["method_outer"]): row for row in containment.containment([made])}
    assert (inner["first", "dbsegment"]["n"], inner["first", "dbsegment"]["n_empty"]) == (0, 1)
    assert inner["dbsegment", "first"]["mean"] == 0


def test_a_damaged_mask_costs_itself_only(tmp_path: Path) -> None:
    made = job(tmp_path, {"first": box(10), "dbsegment": box(11)}, {"manual": box(10)})
    made.methods["first"].write_bytes(made.methods["first"].read_bytes()[:60])
    found = compare(made)
    assert [row["method"] for row in found.overlap] == ["dbsegment"]
    assert "sub-1_ses-1: the mask of first (sub-1_first.nii.gz) cannot be used" in found.problems[0]
    assert str(tmp_path) not in found.problems[0]


@pytest.mark.slow
def test_processes_do_not_change_the_result(tmp_path: Path) -> None:
    jobs = [job(tmp_path, {"first": box(8 + i), "dbsegment": box(9)}, {"manual": box(9)}, f"sub-{i}") for i in range(5)]
    assert compare_all(jobs, nprocs=2) == compare_all(jobs, nprocs=1)
    assert [made.participant_id for made in compare_all(jobs)] == [f"sub-{i}" for i in range(5)]


def test_without_raters_only_the_contained_masks_are_read(tmp_path: Path) -> None:
    made = job(tmp_path, {"first": box(10), "dbsegment": box(12)}, {})
    nowhere = SessionMasks(
        "sub-1", "ses-1", {**made.methods, "synthalFLAIR": tmp_path / "missing.nii.gz"}, {}, made.contained
    )
    assert not compare(nowhere).problems
    assert not compare(nowhere).overlap


def test_containment_is_averaged_over_people(tmp_path: Path) -> None:
    big = box(8, size=(14, 9, 7))
    jobs = [job(tmp_path, {"mindglideT1w": box(10 + i), "first": big}, {}, f"sub-{i}") for i in (0, 6)]
    rows = {(r["method_inner"], r["method_outer"]): r for r in containment.containment(compare_all(jobs))}
    inside = rows["mindglideT1w", "first"]
    assert (inside["n"], inside["constructed"]) == (2, True)
    assert inside["mean"] == pytest.approx((1 + 0.6) / 2)  # 6 of 10 columns of the second lie in the big box
    assert inside["sd"] == pytest.approx(0.4 / math.sqrt(2))
    back = rows["first", "mindglideT1w"]
    assert back["mean"] == pytest.approx((480 + 288) / 2 / (14 * 9 * 7))
    assert not back["constructed"]
