from __future__ import annotations

import math

import numpy as np
import pytest

from thalbids.image.similarity import correlation, mutual_information

RNG = np.random.default_rng(7)
SHAPE = (60, 60, 60)
MASK = np.ones(SHAPE, bool)


def test_of_an_image_with_itself_is_its_entropy():
    four = RNG.integers(0, 4, SHAPE).astype(np.float32)
    assert mutual_information(four, four, MASK) == pytest.approx(math.log(4), abs=1e-3)
    uniform = RNG.random(SHAPE)
    assert mutual_information(uniform, uniform, MASK) == pytest.approx(math.log(64), abs=0.02)


def test_of_independent_images_is_zero_for_any_size_of_mask():
    a, b = RNG.random(SHAPE), RNG.random(SHAPE)
    assert abs(mutual_information(a, b, MASK)) < 2e-3
    small = np.zeros(SHAPE, bool)
    small[:30, :30, :30] = True  # the plain estimate would be 0.07 here
    assert abs(mutual_information(a, b, small)) < 0.015


def test_of_a_binary_channel():
    a = RNG.random(SHAPE) < 0.5
    flipped = RNG.random(SHAPE) < 0.1
    expected = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)  # capacity of the binary symmetric channel
    assert mutual_information(a, a ^ flipped, MASK) == pytest.approx(expected, abs=0.01)


def test_of_correlated_gaussians():
    a = RNG.standard_normal((100, 100, 100))
    b = 0.8 * a + 0.6 * RNG.standard_normal(a.shape)
    expected = -0.5 * math.log(1 - 0.8**2)
    assert mutual_information(a, b, np.ones(a.shape, bool)) == pytest.approx(expected, abs=0.02)


def test_scale_offset_sign_order_and_type_do_not_matter():
    a = RNG.random(SHAPE)
    b = a + 0.2 * RNG.random(SHAPE)
    value = mutual_information(a, b, MASK)
    assert mutual_information(b, a, MASK) == pytest.approx(value)
    assert mutual_information(a * 3000 - 50, 7 - b, MASK) == pytest.approx(value, abs=1e-3)
    assert mutual_information((a * 250).astype(np.uint8), b.astype(np.float64), MASK) == pytest.approx(value, abs=0.03)


def test_a_few_bright_voxels_do_not_matter():
    a = RNG.random(SHAPE)
    b = a + 0.2 * RNG.random(SHAPE)
    value = mutual_information(a, b, MASK)
    b[0, 0, :50] = 1e6
    assert mutual_information(a, b, MASK) == pytest.approx(value, abs=0.01)


def test_only_the_mask_counts():
    a, b = RNG.random(SHAPE), RNG.random(SHAPE)
    b[:30] = a[:30]
    half = np.zeros(SHAPE, np.uint8)
    half[:30] = 255
    assert mutual_information(a, b, half) > 3.5
    assert abs(mutual_information(a, b, half == 0)) < 0.02
    a[30:] = np.nan
    assert mutual_information(a, b, half) > 3.5


def test_degenerate_masks_and_images():
    a = RNG.random(SHAPE)
    assert math.isnan(mutual_information(a, a, np.zeros(SHAPE)))
    assert mutual_information(a, np.zeros(SHAPE), MASK) == pytest.approx(0, abs=1e-12)
    sparse = np.zeros(SHAPE)
    sparse[0, 0] = 1  # less than 1 %: clipping must not delete it
    assert mutual_information(sparse, sparse, MASK) > 0
    with pytest.raises(ValueError, match="shapes differ"):
        mutual_information(a, a[1:], MASK)


def test_falls_with_misalignment():
    x = np.linspace(0, 6 * np.pi, 60)
    a = np.sin(x)[:, None, None] * np.cos(x)[None, :, None] + 0 * x + 0.02 * RNG.random(SHAPE)
    values = [mutual_information(a, np.roll(-a, shift, 0), MASK) for shift in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True) and values[0] > 2 * values[3]


def test_correlation_is_pearsons_of_clipped_values_inside_the_mask() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(20, 20, 20))
    b = 3 * a + 2 + rng.normal(size=a.shape)  # r = 3 / sqrt(10)
    mask = rng.uniform(size=a.shape) < 0.7
    far = a.copy()
    far[~mask] = 1e9
    assert correlation(far, b, mask) == pytest.approx(3 / np.sqrt(10), abs=0.02)
    assert correlation(a, -b, mask) == pytest.approx(-3 / np.sqrt(10), abs=0.02)
    far = a.copy()
    far[tuple(np.argwhere(mask)[0])] = 1e6  # a vessel
    assert correlation(far, b, mask) == pytest.approx(correlation(a, b, mask), abs=0.01)
    assert np.isnan(correlation(a, b, np.zeros_like(mask))) and np.isnan(correlation(np.ones_like(a), b, mask))
