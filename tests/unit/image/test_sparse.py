"""Masks as lists of voxels, against the dense arrays and the careful reader."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import affine_of, rotation_matrix, with_header, world_coordinates
from thalbids.errors import ImageError
from thalbids.image import sparse
from thalbids.image.grids import resample_to
from thalbids.image.io import load_labels
from thalbids.image.overlap import Counts, counts

SHAPE = (24, 30, 16)


def ball(orientation: str, radius: float = 6.0, shape: tuple[int, int, int] = SHAPE) -> nib.Nifti1Image:
    """A ball about a point of the world off the grid's centre."""
    affine = affine_of(orientation, shape)
    world = world_coordinates(affine, shape) - np.array([4.1, -3.3, 6.2]).reshape(3, 1, 1, 1)
    image = nib.Nifti1Image((np.sum(world**2, axis=0) < radius**2).astype(np.uint8), affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    return image


def test_reading_gives_the_voxels_and_the_affine_of_the_careful_reader(
    tmp_path: Path, orientation: str, header_kind: str
) -> None:
    image = with_header(ball(orientation), header_kind)
    path = tmp_path / "mask.nii.gz"
    nib.save(image, path)
    assert sparse._stream(path) is not None  # the fast way was taken
    mask, careful = sparse.load_mask(path), load_labels(path)
    np.testing.assert_array_equal(mask.dense(), np.asarray(careful.dataobj) != 0)
    np.testing.assert_allclose(mask.affine, careful.affine, atol=1e-6)
    assert mask.voxels == np.count_nonzero(image.dataobj)
    assert mask.notes == careful.extra["notes"]


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", ">i4", "<u4", "<f4", ">f8"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_every_data_type_and_byte_order(tmp_path: Path, dtype: str, suffix: str) -> None:
    image = ball("LPS")
    data = np.asarray(image.dataobj).astype(dtype)
    data[data > 0] = np.resize([1, 2, 100], int((data > 0).sum()))
    header = nib.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    path = tmp_path / f"mask{suffix}"
    nib.save(nib.Nifti1Image(data, image.affine, header, dtype=np.dtype(dtype)), path)
    np.testing.assert_array_equal(sparse.load_mask(path).dense(), data != 0)


def test_a_scaled_image_with_an_offset_takes_the_careful_way(tmp_path: Path) -> None:
    image = ball("RAS")
    data = np.where(np.asarray(image.dataobj) > 0, 3, 1).astype(np.uint8)  # value 2 x - 2: 4 inside, 0 outside
    scaled = nib.Nifti1Image(data, image.affine)
    scaled.header.set_slope_inter(2, -2)
    path = tmp_path / "mask.nii.gz"
    raw = bytearray(scaled.to_bytes())
    header = nib.Nifti1Header.from_fileobj(__import__("io").BytesIO(bytes(raw)), check=False)
    header["scl_slope"], header["scl_inter"] = 2, -2
    raw[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(raw)))
    np.testing.assert_array_equal(sparse.load_mask(path).dense(), np.asarray(image.dataobj) > 0)


def test_one_volume_in_four_dimensions_and_an_empty_mask(tmp_path: Path) -> None:
    image = ball("LIA")
    path = tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[..., None], image.affine), path)
    assert sparse.load_mask(path).voxels == np.count_nonzero(image.dataobj)
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.uint8), image.affine), path)
    assert sparse.load_mask(path).voxels == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "nan", "short", "header"])
def test_damage_is_told(tmp_path: Path, damage: str) -> None:
    image, path = ball("RAS"), tmp_path / "mask.nii.gz"
    if damage == "nan":
        data = np.asarray(image.dataobj).astype(np.float32)
        data[0, 0, 0] = np.nan
        nib.save(nib.Nifti1Image(data, image.affine), path)
    else:
        raw = image.to_bytes()
        packed = bytearray(gzip.compress(raw[: {"short": -500, "header": 100}.get(damage)]))
        if damage == "cut":
            packed = packed[:-20]
        elif damage == "flipped":
            packed[-6] ^= 0xFF  # in the checksum
        path.write_bytes(bytes(packed))
    with pytest.raises(ImageError):
        sparse.load_mask(path)


def test_several_gzip_members_are_read(tmp_path: Path) -> None:
    image, path = ball("RAS"), tmp_path / "mask.nii.gz"
    raw = image.to_bytes()
    path.write_bytes(gzip.compress(raw[:2000]) + gzip.compress(raw[2000:]))
    assert sparse.load_mask(path).voxels == np.count_nonzero(image.dataobj)


def test_counts_are_those_of_dense_arrays() -> None:
    rng = np.random.default_rng(4)
    affine = affine_of("oblique", SHAPE)
    dense = [rng.random(SHAPE) < p for p in (0.02, 0.3, 0.9, 0.0, 1.0)]
    masks = [sparse.from_array(d, affine) for d in dense]
    expected = [[int((a & b).sum()) for b in dense] for a in dense]
    np.testing.assert_array_equal(sparse.pair_counts(masks), expected)
    assert sparse.counts(masks[0], masks[1]) == counts(dense[0], dense[1])
    assert sparse.counts(masks[3], masks[3]) == Counts(0, 0, 0)


def test_masks_on_different_grids_are_not_compared() -> None:
    a = sparse.from_array(np.ones(SHAPE), affine_of("RAS", SHAPE))
    with pytest.raises(ValueError, match="grids"):
        sparse.pair_counts([a, sparse.from_array(np.ones(SHAPE), affine_of("LPS", SHAPE))])


def test_a_change_of_voxel_order_is_exact(orientation: str) -> None:
    image = ball(orientation)
    mask = sparse.from_array(np.asarray(image.dataobj), image.affine)
    for flips in np.ndindex(2, 2, 2):
        order = np.stack([[2, 0, 1], [1 - 2 * f for f in flips]], axis=1)
        other = image.as_reoriented(order)
        moved, outside = sparse.onto(mask, other.shape, other.affine)
        np.testing.assert_array_equal(moved.dense(), np.asarray(other.dataobj) > 0)
        assert outside == 0
        assert moved.volume_mm3 == pytest.approx(mask.volume_mm3)


def test_resampling_is_that_of_the_dense_resampler(orientation: str) -> None:
    image = ball(orientation)
    mask = sparse.from_array(np.asarray(image.dataobj), image.affine)
    affine = rotation_matrix(7, 3, -11) @ np.diag([1.3, 0.7, 1.1, 1])
    affine[:3, 3] = [-12.3, -17.1, -3.7]
    target = nib.Nifti1Image(np.zeros((26, 40, 20), np.uint8), affine)
    moved, outside = sparse.onto(mask, target.shape, affine)
    expected = np.asarray(resample_to(image, target, order=0).dataobj) > 0
    np.testing.assert_array_equal(moved.dense(), expected)
    assert expected.any()
    assert 0 <= outside < 1


def test_a_mask_beyond_the_grid_is_lost_and_counted() -> None:
    image = ball("RAS")
    mask = sparse.from_array(np.asarray(image.dataobj), image.affine)
    far = image.affine.copy()
    far[0, 3] += 500
    moved, outside = sparse.onto(mask, SHAPE, far)
    assert (moved.voxels, outside) == (0, 1.0)
    half = image.affine.copy()
    half[0, 3] += 4.1 - half[0, 3]  # the grid starts at the ball's centre
    moved, outside = sparse.onto(mask, SHAPE, half)
    assert 0.4 < outside < 0.6
    assert moved.voxels == pytest.approx(mask.voxels * (1 - outside), rel=0.1)
