"""The geometry around the networks, with stand-in networks whose answer is known: bright ellipsoids."""

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.conftest import ORIENTATIONS, affine_of, world_coordinates
from thalbids.inference import boxes, synthal
from thalbids.inference.intensity import normalise
from thalbids.inference.parts import clean

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
    assert (found.left + found.right).sum() * voxel == pytest.approx(TRUE_MM3, rel=0.02)
    for label, centre in ((10, LEFT), (49, RIGHT)):
        at = nib.affines.apply_affine(image.affine, np.argwhere(labels == label).mean(0))
        assert at == pytest.approx(centre, abs=0.3)
    assert found.diagnostics["settled"] and found.diagnostics["flip_dice"] > 0.99


def test_box_follows_what_it_finds_and_says_when_it_finds_nothing() -> None:
    image = head("RAS")
    assert np.linalg.norm(synthal.see_thalami(image, MIDDLE + [12, 0, -9], position_net).centre - MIDDLE) < 3
    empty = synthal.see_thalami(image, MIDDLE + [0, 0, 400], position_net)
    assert not empty.labels().any() and not empty.diagnostics["settled"]


def test_a_thalamus_at_the_edge_of_the_scan_is_seen_as_cut() -> None:
    whole = head("RAS")
    top = int(MIDDLE[2] - whole.affine[2, 3])
    cut = nib.Nifti1Image(np.asarray(whole.dataobj)[:, :, :top], whole.affine)
    found = synthal.see_thalami(cut, MIDDLE, position_net)
    assert 0.3 < (found.labels() > 0).sum() / TRUE_MM3 < 0.6


TURNS = [np.eye(3), Rotation.from_euler("xyz", (25, -8, 5), degrees=True).as_matrix()]


@pytest.mark.parametrize("turn", TURNS, ids=["straight", "turned"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_to_a_box_and_back_keeps_a_smooth_image(orientation: str, turn: np.ndarray) -> None:
    image = head(orientation)
    data = np.asarray(image.dataobj)
    grid = boxes.grid_around(MIDDLE, (69, 69, 69), 1.0, turn)
    box = boxes.sample(data, image.affine, grid, (69, 69, 69), 1)
    again = boxes.back(box, grid, image.shape, image.affine)
    world = world_coordinates(image.affine, image.shape)
    core = (np.abs(world - MIDDLE.reshape(3, 1, 1, 1)) < 24).all(0)
    assert np.abs(again - data)[core].mean() < 1.5
    assert again[core].sum() == pytest.approx(data[core].sum(), rel=0.01)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_averaging_blocks_keeps_the_place_of_a_ramp(orientation: str) -> None:
    shape = (30, 31, 32)
    affine = affine_of(orientation, shape)

    def ramp(world: np.ndarray) -> np.ndarray:
        return 2 * world[0] - world[1] + 0.5 * world[2]

    small, at = boxes.average_blocks(ramp(world_coordinates(affine, shape)).astype(np.float32), affine, 3.0)
    assert small.size < 30 * 31 * 32 / 2
    assert small == pytest.approx(ramp(world_coordinates(at, small.shape)), abs=1e-3)


def test_clean_drops_specks_and_keeps_soft_edges() -> None:
    p = np.zeros((2, 30, 30, 30), np.float32)
    p[0, 5:15, 5:15, 5:15], p[0, 15, 5:15, 5:15], p[0, 27:29, 27:29, 27:29] = 0.9, 0.3, 0.9
    out = clean(p)
    assert out[0, 28, 28, 28] == 0 and out[0, 15, 8, 8] == pytest.approx(0.3) and not out[1].any()


def test_normalise_ignores_background_scale_and_offset_free_zeros() -> None:
    rng = np.random.default_rng(0)
    image = rng.uniform(10, 110, (40, 40, 40)).astype(np.float32)
    image[:10] = 0
    once = normalise(image)
    assert once.min() == 0 and 0.99 < np.quantile(once[10:], 0.99) <= 1.0
    assert normalise(image * 37) == pytest.approx(once, abs=1e-5)
    assert not normalise(np.zeros((4, 4, 4))).any() and not normalise(np.full((4, 4, 4), 7.0)).any()


@pytest.mark.parametrize("orientation", ["RAS", "LPI", "oblique"])
@pytest.mark.parametrize("angles", [(0, 0, 0), (25, 6, -9), (-18, -12, 14)])
def test_the_box_lies_along_the_thalami_whatever_the_pose(orientation: str, angles: tuple[float, ...]) -> None:
    image = head(orientation)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    posed = nib.Nifti1Image(np.asarray(image.dataobj), turn @ image.affine)
    data, affine = np.asarray(posed.dataobj, np.float32), posed.affine
    box = synthal.settle(position_net, data, affine, turn[:3, :3] @ (MIDDLE + [3, -4, 2]))
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
