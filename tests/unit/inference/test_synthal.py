"""SynThal's box: it follows the thalami, whatever the orientation, the pose and the field of view."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.conftest import ORIENTATIONS, affine_of, world_coordinates
from thalbids.inference import boxes, synthal

LEFT, RIGHT = np.array([-9.0, -11.0, 9.0]), np.array([15.0, -11.0, 9.0])


RADII = np.array([9.0, 15.0, 10.0])


TRUE_MM3 = 2 * 4 / 3 * np.pi * RADII.prod()


MIDDLE = (LEFT + RIGHT) / 2


def ellipsoids(world: np.ndarray) -> np.ndarray:
    """1 inside, 0 outside, with a soft edge of 1 mm so that sampling is exact to a fraction of a voxel."""
    out = np.zeros(world.shape[1:])
    for centre in (LEFT, RIGHT):
        r = np.sqrt((((world - centre.reshape(3, 1, 1, 1)) / RADII.reshape(3, 1, 1, 1)) ** 2).sum(0))
        out = np.maximum(out, np.clip((1 - r) * RADII.min() + 0.5, 0, 1))
    return out


def head(orientation: str) -> nib.Nifti1Image:
    shape = (130, 104, 36) if orientation.startswith("anisotropic") else (96, 100, 90)
    affine = affine_of(orientation, shape)
    return nib.Nifti1Image((100 * ellipsoids(world_coordinates(affine, shape)) + 1).astype(np.float32), affine)


def position_net(x: np.ndarray) -> np.ndarray:
    """Bright is thalamus; which one is told by the half of the box."""
    p = np.zeros((14, *x.shape), np.float32)
    half = x.shape[0] // 2
    bright = np.clip(x, 0, 1)
    p[synthal.ROI_LEFT, :half], p[synthal.ROI_RIGHT, half:] = bright[:half], bright[half:]
    p[0] = 1 - p.sum(0)
    return p


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_volume_side_and_place_in_every_orientation(orientation: str) -> None:
    image = head(orientation)
    found = synthal.see_thalami(image, MIDDLE + [5, -6, 4], position_net)
    labels = found.labels()
    voxel = abs(np.linalg.det(image.affine[:3, :3]))
    assert (labels > 0).sum() * voxel == pytest.approx(TRUE_MM3, rel=0.02)
    assert found.sides.sum() * voxel == pytest.approx(TRUE_MM3, rel=0.02)
    for label, centre in ((10, LEFT), (49, RIGHT)):
        at = nib.affines.apply_affine(image.affine, np.argwhere(labels == label).mean(0))
        assert at == pytest.approx(centre, abs=0.3)
    assert found.diagnostics["settled"] and found.diagnostics["flip_dice"] > 0.99


def test_box_follows_what_it_finds_and_says_when_it_finds_nothing() -> None:
    image = head("RAS")
    assert np.linalg.norm(synthal.see_thalami(image, MIDDLE + [12, 0, -9], position_net).centre - MIDDLE) < 3
    empty = synthal.see_thalami(image, MIDDLE + [0, 0, 400], position_net)
    assert not empty.labels().any() and not empty.diagnostics["settled"]


def test_a_box_that_came_to_rest_need_not_be_looked_for_again() -> None:
    image, asked = head("LPI"), []

    def counting(x: np.ndarray) -> np.ndarray:
        asked.append(x)
        return position_net(x)

    centre = MIDDLE + [5, -6, 4]
    whole = synthal.see_thalami(image, centre, position_net)
    box = synthal.box_at(image, centre, position_net)
    assert box.axes_at_rest is not None and np.linalg.norm(box.centre - MIDDLE) < 3
    again = synthal.see_thalami(image, centre, counting, box=box)
    assert np.array_equal(again.sides, whole.sides) and again.part == whole.part
    assert again.diagnostics == whole.diagnostics
    assert len(asked) == len(synthal.LOOKS) - 1  # what came to rest has seen the first
    elsewhere = synthal.see_thalami(image, MIDDLE + [0, 0, 400], counting, box=replace(box, seen=None))
    assert len(asked) == 2 * len(synthal.LOOKS) - 1  # where it came to rest it rests, and sees that first
    assert np.array_equal(elsewhere.sides, whole.sides) and elsewhere.diagnostics == whole.diagnostics
    first, second = asked[len(synthal.LOOKS) - 1 :][:2]
    assert np.array_equal(second, first[::-1]) and np.array_equal(second, asked[0])  # mirrored, into the same box
    assert synthal.box_at(image, MIDDLE + [0, 0, 400], position_net).axes_at_rest is None


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_part_of_a_scan_that_is_answered_for_holds_every_look(orientation: str) -> None:
    image = head(orientation)
    box = synthal.OrientedBox(MIDDLE, Rotation.from_euler("xyz", (9, -7, 5), degrees=True).as_matrix())
    part, _ = boxes.near(image.shape, image.affine, box.grid(), synthal.ROI_SHAPE, synthal.ASIDE)
    outside = np.ones(image.shape, bool)
    outside[part] = False
    for angles, _ in synthal.LOOKS:
        grid = box.grid(Rotation.from_euler("xyz", angles, degrees=True).as_matrix())
        seen = boxes.back(np.ones(synthal.ROI_SHAPE, np.float32), grid, image.shape, image.affine)
        assert seen[part].any() and not seen[outside].any()


def test_a_thalamus_at_the_edge_of_the_scan_is_seen_as_cut() -> None:
    whole = head("RAS")
    top = int(MIDDLE[2] - whole.affine[2, 3])
    cut = nib.Nifti1Image(np.asarray(whole.dataobj)[:, :, :top], whole.affine)
    found = synthal.see_thalami(cut, MIDDLE, position_net)
    assert 0.3 < (found.labels() > 0).sum() / TRUE_MM3 < 0.6


@pytest.mark.parametrize("orientation", ["RAS", "LPI", "oblique"])
@pytest.mark.parametrize("angles", [(0, 0, 0), (25, 6, -9), (-18, -12, 14)])
def test_the_box_lies_along_the_thalami_whatever_the_pose(orientation: str, angles: tuple[float, ...]) -> None:
    image = head(orientation)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    posed = nib.Nifti1Image(np.asarray(image.dataobj), turn @ image.affine)
    data, affine = np.asarray(posed.dataobj, np.float32), posed.affine
    start = synthal.OrientedBox(turn[:3, :3] @ (MIDDLE + [3, -4, 2]))
    box = synthal.settle(position_net, data, affine, start)
    pitch = Rotation.from_euler("x", -synthal.PITCH_DEGREES, degrees=True).as_matrix()
    off = Rotation.from_matrix((turn[:3, :3] @ pitch).T @ box.axes).magnitude()
    assert box.settled and np.rad2deg(off) < 1.5
    assert np.linalg.norm(box.centre - turn[:3, :3] @ MIDDLE) < 1.2


def test_half_a_pair_and_a_head_on_its_side_turn_no_box() -> None:
    shape = (60, 60, 60)
    grid = boxes.grid_around(np.zeros(3), shape, 1.0)
    world = boxes.world_of_all(grid, shape)
    sides = np.zeros((2, *shape), np.float32)
    turn = Rotation.from_euler("z", 20, degrees=True).as_matrix()
    for side, at in zip(sides, (-12.0, 12.0), strict=True):
        away = np.tensordot(turn.T, world, 1) - np.array([at, 0, 0]).reshape(3, 1, 1, 1)
        side[(away**2 / (RADII**2).reshape(3, 1, 1, 1)).sum(0) < 1] = 1
    pitch = Rotation.from_euler("x", -synthal.PITCH_DEGREES, degrees=True).as_matrix()
    assert synthal.own_axes(sides, grid) == pytest.approx(turn @ pitch, abs=0.02)
    half = sides * np.array([1, 0], np.float32).reshape(2, 1, 1, 1)
    assert synthal.own_axes(half, grid) == pytest.approx(np.eye(3))
    swapped = sides[::-1]
    assert synthal.own_axes(swapped, grid) == pytest.approx(np.eye(3))
