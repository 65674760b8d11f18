"""Expected Dice against arithmetic and simulation; the interval's parts."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.inference import uncertainty as u


def test_plug_in_dice_of_a_mask_with_one_probability():
    mask = np.zeros((6, 6, 6), bool)
    mask[1:5, 1:5, 1:5] = True
    assert u.plug_in_dice(mask, np.where(mask, 0.8, 0).astype(np.float32)) == pytest.approx(2 * 0.8 / 1.8)
    assert u.plug_in_dice(mask, mask.astype(np.float32)) == 1
    assert u.plug_in_dice(np.zeros_like(mask), np.zeros(mask.shape, np.float32)) == 0


def test_plug_in_dice_is_the_mean_dice_with_truths_drawn_from_the_probabilities():
    rng = np.random.default_rng(0)
    p = rng.beta(0.4, 0.6, (24, 24, 24))
    mask = p >= 0.5
    truths = (rng.random(p.shape) < p for _ in range(60))
    seen = [2 * (mask & t).sum() / (mask.sum() + t.sum()) for t in truths]
    assert u.plug_in_dice(mask, p.astype(np.float32)) == pytest.approx(np.mean(seen), abs=0.002)


def interval(**changes: object) -> tuple[float, float]:
    mask = np.ones((2, 2, 2), bool)
    given = {"largest_voxel": 1.0, "spread": 0.0, "noise": 0.0, "contrast": "T1w"} | changes
    found = u.uncertainty(mask, mask.astype(np.float32), 8000.0, **given)
    return found.low, found.high


def test_interval_lies_around_the_volume_on_the_log_scale():
    low, high = interval()
    assert low < 8000 < high
    assert np.sqrt(low * high) == pytest.approx(8000)
    assert np.log(high / 8000) == pytest.approx(u.Z * u.REPEAT)


@pytest.mark.parametrize("change", [{"largest_voxel": 3.0}, {"spread": 0.02}, {"noise": 0.05}, {"contrast": "FLAIR"}])
def test_interval_is_wider_where_less_is_known(change):
    narrow, wide = interval(), interval(**change)
    assert wide[0] < narrow[0] and wide[1] > narrow[1]


def test_parts_of_the_interval_add_as_variances():
    sd = [np.log(interval(**c)[1] / 8000) / u.Z for c in ({}, {"spread": 0.02}, {"contrast": "T2w"})]
    both = np.log(interval(spread=0.02, contrast="T2w")[1] / 8000) / u.Z
    assert both**2 == pytest.approx(sd[1] ** 2 + sd[2] ** 2 - sd[0] ** 2)


def test_slices_count_by_the_square_of_what_they_are_thicker_than_one_millimetre():
    of_3, of_5, of_1 = (np.log(interval(largest_voxel=mm)[1] / 8000) ** 2 for mm in (3.0, 5.0, 1.0))
    assert (of_5 - of_1) / (of_3 - of_1) == pytest.approx((4 / 2) ** 4)


def test_voxels_finer_than_one_millimetre_tell_no_more():
    assert interval(largest_voxel=0.7) == interval()
