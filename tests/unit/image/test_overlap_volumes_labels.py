from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.conftest import affine_of
from thalbids.image.labels import components, largest_component, left_right_from_dseg
from thalbids.image.overlap import Counts, containment, counts, dice, jaccard, precision, sensitivity
from thalbids.image.volumes import soft_volume_mm3, volume_mm3, voxels

A = np.zeros((8, 8, 8), np.uint8)
A[:4] = 255  # 256 voxels; 255 + 255 and 255 * 2 overflow uint8
B = np.zeros((8, 8, 8), np.uint8)
B[2:8] = 1  # 384 voxels, 128 shared


def test_counts_by_hand():
    c = counts(reference=A, prediction=B)
    assert c == Counts(tp=128, fp=256, fn=128)
    assert dice(c) == pytest.approx(256 / 640)
    assert jaccard(c) == pytest.approx(128 / 512)
    assert precision(c) == pytest.approx(1 / 3)
    assert sensitivity(c) == pytest.approx(1 / 2)
    assert containment(inner=A, outer=B) == pytest.approx(1 / 2)
    assert containment(inner=B, outer=A) == pytest.approx(1 / 3)


def test_empty_masks():
    empty = np.zeros_like(A)
    both = counts(empty, empty)
    assert all(math.isnan(f(both)) for f in (dice, jaccard, precision, sensitivity))
    assert dice(counts(A, empty)) == 0 and dice(counts(empty, A)) == 0
    assert math.isnan(precision(counts(A, empty))) and sensitivity(counts(A, empty)) == 0
    assert math.isnan(containment(empty, A)) and containment(A, empty) == 0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes differ"):
        counts(A, B[1:])


masks = arrays(bool, (4, 5, 3))


@given(masks, masks)
def test_relations(a, b):
    c = counts(a, b)
    assert c.tp + c.fn == a.sum() and c.tp + c.fp == b.sum()
    assert counts(b, a) == Counts(c.tp, c.fn, c.fp)
    if a.any() or b.any():
        assert jaccard(c) == pytest.approx(dice(c) / (2 - dice(c)))
    if a.any():
        assert dice(counts(a, a)) == 1 and containment(a, a | b) == 1


def test_volumes(orientation):
    affine = affine_of(orientation, (8, 8, 8))
    one = 2.4 if orientation.startswith("anisotropic") else 1.0
    assert voxels(A) == 256
    assert volume_mm3(A, affine) == pytest.approx(256 * one)
    assert soft_volume_mm3(np.full((8, 8, 8), 0.25, np.float32), affine) == pytest.approx(128 * one)


def test_soft_volume_does_not_lose_small_parts():
    probability = np.full((256, 256, 100), 0.1, np.float32)  # a float32 sum would stop growing
    assert soft_volume_mm3(probability, np.eye(4)) == pytest.approx(655_360, rel=1e-6)


def test_components_are_ranked_by_size():
    mask = np.zeros((9, 9, 9), np.uint8)
    mask[0, 0, 0] = 7
    mask[4:7, 4:7, 4:7] = 7
    mask[0:2, 7:9, 0:2] = 7
    found, sizes = components(mask)
    assert sizes == (27, 8, 1)
    assert [found[5, 5, 5], found[0, 8, 0], found[0, 0, 0], found[8, 8, 8]] == [1, 2, 3, 0]
    np.testing.assert_array_equal(largest_component(mask), found == 1)


def test_connectivity():
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert components(mask)[1] == (2,)
    assert components(mask, 18)[1] == (1, 1)
    mask[0, 1, 1] = True
    assert components(mask, 18)[1] == (3,)
    assert components(mask, 6)[1] == (2, 1)


def test_equal_components_keep_the_array_order():
    mask = np.zeros((9, 3, 3), bool)
    mask[7] = mask[1] = mask[4] = True
    found, sizes = components(mask)
    assert sizes == (9, 9, 9) and list(found[[1, 4, 7], 0, 0]) == [1, 2, 3]


def test_empty_components():
    found, sizes = components(np.zeros((4, 4, 4)))
    assert sizes == () and not found.any()
    assert not largest_component(np.zeros((4, 4, 4))).any()


@given(arrays(np.uint8, (4, 4, 4), elements=st.integers(0, 1)))
def test_components_partition_the_mask(mask):
    found, sizes = components(mask)
    assert sum(sizes) == mask.sum() and ((found > 0) == (mask > 0)).all()
    assert list(sizes) == sorted(sizes, reverse=True)


def test_sides():
    dseg = np.zeros((4, 4, 4), np.int32)
    dseg[0], dseg[3], dseg[1] = 10, 49, 1049
    left, right = left_right_from_dseg(dseg)
    assert left[0].all() and left.sum() == 16 and right[3].all() and right.sum() == 16
    left, right = left_right_from_dseg(dseg, left=(10, 1049), right=())
    assert left.sum() == 32 and not right.any()
