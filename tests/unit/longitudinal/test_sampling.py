"""Visits are sampled where they are: points of the mean space, by the pose of each."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import rotation_matrix
from thalbids.longitudinal.sampling import AxisAlignedBox, covered, prepare, values_at

SHAPE = (14, 12, 10)


def ramp(affine: np.ndarray) -> nib.Nifti1Image:
    """x + 2 y + 3 z of the world."""
    index = np.stack([*np.indices(SHAPE, dtype=float), np.ones(SHAPE)])
    world = np.tensordot(affine, index, 1)
    return nib.Nifti1Image((world[0] + 2 * world[1] + 3 * world[2]).astype(np.float32), affine)


def test_a_ramp_keeps_its_place_whatever_the_pose() -> None:
    affine = np.array([[0, 1.5, 0, -7], [-1.2, 0, 0, 8], [0, 0, 2.0, -9], [0, 0, 0, 1.0]])
    matrix = rotation_matrix(3, -2, 4)
    box = AxisAlignedBox((4, 3, 2), 1.0, np.array([-1.0, -1.0, -1.0]))
    points = box.points()
    assert points.shape == (3, 4, 3, 2) and points[:, 1, 2, 1].tolist() == [0.0, 1.0, 0.0]
    moved = np.tensordot(matrix[:3, :3], points, 1) + matrix[:3, 3].reshape(3, 1, 1, 1)
    visit = prepare(ramp(affine), matrix, 0.0, 0.5)
    expected = 0.5 * (moved[0] + 2 * moved[1] + 3 * moved[2])
    np.testing.assert_allclose(values_at(visit, points), expected, atol=0.05)


def test_what_the_scan_shows() -> None:
    visit = prepare(ramp(np.eye(4)), np.eye(4), 0.0, 1.0)
    points = np.array([[-0.4, -0.6, 13.4, 13.6], [5, 5, 5, 5], [5, 5, 5, 5]])
    assert covered(visit, points).tolist() == [True, False, True, False]


def test_smoothing_is_in_millimetres() -> None:
    data = np.zeros(SHAPE, np.float32)
    data[7, 6, 5] = 1
    image = nib.Nifti1Image(data, np.diag([1.0, 2.0, 2.0, 1.0]))
    at = np.array([[7.0, 8.0, 7.0], [12.0, 12.0, 14.0], [10.0, 10.0, 10.0]])  # the peak, 1 mm along x, 2 mm along y
    peak, near, far = values_at(prepare(image, np.eye(4), 1.0, 1.0), at)
    assert peak > near > far > 0
    assert near / peak == pytest.approx(np.exp(-0.5), abs=0.08)
