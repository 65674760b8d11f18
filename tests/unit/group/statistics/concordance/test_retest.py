"""Test-retest against closed forms, and known noise that comes back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thalbids.group.statistics.concordance.retest import QUANTITIES, retest


def test_pairs_by_their_differences() -> None:
    """Of two scans each: SEM^2 = sum d^2 / 2n, ICC(A,1) and ICC(C,1) by the mean squares of McGraw and Wong."""
    rng = np.random.default_rng(0)
    a = rng.normal(12, 1.5, 15)
    b = a + rng.normal(0.1, 0.2, 15)
    found = retest(list(np.column_stack([a, b])))
    d = b - a
    sem = math.sqrt(np.sum(d**2) / (2 * 15))
    assert found["sem"].estimate == pytest.approx(sem)
    assert found["sdc"].estimate == pytest.approx(1.96 * math.sqrt(2) * sem)
    cv = 100 * math.sqrt(np.mean((d / (a + b)) ** 2 * 2))  # root mean square of the sessions' SD / mean
    assert found["cv_percent"].estimate == pytest.approx(cv)
    assert found["bias"].estimate == pytest.approx(d.mean())
    assert found["loa_high"].estimate == pytest.approx(d.mean() + 1.96 * d.std(ddof=1))
    both = np.column_stack([a, b])
    rows = 2 * np.var(both.mean(axis=1), ddof=1)
    columns = 15 * np.var(both.mean(axis=0), ddof=1)
    error = np.var(d, ddof=1) / 2
    assert found["icc_c1"].estimate == pytest.approx((rows - error) / (rows + error))
    assert found["icc_a1"].estimate == pytest.approx((rows - error) / (rows + error + 2 / 15 * (columns - error)))


@pytest.mark.slow
def test_known_noise_comes_back_and_the_interval_holds_it() -> None:
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        scans = [rng.normal(rng.normal(12, 1.5), 0.15, size=int(rng.integers(2, 5))) for _ in range(12)]
        found = retest(scans)["sem"]
        inside += found.ci_low < 0.15 < found.ci_high
    assert 181 <= inside <= 199  # 95 % of 200


def test_too_few() -> None:
    found = retest([np.array([12.0, 12.1]), np.array([11.0]), np.array([np.nan, 10.0])])
    assert set(found) == set(QUANTITIES)
    assert all("scans: 1, at least 3" in one.reason and math.isnan(one.estimate) for one in found.values())
