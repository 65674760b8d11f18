"""Offsets of borders against masks whose distance is known."""

import numpy as np
import pytest

from training.borders import offsets, signed_distance


def boxes(grow: int, zoom: float = 1.0, *, lateral: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two blocks (labels 10, 49) grown by voxels on all sides, and on the outer side alone by ``lateral``; affine."""
    labels = np.zeros((90, 60, 40), np.int16)
    for label, (a, b), (left, right) in ((10, (20, 40), (lateral, 0)), (49, (50, 70), (0, lateral))):
        labels[a - grow - left : b + grow + right, 15 - grow : 45 + grow, 10 - grow : 30 + grow] = label
    affine = np.diag([zoom, zoom, zoom, 1.0])
    affine[:3, 3] = -45 * zoom, -30 * zoom, -20 * zoom
    return labels, affine


def test_mask_against_itself_is_nowhere_off():
    labels, affine = boxes(0)
    assert offsets(labels, labels, affine) == {"lateral": 0, "pulvinar": 0, "medial": 0}
    with pytest.raises(ValueError, match="not cubes"):
        offsets(labels, labels, affine @ np.diag([1, 1, 3, 1]))


@pytest.mark.parametrize(("grow", "zoom"), [(1, 1.0), (2, 1.0), (-1, 1.0), (-2, 1.0), (1, 0.5), (-1, 2.0)])
def test_grown_and_shrunken_masks_are_off_by_what_was_added(grow, zoom):
    truth, affine = boxes(0, zoom)
    value = offsets(boxes(grow, zoom)[0], truth, affine)
    # edges of a block are further from it than its faces
    assert value["lateral"] == pytest.approx(grow * zoom, abs=0.12 * abs(grow) * zoom)
    assert value["medial"] == pytest.approx(grow * zoom, abs=0.12 * abs(grow) * zoom)


@pytest.mark.parametrize("flip", [False, True])
def test_lateral_is_lateral_in_either_orientation(flip):
    truth, affine = boxes(0)
    mask = boxes(0, lateral=2)[0]
    if flip:
        mask, truth = mask[::-1], truth[::-1]
        affine = affine @ np.array([[-1.0, 0, 0, 89], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    value = offsets(mask, truth, affine)
    assert value["lateral"] > 1
    assert value["medial"] == 0


def test_distance_of_a_plane():
    half_space = np.zeros((12, 5, 5), bool)
    half_space[:6] = True
    distance = signed_distance(half_space, np.array([2.0, 2.0, 2.0]))[:, 2, 2]
    np.testing.assert_allclose(distance, 2 * (np.arange(12) - 5.5))
