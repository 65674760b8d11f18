"""Measures of masks whose values are known analytically, over orientations."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import affine_of, world_coordinates
from thalbids.qc.measures import (
    CENTRE_OFFSET_MM,
    HALF_SEPARATION_MM,
    asymmetry_index,
    brain_measures,
    dice,
    expected_centre,
    mask_measures,
)

SHAPE = (60, 60, 60)


def two_balls(orientation: str, radius: float = 6.0, gap: float = 9.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left (10) and right (49) ball at +-gap mm from the grid's centre along world x; labels, affine, centre."""
    affine = affine_of(orientation, SHAPE)
    world = world_coordinates(affine, SHAPE)
    centre = np.array([3.0, -5.0, 7.0]).reshape(3, 1, 1, 1)
    labels = np.zeros(SHAPE, np.uint8)
    for value, x in ((10, -gap), (49, gap)):
        labels[((world - centre - np.array([x, 0, 0]).reshape(3, 1, 1, 1)) ** 2).sum(0) <= radius**2] = value
    return labels, affine, centre.ravel()


def ellipsoid(affine: np.ndarray, shape: tuple[int, int, int], centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    world = world_coordinates(affine, shape)
    return (((world - centre.reshape(3, 1, 1, 1)) / np.reshape(radii, (3, 1, 1, 1))) ** 2).sum(0) <= 1


def test_places_volumes_and_sides(orientation):
    labels, affine, centre = two_balls(orientation)
    m = mask_measures(labels, affine)
    voxel = abs(np.linalg.det(affine[:3, :3]))
    assert m["volume_left_mm3"] == pytest.approx((labels == 10).sum() * voxel)
    assert m["volume_mm3"] == pytest.approx(m["volume_left_mm3"] + m["volume_right_mm3"])
    assert m["volume_mm3"] == pytest.approx(2 * 4 / 3 * np.pi * 6**3, rel=0.06)
    np.testing.assert_allclose(m["centre_left_mm"], np.add(centre, [-9, 0, 0]), atol=0.35)
    np.testing.assert_allclose(m["centre_right_mm"], np.add(centre, [9, 0, 0]), atol=0.35)
    assert m["right_minus_left_x_mm"] == pytest.approx(18, abs=0.5)
    assert m["separation_mm"] == pytest.approx(18, abs=0.5)
    assert m["asymmetry_index"] == pytest.approx(0, abs=0.05)
    assert (m["components"], m["components_left"], m["largest_fraction_right"]) == (2, 1, 1.0)
    assert m["touches_field_of_view"] == []


def test_a_larger_left_gives_a_positive_asymmetry():
    assert asymmetry_index(9.0, 3.0) == 1.0
    assert asymmetry_index(0.0, 3.0) == -2.0
    assert asymmetry_index(None, 3.0) is None
    assert asymmetry_index(0.0, 0.0) is None


def test_swapped_sides_have_a_negative_x_difference(orientation):
    labels, affine, _ = two_balls(orientation)
    swapped = np.choose(np.searchsorted([0, 10, 49], labels), [0, 49, 10])
    assert mask_measures(swapped, affine)["right_minus_left_x_mm"] < -17


def test_components_use_26_neighbours():
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[4:8, 4:8, 4:8] = 10
    labels[8, 8, 8] = 10  # touches by a corner: the same piece
    labels[14, 4, 4] = 10  # a speck
    labels[4:8, 12:16, 4:8] = 49
    m = mask_measures(labels, np.eye(4))
    assert (m["components_left"], m["components_right"], m["components"]) == (2, 1, 3)
    assert m["largest_fraction_left"] == pytest.approx(65 / 66)


def test_a_mask_without_sides_and_an_empty_one():
    labels = np.zeros((12, 12, 12), np.uint8)
    empty = mask_measures(labels, np.eye(4), brain=np.ones_like(labels))
    assert empty["voxels"] == 0
    assert empty["volume_mm3"] == 0
    assert empty["centre_mm"] is None
    assert empty["inside_brain_fraction"] is None
    labels[4:6, 4:6, 4:6] = 1
    plain = mask_measures(labels, np.diag([2.0, 1, 1, 1]))
    assert (plain["voxels"], plain["volume_mm3"], plain["volume_left_mm3"]) == (8, 16.0, None)
    assert plain["components_left"] is None
    assert plain["components"] == 1


def test_one_side_missing_is_zero_and_not_unknown():
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[4:6, 4:6, 4:6] = 10
    m = mask_measures(labels, np.eye(4))
    assert m["volume_right_mm3"] == 0
    assert m["asymmetry_index"] == 2
    assert m["centre_right_mm"] is None
    assert m["separation_mm"] is None


def test_other_labels_are_refused():
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[4, 4, 4], labels[5, 5, 5] = 10, 11
    with pytest.raises(ValueError, match="labels other than"):
        mask_measures(labels, np.eye(4))


@pytest.mark.parametrize(("index", "face"), [((1, 8, 8), "left"), ((8, 14, 8), "anterior"), ((8, 8, 0), "inferior")])
def test_touching_the_field_of_view_names_the_face(index, face):
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[index] = 10
    assert mask_measures(labels, np.eye(4))["touches_field_of_view"] == [face]
    flipped = np.diag([-1.0, -1, -1, 1])
    flipped[:3, 3] = 15
    assert mask_measures(labels[::-1, ::-1, ::-1], flipped)["touches_field_of_view"] == [face]


def test_two_voxels_from_the_edge_is_far_enough():
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[2:14, 2:14, 2:14] = 10
    assert mask_measures(labels, np.eye(4))["touches_field_of_view"] == []


def test_missing_data_beside_the_mask_is_a_share_of_its_border():
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[8:14, 8:14, 8:14] = 10
    image = np.ones(labels.shape)
    image[:, :, 15:] = 0  # ends one voxel beyond the mask: far enough
    assert mask_measures(labels, np.eye(4), image=image)["no_data_fraction"] == 0
    image[:, :, 14:] = 0  # one face of the border, 8 x 8 of 8^3 - 6^3 voxels
    assert mask_measures(labels, np.eye(4), image=image)["no_data_fraction"] == pytest.approx(64 / 296)
    image[:, :, 12:] = 0  # two planes of the mask are without data too
    assert mask_measures(labels, np.eye(4), image=image)["no_data_fraction"] == pytest.approx((3 * 64) / (296 + 2 * 36))
    assert mask_measures(labels, np.eye(4))["no_data_fraction"] is None
    assert mask_measures(np.zeros_like(labels), np.eye(4), image=image)["no_data_fraction"] is None


def test_small_gaps_in_the_data_are_fluid():
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[8:14, 8:14, 8:14] = 10
    image = np.ones(labels.shape)
    image[14:17, 8:20, 8:20] = 0
    assert mask_measures(labels, np.eye(4), image=image)["no_data_fraction"] == 0


def test_what_the_method_says_about_itself_is_kept():
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[4:6, 4:6, 4:6] = 10
    m = mask_measures(labels, np.eye(4), diagnostics={"flip_dice": 0.9, "in_view": 1, "settled": True})
    assert (m["flip_dice"], m["in_view"], m["confidence"]) == (0.9, 1.0, None)
    assert "settled" not in m


def test_inside_brain_and_dice():
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[4:8, 4:8, 4:8] = 10
    brain = np.zeros_like(labels)
    brain[:6] = 1
    other = np.roll(labels, 2, axis=0)
    m = mask_measures(labels, np.eye(4), brain=brain, others={"other": other, "none": np.zeros_like(labels)})
    assert m["inside_brain_fraction"] == 0.5
    assert m["dice"] == {"other": 0.5, "none": 0.0}
    assert dice(np.zeros(3), np.zeros(3)) is None


def test_expected_centre_is_the_brains_centre_of_mass_plus_the_offset(orientation):
    affine = affine_of(orientation, SHAPE)
    centre = np.array([3.0, -5.0, 7.0])
    brain = ellipsoid(affine, SHAPE, centre, [18, 22, 15])
    expected = expected_centre(brain, affine)
    np.testing.assert_allclose(expected.middle, centre + CENTRE_OFFSET_MM, atol=0.1)
    np.testing.assert_allclose(np.subtract(expected.right, expected.left), [2 * HALF_SEPARATION_MM, 0, 0])
    m = mask_measures(two_balls(orientation)[0], affine, expected=expected)
    assert m["centre_distance_mm"] == pytest.approx(np.linalg.norm(CENTRE_OFFSET_MM), abs=0.4)
    assert m["centre_distance_left_mm"] == pytest.approx(np.hypot(np.linalg.norm(CENTRE_OFFSET_MM), 3), abs=0.5)


def test_no_brain_no_expectation():
    assert expected_centre(np.zeros((8, 8, 8)), np.eye(4)) is None


def test_brain_measures_of_a_box_cut_by_the_field_of_view():
    brain = np.zeros((20, 30, 40), np.uint8)
    brain[5:15, 5:25, 0:20] = 1
    m = brain_measures(brain, np.diag([2.0, 1, 3, 1]), icv_mm3=48000)
    assert m["volume_mm3"] == 10 * 20 * 20 * 6
    assert m["icv_fraction"] == 0.5
    assert m["touches_field_of_view"] == ["inferior"]
    assert m["largest_cut_mm2"] == 10 * 2 * 20 * 1
    assert brain_measures(brain, np.eye(4))["icv_fraction"] is None


def test_cut_area_of_an_oblique_grid_is_the_area_of_the_slanted_plane():
    affine = affine_of("oblique", (20, 20, 20)) @ np.diag([1, 2.0, 3.0, 1])
    brain = np.zeros((20, 20, 20))
    brain[0, :10, :10] = 1
    assert brain_measures(brain, affine)["largest_cut_mm2"] == pytest.approx(600)
