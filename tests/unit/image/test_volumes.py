"""Volumes of masks, hard and soft."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import affine_of
from tests.unit.image.test_overlap_volumes_labels import A
from thalbids.image.volumes import soft_volume_mm3, volume_mm3, voxels


def test_volumes(orientation):
    affine = affine_of(orientation, (8, 8, 8))
    one = 2.4 if orientation.startswith("anisotropic") else 1.0
    assert voxels(A) == 256
    assert volume_mm3(A, affine) == pytest.approx(256 * one)
    assert soft_volume_mm3(np.full((8, 8, 8), 0.25, np.float32), affine) == pytest.approx(128 * one)


def test_soft_volume_does_not_lose_small_parts():
    probability = np.full((256, 256, 100), 0.1, np.float32)  # a float32 sum would stop growing
    assert soft_volume_mm3(probability, np.eye(4)) == pytest.approx(655_360, rel=1e-6)
