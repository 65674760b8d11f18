"""A manual mask that is wrong, beside methods that are right: moved, cut, exchanged, mirrored, without its header."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.unit.group.test_comparison import save
from thalbids.group import manual_doubts
from thalbids.group.comparison import Compared, SessionMasks, compare
from thalbids.types import LEFT_THALAMUS, RIGHT_THALAMUS

SHAPE = (64, 56, 40)
AFFINE = np.array([[1.0, 0, 0, -31.5], [0, 1, 0, -45], [0, 0, 1, -13], [0, 0, 0, 1]])
METHODS = {"freesurfer": (1.05, 0, 0, 0), "first": (1.0, 0, 1, 0), "synthalT1w": (0.97, 0.5, 0, -0.5)}


def thalami(scale: float = 1.0, dx: float = 0, dy: float = 0, dz: float = 0) -> np.ndarray:
    """Two ellipsoids with the half axes of thalami (mm), 10 on the left and 49 on the right."""
    x, y, z = np.indices(SHAPE) + AFFINE[:3, 3, None, None, None]
    labels = np.zeros(SHAPE, np.uint8)
    for side, value in ((-1, LEFT_THALAMUS), (1, RIGHT_THALAMUS)):
        place = ((x - dx - 12 * side) / 8) ** 2 + ((y - dy + 18) / 15) ** 2 + ((z - dz - 6) / 9) ** 2
        labels[place <= scale**2] = value
    return labels


def judged(
    folder: Path, drawn: np.ndarray, methods: tuple[str, ...] = tuple(METHODS), affine: object = None
) -> Compared:
    files = {name: save(folder / f"{name}.nii.gz", thalami(*METHODS[name]), AFFINE) for name in methods}
    manual = save(folder / "manual.nii.gz", drawn.astype(np.uint8), AFFINE if affine is None else np.asarray(affine))
    return compare(SessionMasks("sub-1", "ses-1", files, {"manual": manual}))


def doubt(compared: Compared) -> str:
    (said,) = {str(row["doubt"]) for row in compared.overlap}
    return said


def moved(axis: int, by: int) -> np.ndarray:
    return np.roll(thalami(), by, axis)


@pytest.mark.parametrize("drawn", [thalami(), thalami() > 0, thalami(0.93), thalami(1.08), thalami(1, 1.5, 1, 1)])
def test_a_sound_mask_is_not_doubted(tmp_path: Path, drawn: np.ndarray) -> None:
    compared = judged(tmp_path, drawn)
    assert doubt(compared) == "" and compared.problems == []


@pytest.mark.parametrize(("axis", "by", "way"), [(0, 6, "right"), (0, -6, "left"), (1, 6, "front"), (2, -6, "bottom")])
def test_a_mask_that_lies_six_millimetres_off_is_named_and_counts(tmp_path: Path, axis: int, by: int, way: str) -> None:
    compared = judged(tmp_path, moved(axis, by))
    assert doubt(compared).startswith("3 of 3 methods contradict it (freesurfer, first, synthalT1w).")
    assert f"towards the {way}" in doubt(compared)
    assert {row["status"] for row in compared.overlap} == {"ok"}
    assert compared.problems[0].startswith("sub-1_ses-1: the mask of manual is in doubt: ")


def test_a_lower_third_that_is_missing_is_named(tmp_path: Path) -> None:
    drawn = thalami()
    drawn[:, :, : int(np.quantile(np.argwhere(drawn)[:, 2], 1 / 3))] = 0
    assert "at the bottom" in doubt(judged(tmp_path, drawn))


def test_one_method_alone_cannot_say_which_of_two_is_wrong(tmp_path: Path) -> None:
    said = doubt(judged(tmp_path, moved(1, 6), ("first",)))
    assert said.startswith("1 of 1 methods contradict it (first), and no other family of methods tells which of the")
    assert doubt(judged(tmp_path, thalami(1, 1.5, 1, 1), ("first",))) == ""


def test_an_empty_mask_is_named(tmp_path: Path) -> None:
    compared = judged(tmp_path, np.zeros(SHAPE))
    assert doubt(compared) == "it is empty"
    assert compared.problems[0].startswith("sub-1_ses-1: the mask of manual is in doubt: it is empty")


def test_methods_that_contradict_each_other_do_not_decide(tmp_path: Path) -> None:
    files = {name: save(tmp_path / f"{name}.nii.gz", data, AFFINE)
             for name, data in (("first", moved(1, 8)), ("freesurfer", moved(1, -8)))}  # fmt: skip
    manual = save(tmp_path / "manual.nii.gz", thalami(), AFFINE)
    assert doubt(compare(SessionMasks("sub-1", "ses-1", files, {"manual": manual}))) == ""


def test_exchanged_labels_are_named(tmp_path: Path) -> None:
    drawn = np.where(thalami() > 0, LEFT_THALAMUS + RIGHT_THALAMUS - thalami(), 0).astype(np.uint8)
    assert (
        doubt(judged(tmp_path, drawn)) == "its label of the left thalamus (10) lies right of that of the right one (49)"
    )


@pytest.mark.parametrize("affine", [np.eye(4), np.diag([-1.0, 1, 1, 1])])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_a_lost_header_is_told_with_its_remedy(tmp_path: Path, affine: np.ndarray, order: tuple[int, ...]) -> None:
    """Of the grid of the masks, and of the raw image with other axes: it lies elsewhere, or beyond the image."""
    compared = judged(tmp_path, np.ascontiguousarray((thalami() > 0).transpose(order)), affine=affine)
    assert {row["status"] for row in compared.overlap} == {"excluded"}
    assert "without its header it lies on the mask of freesurfer (Dice 0." in doubt(compared)
    assert "fslcpgeom" in doubt(compared)


def test_a_mask_beyond_the_field_of_view_is_no_empty_one(tmp_path: Path) -> None:
    far = AFFINE.copy()
    far[:3, 3] += 300
    compared = judged(tmp_path, (thalami(0.9) > 0)[:, :, 4:], affine=far)
    assert {row["status"] for row in compared.overlap} == {"excluded"}
    assert "meets none of the 3 methods' masks" in str(compared.overlap[0]["reason"])


def test_labels_of_a_file_that_is_no_label_map_are_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "x.nii.gz"
    nib.save(nib.Nifti1Image(np.random.default_rng(0).random(SHAPE).astype(np.float32), AFFINE), path)
    assert manual_doubts.exchanged_labels(path, AFFINE) == ""
