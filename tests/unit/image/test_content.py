"""Slices that hold no data, and images without shades of grey."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from thalbids.image.content import (
    brightness_asymmetry,
    clipped_share,
    empty_slices,
    fill_gaps,
    grey_values,
    smoothness,
)


def head(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A ball of noise in a background of 0, and the mask of it."""
    ball = np.linalg.norm(np.indices((30, 31, 32)) - 15.0, axis=0) < 11
    return np.where(ball, np.random.default_rng(seed).uniform(50, 100, ball.shape), 0), ball


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("value", [0.0, 77.0])
def test_slices_of_one_value_inside_the_head_are_counted(axis: int, value: float) -> None:
    data, brain = head()
    assert empty_slices(data, brain) == 0
    data[(slice(None),) * axis + ([9, 14, 15],)] = value
    assert empty_slices(data, brain) == 3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_stray_voxel_does_not_hide_a_lost_slice(axis: int) -> None:
    data, brain = head()
    lost = np.moveaxis(data, axis, 0)[14]
    lost[...] = 0
    lost[0, 0] = 77
    assert empty_slices(data, brain) == 1
    lost[5:8, 5:8] = 77
    assert empty_slices(data, brain) == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    ("lost", "count"),
    [([5], 1), ([25], 1), ([4, 5, 6], 2), ([2, 3], 0), ([0, 1, 2, 3, 4, 5], 0), ([2, 3, 4, 5, 6], 0)],
)
def test_a_slice_that_is_lost_where_the_brain_begins_is_told_from_the_edge_of_the_scan(
    axis: int, lost: list[int], count: int
) -> None:
    """The brain lies in slices 5 to 25 (the ball's poles), noise in all others."""
    data, brain = head()
    data = data + np.random.default_rng(2).uniform(1, 5, data.shape)
    data[(slice(None),) * axis + (lost,)] = 0
    assert empty_slices(data, brain) == count


def test_a_head_at_the_edge_of_what_was_scanned_lacks_no_slice() -> None:
    data, brain = head()
    data[..., 20:] = 0  # padding that the brain mask runs into
    assert brain[..., 20:].any() and empty_slices(data, brain) == 0
    assert empty_slices(np.zeros_like(data), brain) == 0


def test_grey_values_of_a_scan_and_of_one_with_few() -> None:
    data, brain = head()
    assert grey_values(data, brain) > 500
    few = np.round(data / 10)
    assert grey_values(few, brain) <= 6
    few[tuple(np.argwhere(brain)[::50].T)] = np.arange(
        1000, 1000 + len(np.argwhere(brain)[::50])
    )  # 2 % are bright vessels
    assert grey_values(few, brain) <= 6
    assert grey_values(brain.astype(float), brain) == 1


def test_a_scan_whose_bright_tissue_was_cut_off_is_told_from_a_whole_one() -> None:
    data, brain = head()
    assert clipped_share(data, brain) == pytest.approx(0.002, abs=0.002)
    clipped = np.minimum(data, 80)
    assert clipped_share(clipped, brain) == pytest.approx(0.4, abs=0.02)
    clipped[tuple(np.argwhere(brain)[0])] = 300  # one voxel above the plateau does not hide it
    assert clipped_share(clipped, brain) == pytest.approx(0.4, abs=0.02)
    assert clipped_share(data, 0 * brain) is None


def test_brightness_of_left_and_right_is_that_of_most_voxels() -> None:
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[1:4], labels[6:9] = 49, 10
    data = np.where(labels == 10, 50.0, 100.0)
    data[6:9, :2] = 5000  # a fifth of the left: vessels
    assert brightness_asymmetry(data, labels) == pytest.approx(-2 / 3)
    assert brightness_asymmetry(data, np.minimum(labels, 10)) is None  # one label only
    assert brightness_asymmetry(0 * data, labels) is None


def test_scattered_gaps_get_the_mean_of_their_neighbours() -> None:
    data = np.random.default_rng(1).uniform(50, 100, (7, 8, 9))
    block = data[2:5, 3:6, 4:7].copy()
    block[1, 1, 1] = np.nan
    block[0, 2, 1] = data[2, 5, 5] = np.nan  # a neighbour without a value, which has more than enough itself
    data[3, 4, 5] = np.nan
    expected, missing = np.nanmean(block), np.isnan(data)
    data[missing] = 0
    filled = fill_gaps(data, missing)
    assert sorted(map(tuple, np.argwhere(missing))) == sorted(zip(*np.unravel_index(filled, data.shape), strict=True))
    assert data[3, 4, 5] == pytest.approx(expected)


@pytest.mark.parametrize(
    "lost",
    [
        np.s_[:4],  # a flat border
        np.s_[:4, :4],  # one inside an edge
        np.s_[4],  # a slice
        np.s_[3:7, 3:7, 3:6],
        np.s_[0, 4, 4],  # at the end of the grid
    ],
)
def test_background_slices_and_blocks_stay_without_a_value(lost: tuple[slice, ...]) -> None:
    data = np.ones((10, 10, 10))
    data[lost] = 0
    before = data.copy()
    corners = fill_gaps(data, before == 0).size
    assert corners == (8 if np.count_nonzero(before == 0) == 48 else 0)  # of a block, 7 of whose 26 are missing


def test_gaps_that_touch_are_filled_from_outside() -> None:
    """At 15 % a voxel in 25 has fewer than 19 neighbours with a value, until those are filled."""
    missing = np.random.default_rng(2).random((30, 30, 30)) < 0.15
    data = np.where(missing, 0.0, 7.0)
    fill_gaps(data, missing)
    inner = data[2:-2, 2:-2, 2:-2]
    assert (inner == 7).mean() > 0.999
    np.testing.assert_allclose(data[data > 0], 7)


def blurred(sd_mm: float, zooms: tuple[float, float, float], noise: float = 0.0) -> np.ndarray:
    """White noise of SD 1 in the end, blurred with a Gaussian, an offset, and white noise on it."""
    random = np.random.default_rng(3)
    data = ndimage.gaussian_filter(random.standard_normal((120, 100, 90)), sd_mm / np.array(zooms), mode="wrap")
    return 50 + data / data.std() + noise * random.standard_normal(data.shape)


@pytest.mark.parametrize("zooms", [(1.0, 1.0, 1.0), (0.5, 1.0, 2.0), (1.0, 0.5, 3.0)])
@pytest.mark.parametrize("sd_mm", [1.5, 2.0, 2.5])
@pytest.mark.parametrize("noise", [0.0, 0.15])
def test_smoothness_is_that_of_a_gaussian_field(zooms: tuple[float, float, float], sd_mm: float, noise: float) -> None:
    """Squared differences of white noise that a Gaussian of SD s blurred: 2 (1 - exp(-r^2 / 4 s^2))."""
    near, far = (1 - np.exp(-(r**2) / (4 * sd_mm**2)) for r in (2.0, 6.0))
    data = blurred(sd_mm, zooms, noise)
    inside = np.ones(data.shape, dtype=np.uint8)
    found = smoothness(data, inside, zooms)
    assert found is not None
    assert found == pytest.approx(np.log(far / near) / np.log(3), abs=0.12)
    turned = smoothness(np.flip(data.transpose(2, 0, 1), 1), inside.transpose(2, 0, 1), [zooms[a] for a in (2, 0, 1)])
    assert turned == pytest.approx(found, abs=0.03)  # other rows are looked at
    assert smoothness(1e4 + 7 * data, inside, zooms) == pytest.approx(found, abs=1e-2)


def test_no_smoothness_where_nothing_tells_it() -> None:
    white = np.random.default_rng(4).standard_normal((40, 40, 40))
    inside = np.ones(white.shape, dtype=np.uint8)
    assert smoothness(white, inside, (1, 1, 1)) is None  # noise alone
    assert smoothness(blurred(2.0, (1, 1, 1))[:40, :40, :40], inside, (2.5, 3, 3)) is None  # slices too thick
    assert smoothness(white, 0 * inside, (1, 1, 1)) is None
    assert smoothness(0 * white, inside, (1, 1, 1)) is None
    few = np.zeros_like(inside)
    few[3:5, 3:5, 3:5] = 1  # no two voxels so far apart
    assert smoothness(white, few, (1, 1, 1)) is None


def test_the_most_blurred_axis_counts() -> None:
    """As of slices of 6 mm that were interpolated: 2 - 6 mm apart, they differ along one axis only as a ramp does."""
    sharp = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal((80, 80, 80)), 0.8)
    inside = np.ones(sharp.shape, dtype=np.uint8)
    for axis in range(3):
        thick = ndimage.gaussian_filter1d(sharp, 3.0, axis=axis)
        near, far = (1 - np.exp(-(r**2) / (4 * 9.64)) for r in (2.0, 6.0))  # SD 0.8 and 3 together
        assert smoothness(thick, inside, (1, 1, 1)) == pytest.approx(np.log(far / near) / np.log(3), abs=0.1)
