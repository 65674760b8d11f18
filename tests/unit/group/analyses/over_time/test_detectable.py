"""The smallest detectable change by hand, from repeated scans and from controls."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.people import frame_of
from thalbids.group.analyses.over_time import detectable
from thalbids.group.cohort import VOLUME_COLUMNS


def standard(n: int, mean: float, sd: float, seed: int = 0) -> np.ndarray:
    """A sample with exactly this mean and SD."""
    values = np.random.default_rng(seed).normal(size=n)
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


def scans(values: dict[str, list[float]]) -> Any:
    rows = [
        {
            "participant_id": who,
            "session_id": "ses-1",
            "method": "first",
            "volume_ml": v,
            "status": "ok",
            "entities": f"run-{i}",
        }
        for who, several in values.items()
        for i, v in enumerate(several)
    ]
    return frame_of(rows, (*VOLUME_COLUMNS, "entities"))


def test_repeated_scans() -> None:
    """Within-session variance of two scans is d^2 / 2; pooled over sessions; 1.96 sqrt(2) SEM."""
    pairs = {f"sub-{i}": [10 + i, 10 + i + d] for i, d in enumerate([0.1, -0.2, 0.3, 0.05, -0.15])}
    found = detectable.limits(scans(pairs), "first", "ml", np.empty(0))
    sem = math.sqrt(sum(d * d / 2 for d in [0.1, -0.2, 0.3, 0.05, -0.15]) / 5)
    assert found.source == "repeated scans" and found.n == 5
    assert found.noise.estimate == pytest.approx(sem)
    assert found.factor == pytest.approx(1.96 * math.sqrt(2))
    percent = detectable.limits(scans(pairs), "first", "percent", np.empty(0)).noise.estimate
    expected = [100 * (b - a) / ((a + b) / 2) for a, b in pairs.values()]
    assert percent == pytest.approx(math.sqrt(sum(d * d / 2 for d in expected) / 5))


def test_three_scans_weigh_by_their_degrees_of_freedom() -> None:
    found = detectable.repeated(scans({"sub-1": [10, 11, 12.0], "sub-2": [9, 9.5], "sub-3": [8.0]}), "first", "ml")
    assert found.noise.estimate == pytest.approx(math.sqrt((2 + 0.125) / 3)) and found.n == 2


def test_controls_stand_in_and_are_named() -> None:
    controls = standard(9, -0.02, 0.15)
    found = detectable.limits(scans({}), "first", "ml", np.r_[controls, np.nan])
    assert (found.source, found.n, found.factor) == ("controls", 9, 1.96)
    assert found.noise.estimate == pytest.approx(0.15)
    chi = stats.chi2.ppf([0.975, 0.025], 8)
    assert (found.noise.ci_low, found.noise.ci_high) == pytest.approx(tuple(0.15 * np.sqrt(8 / chi)))
    assert "change: 4," in detectable.limits(scans({}), "first", "ml", controls[:4]).noise.reason


def test_shares() -> None:
    limit = detectable.Limit("controls", detectable.Estimate(0.1, 0.05, 0.2), 1.96, 9)
    change = np.array([-0.3, -0.2, -0.1, 0.0, 0.1, 0.25, np.nan])
    group = np.array(["RRMS", "RRMS", "HC", "HC", "RRMS", "RRMS", "RRMS"], dtype=object)
    rows = {row["diagnosis"]: row for row in detectable.shares(limit, change, group)}
    assert rows["all"]["smallest_change"] == pytest.approx(0.196)
    assert (rows["all"]["n"], rows["all"]["n_loss"], rows["all"]["n_gain"]) == (6, 2, 1)
    assert (rows["RRMS"]["share_loss"], rows["HC"]["share_loss"]) == (0.5, 0)
    p, n, z = 0.5, 4, 1.959964  # Wilson 1927
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert rows["RRMS"]["share_loss_ci_low"] == pytest.approx((p + z * z / (2 * n)) / (1 + z * z / n) - half)
