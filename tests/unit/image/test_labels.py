"""Connected components and sides of masks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from thalbids.image.labels import components, largest_component


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
