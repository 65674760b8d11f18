"""Dependent overlapping correlations: published worked examples, other programs' values, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from thalbids.group.statistics.testing import correlations as co


def test_williams_of_silver_hittner_and_may() -> None:
    """Silver, Hittner and May 2006 (depcor): t = -1.0767, p = .2843."""
    found = co.williams(0.3, 0.4, 0.5, 100)
    assert (found.statistic, found.p) == pytest.approx((-1.0767, 0.2843), abs=5e-5)


def test_steiger_1980() -> None:
    """Case A, page 249: -.8913 from a covariance rounded to .0042; unrounded, as the R package cocor has it, -.8887185.
    Silver, Hittner and May 2006: z = -1.0718, p = .2838."""
    assert co.steiger(0.4, 0.5, 0.1, 103).statistic == pytest.approx(-0.8887185, abs=5e-8)
    assert co.steiger(0.4, 0.5, 0.1, 103).statistic == pytest.approx(-0.8913, abs=3e-3)
    found = co.steiger(0.3, 0.4, 0.5, 100)
    assert (found.statistic, found.p) == pytest.approx((-1.0718, 0.2838), abs=5e-5)


def test_zou_2007() -> None:
    """Page 409: .396 and .179 with .088 between, n = 66: -.093 to .517."""
    assert co.zou(0.396, 0.179, 0.088, 66) == pytest.approx((-0.093, 0.517), abs=5e-4)


@pytest.mark.parametrize(("r23", "printed"), [(0.0, 1.73), (0.3, 2.01), (0.5, 2.38), (0.8, 4.07)])
def test_williams_is_below_hotelling(r23: float, printed: float) -> None:
    """May and Hittner 1997 print Hotelling's t for .5 and .2, n = 50; Williams' correction makes it smaller."""
    determinant = 1 - 0.25 - 0.04 - r23**2 + 0.2 * r23
    hotelling = 0.3 * np.sqrt(47 * (1 + r23) / (2 * determinant))
    assert hotelling == pytest.approx(printed, abs=0.006)
    assert 0.9 * hotelling < co.williams(0.5, 0.2, r23, 50).statistic < hotelling


def test_swapping_changes_the_sign() -> None:
    assert co.williams(0.3, 0.4, 0.5, 40).statistic == -co.williams(0.4, 0.3, 0.5, 40).statistic
    assert co.steiger(0.3, 0.4, 0.5, 40).statistic == pytest.approx(-co.steiger(0.4, 0.3, 0.5, 40).statistic)
    low, high = co.zou(0.3, 0.4, 0.5, 40)
    assert co.zou(0.4, 0.3, 0.5, 40) == pytest.approx((-high, -low))


def draws(rho12: float, rho13: float, rho23: float, n: int, times: int) -> list[tuple[float, float, float]]:
    rng = np.random.default_rng(4)
    root = np.linalg.cholesky([[1, rho12, rho13], [rho12, 1, rho23], [rho13, rho23, 1]])
    sample = rng.normal(size=(times, n, 3)) @ root.T
    sample = (sample - sample.mean(axis=1, keepdims=True)) / sample.std(axis=1, keepdims=True)
    r = np.einsum("tni,tnj->tij", sample, sample) / n
    return [(a[0, 1], a[0, 2], a[1, 2]) for a in r]


def test_level_of_both_tests_under_equal_correlations() -> None:
    found = draws(0.4, 0.4, 0.7, 40, 4000)
    for test in (co.williams, co.steiger):
        level = np.mean([test(*r, 40).p < 0.05 for r in found])
        assert level == pytest.approx(0.05, abs=3.5 * np.sqrt(0.05 * 0.95 / 4000))


def test_coverage_of_the_interval() -> None:
    found = draws(0.5, 0.2, 0.6, 60, 3000)
    inside = np.mean([low <= 0.3 <= high for low, high in (co.zou(*r, 60) for r in found)])
    assert inside == pytest.approx(0.95, abs=0.015)


def test_pearson_and_interval_against_scipy() -> None:
    x, y = np.random.default_rng(2).normal(size=(2, 30))
    found = stats.pearsonr(x, y)
    assert co.pearson(x, y) == pytest.approx(found.statistic)
    assert co.interval(co.pearson(x, y), 30) == pytest.approx(tuple(found.confidence_interval()))
