"""Difference of two volumes: numbers worked by hand, and intervals by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thalbids.inference.uncertainty import CONTRAST, Z
from thalbids.longitudinal.difference import difference, interval, pairs_of


def volumes(total: float, left: float = 0.0, sd: float | None = None) -> dict[str, float]:
    made = {"volume_ml": total, "volume_left_ml": left, "volume_right_ml": total - left}
    return (
        made
        if sd is None
        else made | {"volume_low_ml": total * math.exp(-Z * sd), "volume_high_ml": total * math.exp(Z * sd)}
    )


def test_numbers() -> None:
    made = difference(volumes(16.0, 8.0), volumes(15.6, 7.6), 2.0)
    assert made["delta_ml"] == pytest.approx(-0.4)
    assert made["delta_percent"] == pytest.approx(-2.5)
    assert made["delta_percent_per_year"] == pytest.approx(-1.25)
    assert made["delta_left_percent"] == pytest.approx(-5.0)
    assert made["delta_right_ml"] == pytest.approx(0.0)


@pytest.mark.parametrize("years", [None, 0.0])
def test_no_rate_without_an_interval(years: float | None) -> None:
    assert not [name for name in difference(volumes(16.0), volumes(15.0), years) if name.endswith("per_year")]


def test_sides_that_are_missing_are_absent() -> None:
    made = difference({"volume_ml": 16.0}, volumes(15.0), 1.0)
    assert set(made) == {
        "volume_baseline_ml",
        "volume_followup_ml",
        "delta_ml",
        "delta_percent",
        "delta_percent_per_year",
    }


def test_interval_holds_95_of_100_pairs_without_change() -> None:
    """Simulated: two volumes of one thalamus with independent log-normal errors of 1 and 2 %."""
    rng = np.random.default_rng(3)
    held = 0
    for one, two in rng.normal(0, (0.01, 0.02), (4000, 2)):
        low, high = interval(volumes(15 * math.exp(one), sd=0.01), volumes(15 * math.exp(two), sd=0.02), "T1w") or (
            0,
            0,
        )
        held += low <= 0 <= high
    assert held / 4000 == pytest.approx(0.95, abs=0.012)


def test_the_error_that_two_visits_share_does_not_widen_the_interval() -> None:
    sd = math.hypot(CONTRAST, 0.01)
    own = interval(volumes(15.0, sd=0.01), volumes(15.0, sd=0.01), "T1w")
    assert interval(volumes(15.0, sd=sd), volumes(15.0, sd=sd), "FLAIR") == pytest.approx(own)


def test_no_interval_without_bounds() -> None:
    assert interval(volumes(15.0, sd=0.01), volumes(15.0), "T1w") is None


def test_pairs() -> None:
    assert pairs_of(["b", "a", "c"], "b") == [("b", "a"), ("b", "c"), ("a", "c")]
    assert len(pairs_of([str(n) for n in range(10)], "0")) == 45


def test_many_visits_consecutive_and_with_the_first() -> None:
    labels = [f"{n:02d}" for n in range(12)]
    found = pairs_of(labels, labels[0])
    assert len(found) == len(set(found)) == 11 + 10
    assert ("00", "11") in found and ("10", "11") in found and ("03", "05") not in found


def test_many_visits_of_which_the_first_has_no_image() -> None:
    labels = [f"{n:02d}" for n in range(12)]
    pairs = pairs_of(labels, "01")
    assert ("01", "11") in pairs and ("00", "01") in pairs and ("00", "05") not in pairs
