"""Boxes in the world: a smooth image goes there and back, a ramp keeps its place."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.conftest import ORIENTATIONS, affine_of, world_coordinates
from tests.unit.inference.test_synthal import MIDDLE, head
from thalbids.inference import boxes

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


def test_what_a_box_gives_back_lies_in_a_part_of_the_scan() -> None:
    image = head("RAS")
    grid = boxes.grid_around(MIDDLE, (20, 20, 20), 1.0)
    part, values = boxes.back_in_box(np.ones((20, 20, 20), np.float32), grid, image.shape, image.affine)
    assert values.dtype == np.float32 and values.size < 0.02 * np.prod(image.shape)
    whole = boxes.back(np.ones((20, 20, 20), np.float32), grid, image.shape, image.affine)
    assert np.array_equal(whole[part], values) and whole.sum() == values.sum() == pytest.approx(8000, rel=0.01)
    far = boxes.grid_around(MIDDLE + 1000, (20, 20, 20), 1.0)
    for p, at in ((np.ones((20, 20, 20), np.float32), far), (np.zeros((20, 20, 20), np.float32), grid)):
        part, values = boxes.back_in_box(p, at, image.shape, image.affine)
        assert values.size == 0 and not boxes.back(p, at, image.shape, image.affine).any()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_averaging_blocks_keeps_the_place_of_a_ramp(orientation: str) -> None:
    shape = (30, 31, 32)
    affine = affine_of(orientation, shape)

    def ramp(world: np.ndarray) -> np.ndarray:
        return 2 * world[0] - world[1] + 0.5 * world[2]

    small, at = boxes.average_blocks(ramp(world_coordinates(affine, shape)).astype(np.float32), affine, 3.0)
    assert small.size < 30 * 31 * 32 / 2
    assert small == pytest.approx(ramp(world_coordinates(at, small.shape)), abs=1e-3)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_part_of_a_scan_lies_where_it_lay(orientation: str) -> None:
    image = head(orientation)
    data = world_coordinates(image.affine, image.shape)[2].astype(np.float32)
    grid = boxes.grid_around(MIDDLE, (20, 16, 12), 1.0, TURNS[1])
    part, affine = boxes.part(data, image.affine, grid, (20, 16, 12), 3)
    assert part.size < data.size / 3
    assert part == pytest.approx(world_coordinates(affine, part.shape)[2], abs=1e-3)
    whole = boxes.sample(data, image.affine, grid, (20, 16, 12), 1)
    assert boxes.sample(part, affine, grid, (20, 16, 12), 1) == pytest.approx(whole, abs=1e-3)


@pytest.mark.parametrize("sizes", [(1.0, 1.0, 1.0), (1.0, 1.0, 5.0), (2.0, 2.0, 2.0)])
def test_a_thin_scalp_stays_where_faint_noise_of_the_air_goes(sizes: tuple[float, float, float]) -> None:
    shape = tuple(int(200 / size) for size in sizes)
    place = np.indices(shape).reshape(3, -1).T * sizes - 100 + np.array(sizes) / 2
    distance = np.linalg.norm(place, axis=1).reshape(shape)
    scalp = (distance > 80) & (distance < 84)
    noise = np.abs(np.random.default_rng(1).normal(0, 2, shape)).astype(np.float32)
    seen = boxes.without_air(np.where(scalp | (distance < 70), np.float32(100), noise), sizes)
    assert (seen[scalp] == 100).mean() > 0.99
    assert (seen[distance > 88] != 0).mean() < 0.001


def test_stray_voxels_do_not_make_margin_a_part_of_the_scan() -> None:
    data = np.zeros((40, 41, 42), np.float32)
    data[8:30, 9:31, 10:32] = 50
    data[15] = 0  # a slice that was lost does not halve the head
    whole, affine = boxes.without_margin(data, np.eye(4))
    data[0, 0, 0] = data[-1, 5, 41] = 90
    data[3:5, 20, 20] = 90  # 2 of 10 164 voxels
    shown, moved = boxes.without_margin(data, np.eye(4))
    assert whole.shape == shown.shape == (22, 22, 22)
    assert np.array_equal(affine, moved) and moved[:3, 3].tolist() == [8, 9, 10]
    data[3:5, 10:20, 10:20] = 90  # two per cent
    assert boxes.without_margin(data, np.eye(4))[0].shape == (27, 22, 22)


@pytest.mark.parametrize("value", [-1000.0, 300.0])
def test_padding_is_told_with_a_mark_in_a_corner(value: float) -> None:
    data = np.full((20, 20, 20), value, np.float32)
    data[5:15, 5:15, 5:15] = np.random.default_rng(1).uniform(1, 200, (10, 10, 10))
    clean = boxes.without_padding(data)
    assert (clean[:5] == 0).all() and np.array_equal(clean[5:15, 5:15, 5:15], data[5:15, 5:15, 5:15])
    data[0, :3, 0] = data[-1, -1, -1] = 77
    marked = boxes.without_padding(data)
    assert np.array_equal(marked[1:-1], clean[1:-1]) and marked[0, 0, 0] == 77 and marked[0, 4, 4] == 0
    data[0, 0, -1] = 12  # three corners that differ are no padding
    assert boxes.without_padding(data) is data
