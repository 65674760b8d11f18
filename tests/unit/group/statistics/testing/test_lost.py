"""Lost against kept: Welch, Hedges, Fisher and Newcombe."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from thalbids.group.statistics.testing import lost


def test_numbers_by_welch_and_hedges() -> None:
    import pingouin

    rng = np.random.default_rng(2)
    values = np.r_[rng.normal(0, 1, 40), rng.normal(1, 2, 15), np.nan]
    gone = np.r_[np.zeros(40, bool), np.ones(16, bool)]
    found = lost.compare(values, gone)
    test = stats.ttest_ind(values[:40], values[40:55], equal_var=False)
    interval = test.confidence_interval(0.95)
    assert (found.n_kept, found.n_lost) == (40, 15)
    assert (found.p, found.ci_low, found.ci_high) == pytest.approx((test.pvalue, interval.low, interval.high), rel=1e-9)
    expected = pingouin.compute_effsize(values[:40], values[40:55], eftype="hedges")
    assert found.smd == pytest.approx(expected, rel=1e-9)


def test_shares_by_fisher_and_newcombe() -> None:
    values = np.r_[np.ones(56), np.zeros(14), np.ones(48), np.zeros(32)]  # Newcombe 1998, table II, example a
    found = lost.compare(values, np.arange(150) >= 70, binary=True)
    assert found.difference == pytest.approx(0.2)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.p == pytest.approx(stats.fisher_exact([[56, 14], [48, 32]]).pvalue)
    assert "at least 2" in lost.compare(values, np.arange(150) < 1, binary=True).reason
    assert "do not vary" in lost.compare(np.ones(10), np.arange(10) < 4).reason


@pytest.mark.parametrize(("x", "n"), [(0, 9), (9, 9), (1, 9), (13, 68)])
def test_the_interval_of_a_share_ends_at_0_and_1(x: int, n: int) -> None:
    expected = stats.binomtest(x, n).proportion_ci(method="wilson")
    low, high = lost.wilson(x, n)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (low == 0.0) == (x == 0) and (high == 1.0) == (x == n)
