"""Pairs of visits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.group.small import three_visits
from thalbids.group.analyses.over_time.change import change
from thalbids.group.cohort import visit_pairs


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("first:last", [("ses-1", "ses-3", -0.3, -3.0, 731 / 365.25, 2.0, 1.0)]),
        ("1:2", [("ses-1", "ses-2", -0.2, -2.0, 366 / 365.25, 1.0, 1.0)]),
        ("ses-2:ses-3", [("ses-2", "ses-3", -0.1, -100 * 0.1 / 9.8, 365 / 365.25, 1.0, 0.0)]),
        ("consecutive", [("ses-1", "ses-2", -0.2, -2.0, 366 / 365.25, 1.0, 1.0),
                         ("ses-2", "ses-3", -0.1, -100 * 0.1 / 9.8, 365 / 365.25, 1.0, 0.0)]),
        ("1:9", []),
    ],
)  # fmt: skip
def test_pairs_of_three_visits(tmp_path: Path, pair: str, expected: list[tuple[object, ...]]) -> None:
    cohort = three_visits(tmp_path)
    pairs, rows = visit_pairs(cohort, pair), change(cohort, pair)
    assert len(pairs) == len(rows) == len(expected)
    for index, (first, second, ml, percent, years, edss, steroid) in enumerate(expected):
        row, visit = rows.iloc[index], pairs.iloc[index]
        assert (row["session_id_baseline"], row["session_id_followup"]) == (first, second)
        np.testing.assert_allclose(
            [row["delta_ml"], row["delta_percent"], row["interval_years"], row["delta_percent_per_year"]],
            [ml, percent, years, percent / years], rtol=1e-9,
        )  # fmt: skip
        np.testing.assert_allclose([row["asymmetry_baseline"], row["delta_asymmetry"]], [0.4, 0], atol=1e-12)
        assert (visit["d_edss"], visit["steroid"]) == (edss, steroid)
