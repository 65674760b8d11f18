"""Sample sizes: the textbook, statsmodels, simulated trials, and where there is none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalbids.group.statistics.fits import power


def standard(n: int, mean: float, sd: float, seed: int = 0) -> np.ndarray:
    """A sample with exactly this mean and SD."""
    values = np.random.default_rng(seed).normal(size=n)
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


def size(rows: list[dict[str, Any]], effect: float, chance: float, relative: str = "no change") -> dict[str, Any]:
    wanted = {"effect": effect, "power": chance, "relative_to": relative}
    (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return row


def test_sample_size_of_the_textbook() -> None:
    """A standardised difference of 0.5 needs 63 per arm for 80 % and 85 for 90 % (normal law: 62.8, 84.06)."""
    rows = power.sizes(standard(100, -1.0, 1.0), np.empty(0), seed=1)
    assert size(rows, 0.5, 0.8)["n_per_arm"] == 63
    assert size(rows, 0.5, 0.9)["n_per_arm"] == 85


def test_sample_size_against_statsmodels() -> None:
    from statsmodels.stats.power import NormalIndPower

    rows = power.sizes(standard(200, -0.9, 1.7), standard(40, -0.2, 0.8, 1), seed=1)
    for effect in power.EFFECTS:
        for chance in power.POWERS:
            d = effect * 0.7 / 1.7
            expected = NormalIndPower().solve_power(d, alpha=0.05, power=chance, ratio=1, alternative="two-sided")
            row = size(rows, effect, chance, "controls")
            assert row["n_per_arm"] == math.ceil(expected - 1e-9)
            whole = NormalIndPower().solve_power(effect * 0.9 / 1.7, alpha=0.05, power=chance, ratio=1)
            assert size(rows, effect, chance)["n_per_arm"] == math.ceil(whole - 1e-9)
            assert row["ci_low"] < row["n_per_arm"] < row["ci_high"]


def test_simulated_trials_of_that_size_have_that_power() -> None:
    row = size(power.sizes(standard(100, -1.0, 1.0), np.empty(0), seed=1), 0.5, 0.8)
    n = int(row["n_per_arm"])
    rng = np.random.default_rng(7)
    a, b = rng.normal(-1, 1, (4000, n)), rng.normal(-0.5, 1, (4000, n))
    z = (b.mean(axis=1) - a.mean(axis=1)) / math.sqrt(2 / n)
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.025)


def test_bootstrap_interval_by_the_delta_method() -> None:
    """log n = const + 2 log SD - 2 log loss: its SD is about sqrt(2 / n + 4 (SD / loss)^2 / n) for a normal sample."""
    n = 2000
    row = size(power.sizes(standard(n, -1.0, 1.5), np.empty(0), seed=3), 0.3, 0.8)
    width = (math.log(row["ci_high"]) - math.log(row["ci_low"])) / (2 * 1.96)
    assert width == pytest.approx(math.sqrt(2 / n + 4 * 2.25 / n), rel=0.08)


def test_no_upper_bound_where_resamples_show_no_loss() -> None:
    row = size(power.sizes(standard(12, -0.2, 1.0), np.empty(0), seed=1), 0.3, 0.8)
    assert row["n_per_arm"] > 0 and math.isnan(row["ci_high"]) and "no upper bound" in row["reason"]


@pytest.mark.parametrize(
    ("patients", "controls", "word"),
    [
        (standard(30, 0.3, 1.0), np.empty(0), "no loss"),
        (standard(30, -0.3, 1.0), standard(10, -0.6, 0.5), "beyond that of the controls"),
        (np.full(30, -0.4), np.empty(0), "does not vary"),
        (standard(4, -1, 1), np.empty(0), "change: 4,"),
        (np.full(9, np.nan), np.empty(0), "change: 0,"),
    ],
)
def test_no_sample_size(patients: np.ndarray, controls: np.ndarray, word: str) -> None:
    relative = "controls" if controls.size else "no change"
    for row in (row for row in power.sizes(patients, controls, seed=1) if row["relative_to"] == relative):
        assert word in row["reason"] and math.isnan(row["n_per_arm"]) and math.isnan(row["ci_low"])


def test_nine_controls_are_not_enough_to_be_relative_to() -> None:
    rows = power.sizes(standard(30, -1, 1), standard(9, -0.2, 0.5), seed=1)
    row = size(rows, 0.3, 0.8, "controls")
    assert math.isnan(row["n_per_arm"]) and row["reason"] == "controls with a change: 9, at least 10 are needed"
    assert size(rows, 0.3, 0.8)["n_per_arm"] > 0
    enough = power.sizes(standard(30, -1, 1), standard(9, -0.2, 0.5), seed=1, least=9)
    assert size(enough, 0.3, 0.8, "controls")["n_per_arm"] > 0


def test_response_mean_and_its_interval() -> None:
    from scipy import stats

    change = standard(25, -0.6, 1.5)
    row = power.response(np.r_[change, np.nan])
    assert (row["n"], row["srm"]) == (25, pytest.approx(-0.4))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(stats.ttest_1samp(change, 0).confidence_interval()))
    for bound, tail in ((row["srm_ci_low"], 0.975), (row["srm_ci_high"], 0.025)):
        assert stats.nct.sf(2.0, 24, -5 * bound) == pytest.approx(1 - stats.nct.cdf(2.0, 24, -5 * bound))
        assert stats.nct.cdf(-2.0, 24, 5 * bound) == pytest.approx(tail)
    assert "change: 3," in power.response(np.array([1.0, 2, 3]))["reason"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=5, max_size=30), st.floats(0.1, 10))
def test_sample_size_does_not_depend_on_the_unit(values: list[float], factor: float) -> None:
    change = np.array(values)
    if np.ptp(change) < 1e-3 or abs(change.mean()) < 1e-3:
        return
    a, b = (size(power.sizes(factor_ * change, np.empty(0), seed=2), 0.5, 0.8) for factor_ in (1.0, factor))
    if not a["reason"].startswith("no loss"):
        assert abs(a["n_per_arm"] - b["n_per_arm"]) <= 1 + 1e-9 * a["n_per_arm"]
