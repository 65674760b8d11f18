"""Volumes of masks, hard and soft."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import affine_of
from tests.unit.image.test_overlap_volumes_labels import A
from thalbids.image.volumes import face_areas_mm2, soft_volume_mm3, volume_mm3, voxels


def test_volumes(orientation):
    affine = affine_of(orientation, (8, 8, 8))
    one = 2.4 if orientation.startswith("anisotropic") else 1.0
    assert voxels(A) == 256
    assert volume_mm3(A, affine) == pytest.approx(256 * one)
    assert soft_volume_mm3(np.full((8, 8, 8), 0.25, np.float32), affine) == pytest.approx(128 * one)


def test_soft_volume_does_not_lose_small_parts():
    probability = np.full((256, 256, 100), 0.1, np.float32)  # a float32 sum would stop growing
    assert soft_volume_mm3(probability, np.eye(4)) == pytest.approx(655_360, rel=1e-6)


def test_areas_in_the_outermost_planes_of_anisotropic_and_turned_grids():
    mask = np.zeros((4, 5, 6), bool)
    mask[0, 1:3, :] = True  # 12 faces across x at its first end
    mask[1:3, 4, 2] = True  # 2 faces across y at its last end
    affine = np.diag([2.0, 3.0, 5.0, 1.0])
    turn = np.eye(4)
    turn[:2, :2] = [[0.6, -0.8], [0.8, 0.6]]
    for grid in (affine, turn @ affine):
        # the plane x = 0 reaches both ends of z: 2 faces of 2 x 3 mm each
        np.testing.assert_allclose(face_areas_mm2(mask, grid), [[12 * 15, 0], [0, 2 * 10], [2 * 6, 2 * 6]])
