"""Benjamini-Hochberg, by hand and by definition; families by columns."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thalbids.group.statistics.testing.correction import adjust, benjamini_hochberg


def test_benjamini_hochberg_by_hand_with_a_gap() -> None:
    """p (n / rank), made monotone: 0.01, 0.02, 0.03 of three are all 0.03; the NaN is no member."""
    found = benjamini_hochberg([0.02, math.nan, 0.03, 0.01])
    assert found[:1] + found[2:] == pytest.approx([0.03, 0.03, 0.03])
    assert math.isnan(found[1])
    assert benjamini_hochberg([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert math.isnan(benjamini_hochberg([math.nan])[0])


def test_benjamini_hochberg_keeps_nan_and_matches_the_definition() -> None:
    p = [0.01, math.nan, 0.04, 0.03, 0.005]
    expected = [0.02, math.nan, 0.04, 0.04, 0.02]  # 5 p / rank with m = 4, monotone from above
    np.testing.assert_allclose(benjamini_hochberg(p), expected)
    assert all(math.isnan(value) for value in benjamini_hochberg([math.nan, math.nan]))


def test_families_are_said_by_columns_and_rows_that_are_not_chosen_are_left_alone() -> None:
    rows = [
        {"method": "a", "kind": "main", "p": 0.01},
        {"method": "a", "kind": "main", "p": 0.04},
        {"method": "b", "kind": "main", "p": 0.04},
        {"method": "a", "kind": "more", "p": 0.001},
    ]
    adjust(rows, {"p_fdr": ("method",), "p_all": ()}, {"kind": "main"})
    assert [row.get("p_fdr") for row in rows] == [0.02, 0.04, 0.04, None]
    assert [row["p_all"] for row in rows[:3]] == pytest.approx([0.03, 0.04, 0.04])
