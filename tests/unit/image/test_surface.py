"""Surface distances, against shapes whose distances are known and against SimpleITK."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk

from tests.conftest import affine_of, world_coordinates
from thalbids.image.sparse import from_array
from thalbids.image.surface import Surface

SHAPE = (40, 36, 30)


def surface(dense: np.ndarray, affine: np.ndarray) -> Surface:
    return Surface.of(from_array(dense, affine))


def brute(a: np.ndarray, b: np.ndarray, affine: np.ndarray) -> tuple[float, float]:
    """The definition, voxel by voxel."""

    def border(mask: np.ndarray) -> np.ndarray:
        found = []
        for voxel in np.argwhere(mask):
            near = [voxel + step for step in (*np.eye(3, dtype=int), *-np.eye(3, dtype=int))]
            if any((n < 0).any() or (n >= mask.shape).any() or not mask[tuple(n)] for n in near):
                found.append(affine[:3, :3] @ voxel + affine[:3, 3])
        return np.array(found)

    p, q = border(a), border(b)
    between = np.linalg.norm(p[:, None] - q[None], axis=2)
    there, back = between.min(axis=1), between.min(axis=0)
    return max(np.percentile(there, 95), np.percentile(back, 95)), np.mean([*there, *back])


def test_the_same_mask_lies_at_no_distance(orientation: str) -> None:
    affine = affine_of(orientation, SHAPE)
    dense = np.zeros(SHAPE, bool)
    dense[5:20, 7:19, 4:11] = True
    found = surface(dense, affine).distances(surface(dense, affine))
    assert (found.hd95_mm, found.assd_mm) == (0, 0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slab_shifted_across_its_face(orientation: str, axis: int) -> None:
    """Slabs that fill the field of view but one axis, one voxel thick, apart by 5 voxels: every distance is 5 zooms."""
    affine = affine_of(orientation, SHAPE)
    a, b = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    place = [slice(None)] * 3
    place[axis] = slice(8, 9)
    a[tuple(place)] = True
    place[axis] = slice(13, 14)
    b[tuple(place)] = True
    found = surface(a, affine).distances(surface(b, affine))
    expected = 5 * np.linalg.norm(affine[:3, axis])
    assert found.hd95_mm == pytest.approx(expected)
    assert found.assd_mm == pytest.approx(expected)


def test_concentric_balls() -> None:
    """Radii 14 and 10 mm at 0.5 mm: about 4 mm everywhere, to the roughness of voxels."""
    affine = np.diag([0.5, 0.5, 0.5, 1])
    shape = (64, 64, 64)
    radius = np.linalg.norm(world_coordinates(affine, shape) - 15.75, axis=0)
    found = surface(radius < 14, affine).distances(surface(radius < 10, affine))
    assert found.assd_mm == pytest.approx(4, abs=0.25)  # half a voxel
    assert found.hd95_mm == pytest.approx(4, abs=0.4)


def test_an_outlier_of_less_than_five_percent_does_not_count_in_hd95() -> None:
    affine = np.eye(4)
    a = np.zeros(SHAPE, bool)
    a[5:20, 7:19, 4:11] = True
    b = a.copy()
    b[35, 30, 25] = True
    found = surface(a, affine).distances(surface(b, affine))
    assert found.hd95_mm == 0
    assert found.assd_mm > 0


def test_against_the_definition_voxel_by_voxel(orientation: str) -> None:
    shape = (12, 14, 10)
    rng = np.random.default_rng(7)
    affine = affine_of(orientation, shape)
    a, b = rng.random(shape) < 0.05, rng.random(shape) < 0.1
    a[0, 3:6, 2:5] = True  # at the edge of the image
    found = surface(a, affine).distances(surface(b, affine))
    assert (found.hd95_mm, found.assd_mm) == pytest.approx(brute(a, b, affine), abs=1e-9)
    back = surface(b, affine).distances(surface(a, affine))
    assert (back.hd95_mm, back.assd_mm) == pytest.approx((found.hd95_mm, found.assd_mm))


def test_mean_distance_is_that_of_simpleitk() -> None:
    """SimpleITK averages the same contour voxels' distances (fully connected off: face neighbours)."""
    zooms = (0.8, 1.1, 2.5)
    world = world_coordinates(np.diag([*zooms, 1]), SHAPE)
    a = np.linalg.norm((world - np.array([15, 18, 35]).reshape(3, 1, 1, 1)) / [[[[9]]], [[[11]]], [[[14]]]], axis=0) < 1
    b = np.linalg.norm((world - np.array([17, 17, 38]).reshape(3, 1, 1, 1)) / [[[[8]]], [[[12]]], [[[15]]]], axis=0) < 1
    images = []
    for dense in (a, b):
        image = sitk.GetImageFromArray(dense.astype(np.uint8).transpose(2, 1, 0))
        image.SetSpacing(zooms)
        images.append(image)

    def to_surface(one: sitk.Image, other: sitk.Image) -> np.ndarray:
        contour = sitk.LabelContour(one, fullyConnected=False)
        edge = sitk.LabelContour(other, fullyConnected=False)
        far = sitk.SignedMaurerDistanceMap(edge, squaredDistance=False, useImageSpacing=True, insideIsPositive=False)
        return np.abs(sitk.GetArrayFromImage(far))[sitk.GetArrayFromImage(contour) > 0]

    there, back = to_surface(images[0], images[1]), to_surface(images[1], images[0])
    found = surface(a, np.diag([*zooms, 1])).distances(surface(b, np.diag([*zooms, 1])))
    assert found.assd_mm == pytest.approx(np.concatenate([there, back]).mean(), abs=1e-4)
    assert found.hd95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-4)


def test_empty_masks_have_no_distance() -> None:
    full, empty = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    for a, b in ((full, empty), (empty, full), (empty, empty)):
        found = surface(a, np.eye(4)).distances(surface(b, np.eye(4)))
        assert math.isnan(found.hd95_mm) and math.isnan(found.assd_mm)
