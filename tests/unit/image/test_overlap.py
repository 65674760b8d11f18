"""Overlap of masks, by hand and in relation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from tests.unit.image.test_overlap_volumes_labels import A, B
from thalbids.image.overlap import Counts, containment, counts, dice, precision, sensitivity


def test_counts_by_hand():
    c = counts(reference=A, prediction=B)
    assert c == Counts(tp=128, fp=256, fn=128)
    assert dice(c) == pytest.approx(256 / 640)
    assert precision(c) == pytest.approx(1 / 3)
    assert sensitivity(c) == pytest.approx(1 / 2)
    assert containment(inner=A, outer=B) == pytest.approx(1 / 2)
    assert containment(inner=B, outer=A) == pytest.approx(1 / 3)


def test_empty_masks():
    empty = np.zeros_like(A)
    both = counts(empty, empty)
    assert all(math.isnan(f(both)) for f in (dice, precision, sensitivity))
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
    if a.any():
        assert dice(counts(a, a)) == 1 and containment(a, a | b) == 1
