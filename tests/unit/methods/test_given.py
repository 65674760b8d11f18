"""Masks made elsewhere come to the T1w grid by their header, whatever the header says."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import HEADER_KINDS, ORIENTATIONS, affine_of, rotation_matrix, with_header
from thalbids.errors import ImageError
from thalbids.image.io import load_image
from thalbids.image.orientation import to_ras
from thalbids.methods import given

SHAPE = (30, 36, 28)
LEFT_CENTRE, RIGHT_CENTRE = (-5.0, -6.0, 5.0), (10.0, -6.0, 5.0)  # the grids of affine_of are centred near (3, -5, 7)


def two_balls(affine: np.ndarray, shape: tuple[int, int, int] = SHAPE, radius: float = 5.0) -> np.ndarray:
    """10 in the left ball, 49 in the right one."""
    index = np.indices(shape).reshape(3, -1)
    world = (affine[:3, :3] @ index + affine[:3, 3:]).T
    out = np.zeros(len(world), np.uint8)
    for label, centre in ((10, LEFT_CENTRE), (49, RIGHT_CENTRE)):
        out[((world - centre) ** 2).sum(1) <= radius**2] = label
    return out.reshape(shape)


def head(affine: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> nib.Nifti1Image:
    image = nib.Nifti1Image(np.random.default_rng(1).random(shape, dtype=np.float32), affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    return image


def save(image: nib.Nifti1Image, path: Path) -> Path:
    nib.save(image, path)
    return path


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", HEADER_KINDS)
def test_a_mask_on_the_raw_voxels_keeps_every_voxel(tmp_path: Path, orientation: str, kind: str) -> None:
    affine = affine_of(orientation, SHAPE)
    raw = save(with_header(head(affine), kind), tmp_path / "raw.nii.gz")
    mask = nib.Nifti1Image(two_balls(affine), affine)
    mask.set_sform(affine, code=1)
    mask.set_qform(affine, code=1)
    path = save(with_header(mask, kind), tmp_path / "mask.nii.gz")
    t1w, way = to_ras(load_image(raw))
    labels, notes = given.on_grid(path, raw, t1w)
    assert notes == []
    assert (np.asarray(way.invert(nib.Nifti1Image(labels, t1w.affine)).dataobj) == np.asarray(mask.dataobj)).all()


def bare(data: np.ndarray, zooms: tuple[float, float, float]) -> nib.Nifti1Image:
    """An image whose header holds voxel sizes and no geometry."""
    image = nib.Nifti1Image(data, None)
    image.header.set_zooms(zooms)
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    return image


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1)])
def test_a_mask_drawn_on_a_t1w_without_geometry_lies_on_its_voxels(tmp_path: Path, signs: tuple) -> None:
    """ITK-SNAP gives such an image an origin at 0 and writes that into the mask, with a code."""
    raw = save(bare(np.asarray(head(np.eye(4)).dataobj), (1.0, 1.0, 1.0)), tmp_path / "raw.nii.gz")
    t1w, way = to_ras(load_image(raw))
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:9, 5:12, 6:11] = 1
    drawn = nib.Nifti1Image(labels, np.diag([*signs, 1.0]))
    drawn.set_qform(drawn.affine, code=1)
    path = save(drawn, tmp_path / "mask.nii.gz")
    found, notes = given.on_grid(path, raw, t1w)
    assert (np.asarray(way.invert(nib.Nifti1Image(found, t1w.affine)).dataobj) == labels).all()
    assert "another geometry" in notes[0]


def test_a_mask_in_the_other_geometry_of_the_header_lies_on_the_voxels(tmp_path: Path) -> None:
    sform, qform = affine_of("RAS", SHAPE), rotation_matrix(0, 0, 20) @ affine_of("RAS", SHAPE)
    image = head(sform)
    image.set_qform(qform, code=1)
    raw = save(image, tmp_path / "raw.nii.gz")
    drawn = nib.Nifti1Image(two_balls(sform), qform)
    drawn.set_qform(qform, code=1)
    drawn.set_sform(qform, code=1)
    t1w, _ = to_ras(load_image(raw))
    found, notes = given.on_grid(save(drawn, tmp_path / "mask.nii.gz"), raw, t1w)
    assert (found == two_balls(sform)).all()
    assert len(notes) == 1


def test_a_mask_without_geometry_lies_on_the_voxels_of_a_t1w_of_its_shape(tmp_path: Path) -> None:
    affine = affine_of("LPS", SHAPE)
    raw = save(head(affine), tmp_path / "raw.nii.gz")
    t1w, way = to_ras(load_image(raw))
    path = save(bare(two_balls(affine), (1.0, 1.0, 1.0)), tmp_path / "mask.nii.gz")
    found, notes = given.on_grid(path, raw, t1w)
    assert (np.asarray(way.invert(nib.Nifti1Image(found, t1w.affine)).dataobj) == two_balls(affine)).all()
    assert "no geometry" in notes[0]


def test_a_mask_on_a_finer_grid_keeps_volume_and_place(tmp_path: Path, orientation: str) -> None:
    affine = affine_of(orientation, SHAPE)
    raw = save(head(affine), tmp_path / "raw.nii.gz")
    fine = affine_of("RAS", (80, 80, 80)) @ np.diag([0.5, 0.5, 0.5, 1])
    fine[:3, 3] = np.array([3.0, -5.0, 7.0]) - 0.25 * 79
    mask = two_balls(fine, (80, 80, 80))
    t1w, _ = to_ras(load_image(raw))
    found, _ = given.on_grid(save(nib.Nifti1Image(mask, fine), tmp_path / "mask.nii.gz"), raw, t1w)
    volume = abs(np.linalg.det(affine[:3, :3]))
    for label, centre in ((10, LEFT_CENTRE), (49, RIGHT_CENTRE)):
        index = np.argwhere(found == label)
        assert len(index) * volume == pytest.approx(4 / 3 * np.pi * 125, rel=0.06)
        assert np.abs(index.mean(0) @ t1w.affine[:3, :3].T + t1w.affine[:3, 3] - centre).max() < 0.3


def test_a_mask_outside_the_field_of_view_or_the_brain_is_refused(tmp_path: Path) -> None:
    affine = affine_of("RAS", SHAPE)
    raw = save(head(affine), tmp_path / "raw.nii.gz")
    t1w, _ = to_ras(load_image(raw))
    away = affine.copy()
    away[:3, 3] += (40, 0, 0)
    path = save(nib.Nifti1Image(two_balls(affine), away), tmp_path / "mask.nii.gz")
    with pytest.raises(ImageError, match="field of view"):
        given.on_grid(path, raw, t1w)
    brain = np.zeros(SHAPE, np.uint8)
    brain[:10] = 1
    mask = np.zeros(SHAPE, bool)
    mask[8:13] = True  # 2 of 5 planes in the brain
    with pytest.raises(ImageError, match="only 40 % of it lie in the brain"):
        given.check_in_brain(mask, brain, path)
    mask[6:8] = True  # 4 of 7
    assert given.check_in_brain(mask, brain, path) == pytest.approx(4 / 7)
    with pytest.raises(ImageError, match="the mask is empty"):
        given.on_grid(save(nib.Nifti1Image(np.zeros(SHAPE, np.uint8), affine), tmp_path / "empty.nii.gz"), raw, t1w)


@pytest.mark.parametrize("turn", [(0, 0, 0), (0, 0, 25), (0, 20, 0), (10, -15, 20)])
def test_a_binary_mask_is_split_along_the_midline_of_a_turned_head(orientation: str, turn: tuple) -> None:
    """Two ellipsoids longer than they are apart: the plane x = centre alone would cut the turned ones wrongly."""
    affine, shape = affine_of(orientation, (50, 60, 50)), (50, 60, 50)
    if orientation.startswith("anisotropic"):
        shape = (60, 60, 20)
        affine = affine_of(orientation, shape)
    middle = np.array([2.5, -6.0, 5.0])
    world = np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    local = (world - middle) @ rotation_matrix(*turn)[:3, :3]  # into the head's own axes
    truth = np.zeros(len(world), np.uint8)
    for label, x in ((10, -7.0), (49, 7.0)):
        truth[(((local - (x, 0, 0)) / (6.5, 14, 9)) ** 2).sum(1) <= 1] = label
    truth = truth.reshape(shape)
    found = given.split(truth != 0, affine, tuple(middle + (1.5, 2, -2)))  # the network's centre errs a little
    assert (found != truth).sum() <= 0.01 * (truth != 0).sum()


def test_a_mask_of_one_side_is_not_split() -> None:
    affine = affine_of("RAS", SHAPE)
    left = two_balls(affine) == 10
    assert set(np.unique(given.split(left, affine, (2.5, -6, 5)))) == {0, 10}


def test_labels_are_taken_as_they_are_and_others_are_named(tmp_path: Path) -> None:
    affine, path = affine_of("RAS", SHAPE), tmp_path / "x_dseg.nii.gz"
    aseg = two_balls(affine).astype(np.int32)
    aseg[0, 0, :3] = 17
    found = given.thalamus_of(aseg, True, affine, (0, 0, 0), path)
    assert (found == two_balls(affine)).all()
    with pytest.raises(ImageError, match="labels 1, 2, not 10"):
        given.thalamus_of(np.array([[[0, 1, 2]]]), True, affine, (0, 0, 0), path)
    with pytest.raises(ImageError, match="labels 10, not 10"):
        given.thalamus_of(np.array([[[0, 10]]]), True, affine, (0, 0, 0), path)
    assert (given.thalamus_of((aseg > 0) * 255, False, affine, (2.5, -6, 5), path)[aseg == 10] == 10).all()
