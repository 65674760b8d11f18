from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import affine_of, ramp, rotation_matrix, world_coordinates, world_image
from thalbids.errors import ImageError
from thalbids.image.grids import (
    bounding_box,
    coverage,
    resample_to,
    same_grid,
    shared,
    upright,
    voxel_volume,
    zooms,
)
from thalbids.image.orientation import to_ras


def _reference(orientation="oblique", shape=(6, 7, 8), scale=0.5):
    affine = affine_of(orientation, shape)
    affine[:3, :3] *= scale
    affine[:3, 3] = np.array([3.0, -5.0, 7.0]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return nib.Nifti1Image(np.zeros(shape), affine)


@pytest.mark.parametrize("target", ["RAS", "LPS", "oblique", "anisotropic-LPS"])
@pytest.mark.parametrize("order", [1, 3])
def test_a_ramp_is_reproduced_between_any_two_grids(orientation, target, order):
    image = world_image(orientation, (20, 22, 18))
    reference = _reference(target)
    result = resample_to(image, reference, order)
    np.testing.assert_array_equal(result.affine, reference.affine)
    expected = ramp(world_coordinates(reference.affine, reference.shape))
    # the B-spline's edge condition bends a ramp near the border; inside it decays by 0.27 a voxel
    np.testing.assert_allclose(result.get_fdata(), expected, atol=1e-3 if order == 1 else 0.02)
    assert result.get_data_dtype() == np.float32


def test_matrix_maps_reference_world_to_image_world(orientation):
    image = world_image(orientation, (20, 22, 18))
    reference = _reference()
    matrix = rotation_matrix(5, -4, 3, centre=(3, -5, 7))
    matrix[:3, 3] += (1.0, -0.5, 0.8)
    world = world_coordinates(reference.affine, reference.shape)
    moved = np.einsum("ij,jxyz->ixyz", matrix[:3, :3], world) + matrix[:3, 3][:, None, None, None]
    result = resample_to(image, reference, matrix=matrix)
    np.testing.assert_allclose(result.get_fdata(), ramp(moved), atol=1e-3)


def test_the_same_grid_gives_the_same_values(orientation):
    image = world_image(orientation)
    np.testing.assert_array_equal(resample_to(image, image).get_fdata(), image.get_fdata())
    ras, _ = to_ras(image)
    np.testing.assert_allclose(
        resample_to(image, ras).get_fdata(), ras.get_fdata(), atol=1e-3
    )  # no plane lost to rounding


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_nearest_neighbour_keeps_labels_and_type(dtype):
    labels = np.zeros((10, 10, 10), dtype)
    labels[2:5, 3:6, 4:7], labels[6:8, 6:8, 6:8] = 10, 49
    image = nib.Nifti1Image(labels, np.eye(4))
    fine = nib.Nifti1Image(np.zeros((20, 20, 20)), np.diag([0.5, 0.5, 0.5, 1]) + np.eye(4, k=3) * 0)
    fine.affine[:3, 3] = -0.25
    result = np.asanyarray(resample_to(image, fine, order=0).dataobj)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, labels.repeat(2, 0).repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize("corner", [(0, 0, 0), (6, 8, 5), (11, 12, 13)])
def test_a_small_mask_is_where_the_nearest_voxels_are(corner: tuple[int, int, int]):
    mask = np.zeros((14, 15, 16), np.uint8)
    mask[tuple(slice(c, c + 3) for c in corner)] = np.arange(27).reshape(3, 3, 3) + 1
    image = nib.Nifti1Image(mask, affine_of("LPS", mask.shape))
    reference = _reference("oblique", (40, 44, 42), 0.5)
    reference.affine[:3, 3] += image.affine[:3, :3] @ np.array(corner) + image.affine[:3, 3] - (3, -5, 7)
    world = world_coordinates(reference.affine, reference.shape).reshape(3, -1)
    voxel = np.linalg.solve(image.affine[:3, :3], world - image.affine[:3, 3:])
    shown = (np.abs(voxel - (np.array([mask.shape]).T - 1) / 2) <= np.array([mask.shape]).T / 2).all(0)
    nearest = np.clip(np.rint(voxel).astype(int), 0, np.array([mask.shape]).T - 1)
    expected = np.where(shown, mask[tuple(nearest)], 0).reshape(reference.shape)
    assert (expected > 0).sum() > 100
    np.testing.assert_array_equal(np.asanyarray(resample_to(image, reference, order=0).dataobj), expected)
    np.testing.assert_array_equal(coverage(image, reference), shown.reshape(reference.shape))


def test_outside_is_filled_and_the_half_voxel_rim_is_not():
    image = nib.Nifti1Image(np.full((8, 8, 8), 5, np.float32), np.eye(4))
    affine = np.diag([0.25, 1, 1, 1])
    affine[0, 3] = -1.0
    line = nib.Nifti1Image(np.zeros((41, 1, 1)), affine)
    x = -1 + 0.25 * np.arange(41)
    inside = (x >= -0.5) & (x <= 7.5)
    np.testing.assert_array_equal(coverage(image, line)[:, 0, 0], inside)
    np.testing.assert_array_equal(resample_to(image, line, fill=-3).get_fdata()[:, 0, 0], np.where(inside, 5, -3))


def test_no_overlap_gives_fill_only():
    image = world_image()
    far = nib.Nifti1Image(np.zeros((4, 4, 4)), np.eye(4) + np.eye(4, k=3) * 500)
    assert (resample_to(image, far, fill=1.5).get_fdata() == 1.5).all()
    assert not coverage(image, far).any()


def test_order_is_checked():
    with pytest.raises(ValueError, match="order"):
        resample_to(world_image(), world_image(), order=2)


def test_same_grid():
    a = world_image("oblique")
    b = world_image("oblique")
    assert same_grid(a, b)
    b.affine[0, 3] += 0.04
    assert same_grid(a, b)
    assert not same_grid(a, b, tol=0.01)
    b.affine[0, 3] += 0.04
    assert not same_grid(a, b)
    assert not same_grid(a, world_image("oblique", (12, 14, 11)))
    assert not same_grid(a, to_ras(world_image("LPS"))[0])
    turned = nib.Nifti1Image(np.zeros((256, 256, 256)), rotation_matrix(0.02) @ np.eye(4))  # small at the origin only
    assert not same_grid(nib.Nifti1Image(np.zeros((256, 256, 256)), np.eye(4)), turned)


def test_voxel_volume_and_zooms(orientation):
    affine = affine_of(orientation, (5, 5, 5))
    expected = 2.4 if orientation.startswith("anisotropic") else 1.0
    assert voxel_volume(affine) == pytest.approx(expected)
    assert np.prod(zooms(affine)) == pytest.approx(expected)


def test_upright_is_the_box_of_an_image_at_1_mm():
    # 4 x 6 x 5 voxels of 2 mm from (10, 20, 30) on: the box goes from 9 to 17, 19 to 31, 29 to 39
    image = nib.Nifti1Image(
        np.zeros((4, 6, 5)), np.array([[2, 0, 0, 10], [0, 2, 0, 20], [0, 0, 2, 30], [0, 0, 0, 1.0]])
    )
    grid = upright(image)
    assert grid.shape == (8, 12, 10)
    np.testing.assert_array_equal(grid.affine[:3, 3], [9.5, 19.5, 29.5])


def test_shared_is_what_every_image_shows_in_the_space_between():
    first = nib.Nifti1Image(np.zeros((40, 40, 40)), np.eye(4))  # -0.5 to 39.5 mm along each axis
    second = nib.Nifti1Image(np.zeros((40, 40, 30)), np.eye(4))
    there, back = np.eye(4), np.eye(4)
    there[0, 3], back[0, 3] = -4, 6  # x of the space: 3.5 to 43.5 in the first, -6.5 to 33.5 in the second
    grid = shared([first, second], [there, back])
    assert grid.shape == (30, 40, 30)
    np.testing.assert_array_equal(grid.affine[:3, 3], [4, 0, 0])
    back[0, 3] = 60
    with pytest.raises(ImageError, match="do not overlap"):
        shared([first, second], [there, back])


def test_bounding_box():
    mask = np.zeros((8, 9, 10), np.uint8)
    with pytest.raises(ValueError, match="empty"):
        bounding_box(mask)
    mask[2:4, 0, 5:10] = 3
    assert bounding_box(mask) == (slice(2, 4), slice(0, 1), slice(5, 10))
    assert bounding_box(mask, 1) == (slice(1, 5), slice(0, 2), slice(4, 10))
