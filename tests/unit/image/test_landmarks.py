"""Landmarks of masks: ends and centres, in any orientation."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.qc.test_contradictions import AFFINE, GOOD
from thalbids.image import landmarks


def test_landmarks_do_not_depend_on_the_storage_order_nor_on_specks() -> None:
    there = landmarks.of_labels(GOOD, AFFINE)
    assert there is not None
    turned = np.ascontiguousarray(GOOD[::-1].transpose(1, 2, 0))
    flip = np.array([[-1.0, 0, 0, 69], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    order = np.zeros((4, 4))
    order[0, 2] = order[1, 0] = order[2, 1] = order[3, 3] = 1
    again = landmarks.of_labels(turned, AFFINE @ flip @ order)
    assert again is not None
    for side in there:
        for key in there[side]:
            np.testing.assert_allclose(again[side][key], there[side][key], atol=1e-9)
    speck = GOOD.copy()
    speck[60, 70, 50] = 49
    moved = landmarks.of_labels(speck, AFFINE)
    assert moved is not None
    assert np.abs(np.subtract(moved["right"]["high_mm"], there["right"]["high_mm"])).max() < 0.1
    assert landmarks.of_labels(np.where(GOOD == 10, 10, 0), AFFINE) is None


def test_ends_are_the_mean_of_the_outermost_tenth() -> None:
    voxels = np.array([[i, 0, 0] for i in range(20)])
    side = landmarks.of_weights(voxels, np.ones(20), np.eye(4))
    assert side["low_mm"][0] == pytest.approx(0.5)  # of 0 and 1
    assert side["high_mm"][0] == pytest.approx(18.5)
    assert side["centre_mm"] == pytest.approx([9.5, 0, 0])
    weighted = landmarks.of_weights(voxels[:3], np.array([1.0, 8.0, 1.0]), np.eye(4))
    assert weighted["low_mm"][0] == pytest.approx(0.0)
    assert weighted["volume_mm3"] == pytest.approx(10.0)
    assert landmarks.scaled(side, 8.0)["high_mm"][0] == pytest.approx(9.5 + 2 * 9.0)
