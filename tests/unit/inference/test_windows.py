"""Sliding windows: where they are, how they are put together, and that a part is the same as that part of the whole."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from thalbids.inference import windows

SIDE = (8, 6, 4)
LEVELS = np.linspace(-1.5, 1.5, 5)


def net(window: np.ndarray) -> np.ndarray:
    """Scores that depend on the voxel, on its place in the window, and on the whole window."""
    place = np.linspace(0, 1, window.shape[0])[:, None, None]
    seen = (window - window.mean()) / (window.std() + 0.1) + 0.4 * place
    return np.stack([-((seen - level) ** 2) for level in LEVELS]).astype(np.float32)


def plain(image: np.ndarray) -> np.ndarray:
    """By definition: Gaussian weights of SD an eighth of the window, at least 0.001, in double precision."""
    lines = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in SIDE]
    weight = np.maximum(np.einsum("i,j,k->ijk", *lines), 1e-3)
    scores = np.zeros((len(LEVELS), *image.shape))
    begins = []
    for length, n in zip(image.shape, SIDE, strict=True):
        begins.append(sorted({*range(0, length - n + 1, n // 2), length - n}))
    for at in product(*begins):
        where = tuple(slice(a, a + n) for a, n in zip(at, SIDE, strict=True))
        scores[:, *where] += net(image[where]) * weight
    return scores.argmax(0)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("shape", [(8, 6, 4), (20, 13, 11), (9, 6, 5), (24, 18, 12)])
def test_labels_are_those_of_the_definition(shape: tuple[int, int, int], random: np.random.Generator) -> None:
    image = random.normal(0, 1, shape).astype(np.float32)
    found = windows.labels(net, len(LEVELS), image, SIDE)
    assert found.dtype == np.uint8 and (found == plain(image)).all()
    assert len(np.unique(found)) == len(LEVELS)


def test_zeros_are_put_around_an_image_smaller_than_a_window(random: np.random.Generator) -> None:
    image = random.normal(0, 1, (5, 9, 3)).astype(np.float32)
    padded = np.pad(image, ((1, 2), (0, 0), (0, 1)))
    assert (windows.labels(net, len(LEVELS), image, SIDE) == plain(padded)[1:6, :, :3]).all()


@pytest.mark.parametrize("seed", range(6))
def test_a_part_is_the_same_with_fewer_windows(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(3, 30, 3))
    image = random.normal(0, 1, shape).astype(np.float32)
    low = [int(random.integers(0, n)) for n in shape]
    box = tuple(slice(a, int(random.integers(a + 1, n + 1))) for a, n in zip(low, shape, strict=True))
    calls = {"part": 0, "whole": 0}

    def counted(which: str) -> windows.Net:
        def function(window: np.ndarray) -> np.ndarray:
            calls[which] += 1
            return net(window)

        return function

    whole = windows.labels(counted("whole"), len(LEVELS), image, SIDE)
    part = windows.labels(counted("part"), len(LEVELS), image, SIDE, box)  # type: ignore[arg-type]
    assert (part == whole[box]).all()
    assert calls["part"] <= calls["whole"]


def test_only_windows_that_hold_a_voxel_of_the_box_are_computed() -> None:
    assert windows.needed((20, 6, 4), SIDE, (slice(0, 1), slice(2, 3), slice(0, 4))) == [(0, 0, 0)]
    assert windows.needed((20, 6, 4), SIDE, (slice(7, 9), slice(2, 3), slice(0, 4))) == [
        (0, 0, 0),
        (4, 0, 0),
        (8, 0, 0),
    ]
    assert len(windows.needed((20, 12, 8), SIDE, (slice(0, 20), slice(0, 12), slice(0, 8)))) == 4 * 3 * 3


def test_weights_have_a_floor() -> None:
    found = windows.weights((128, 128, 64))
    assert found.dtype == np.float32 and found.min() == np.float32(1e-3)
    # half a voxel from the middle along each axis, SD 16, 16 and 8 voxels
    np.testing.assert_allclose(found.max(), np.exp(-0.5 * (2 / 32**2 + 1 / 16**2)), rtol=1e-6)
    assert found[64, 64, 32] == found[63, 63, 31]
