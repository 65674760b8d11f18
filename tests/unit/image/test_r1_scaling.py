from __future__ import annotations

import json

import numpy as np
import pytest

from thalbids.errors import ImageError
from thalbids.image.r1_scaling import scale_r1


def test_scaling_by_hand():
    data = np.linspace(0, 2, 1001).reshape(7, 11, 13)
    mask = np.ones(data.shape, bool)
    scaled, how = scale_r1(data, mask)
    assert how["Maximum"] == pytest.approx(1.98)
    np.testing.assert_allclose(scaled, np.minimum(data, 1.98) / 1.98 * 1000, rtol=1e-6)
    assert scaled.max() == 1000 and scaled.dtype == np.float32
    assert how["ClippedVoxels"] == 10 and how["NegativeVoxels"] == 0
    assert how["Factor"] == pytest.approx(1000 / 1.98)
    json.dumps(how)


def test_outside_counts_for_nothing_and_becomes_zero():
    data = np.full((10, 10, 10), 50.0)
    data[2:8, 2:8, 2:8] = np.linspace(0.2, 1.2, 216).reshape(6, 6, 6)
    mask = np.zeros(data.shape, np.uint8)
    mask[2:8, 2:8, 2:8] = 1
    scaled, how = scale_r1(data, mask)
    assert (scaled[mask == 0] == 0).all()
    assert how["Maximum"] == pytest.approx(np.percentile(np.linspace(0.2, 1.2, 216), 99))


def test_negative_and_not_finite_become_zero_and_the_order_is_kept():
    data = np.random.default_rng(0).random((10, 10, 10)) + 0.1
    data[0, 0, :4] = [-3, np.nan, np.inf, -np.inf]
    scaled, how = scale_r1(data, np.ones(data.shape, bool))
    assert (scaled[0, 0, :4] == 0).all() and how["NegativeVoxels"] == 2
    order = np.argsort(data[1:], axis=None)
    assert (np.diff(scaled[1:].ravel()[order]) >= 0).all()


def test_the_unit_of_r1_does_not_matter():
    data = np.random.default_rng(0).random((10, 10, 10))
    mask = np.ones(data.shape, bool)
    np.testing.assert_allclose(scale_r1(data, mask)[0], scale_r1(data / 1000, mask)[0], rtol=1e-5)


def test_nothing_to_scale():
    data = np.ones((8, 8, 8))
    with pytest.raises(ImageError, match="mask is empty"):
        scale_r1(data, np.zeros(data.shape))
    with pytest.raises(ImageError, match="0 inside"):
        scale_r1(-data, np.ones(data.shape))
    with pytest.raises(ValueError, match="shapes"):
        scale_r1(data, np.ones((8, 8, 9)))


def test_the_range_of_the_paper_begins_at_the_smallest_value():
    data = np.linspace(0.2, 1.2, 1000).reshape(10, 10, 10)
    scaled, how = scale_r1(data, np.ones(data.shape), from_smallest=True)
    top = np.percentile(data, 99)
    np.testing.assert_allclose(scaled, (np.minimum(data, top) - 0.2) / (top - 0.2) * 1000, atol=1e-3)
    assert how["Minimum"] == pytest.approx(0.2)
    with pytest.raises(ImageError, match="one value"):
        scale_r1(np.ones((8, 8, 8)), np.ones((8, 8, 8)), from_smallest=True)
