"""Rubin's rules by hand, and imputation against a known truth, other software and rounding noise."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from statsmodels.imputation.mice import MICE, MICEData
from statsmodels.regression.linear_model import OLS

from thalbids.group.statistics.fits.imputation import impute, pooled


def test_rubins_rules_by_hand():
    """Q 1, 2, 3 with variance 1: between 4/3, total 7/3, lambda 4/7; 10 degrees of freedom if nothing were missing."""
    found = pooled(np.array([1.0, 2.0, 3.0]), np.ones(3), 10)
    df = 1 / ((4 / 7) ** 2 / 2 + 1 / (11 / 13 * 10 * 3 / 7))
    assert found.estimate == pytest.approx(2)
    assert found.se == pytest.approx(np.sqrt(7 / 3))
    assert found.df == pytest.approx(df)
    assert found.fmi == pytest.approx((4 / 3 + 2 / (df + 3)) / (7 / 3))
    density = math.gamma((df + 1) / 2) / (math.sqrt(df * math.pi) * math.gamma(df / 2))
    inside, _ = quad(lambda t: density * (1 + t * t / df) ** (-(df + 1) / 2), 0, 2 / math.sqrt(7 / 3))
    assert found.p == pytest.approx(1 - 2 * inside)


def test_nothing_missing_is_the_model_itself():
    found = pooled(np.full(5, 0.3), np.full(5, 0.01), 96)
    assert (found.estimate, found.se, found.fmi) == pytest.approx((0.3, 0.1, 0))
    assert found.df == pytest.approx(97 / 99 * 96)


def _drawn(seed: int, n: int = 250) -> dict[str, np.ndarray]:
    """y = 1 + 0.5 x + 0.3 z + e; ``a`` is y with noise, and x is missing where ``a`` is large."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    x = 0.6 * z + 0.8 * rng.normal(size=n)
    y = 1 + 0.5 * x + 0.3 * z + rng.normal(size=n)
    a = y + 0.5 * rng.normal(size=n)
    lost = rng.uniform(size=n) < 1 / (1 + np.exp(1.8 - 0.8 * a))
    return {"y": y, "x": np.where(lost, np.nan, x), "z": z, "a": a}


def _slope(columns: dict[str, np.ndarray]) -> tuple[float, float]:
    X = np.column_stack([columns["x"], columns["z"], np.ones_like(columns["z"])])
    found = OLS(columns["y"], X).fit()
    return float(found.params[0]), float(found.bse[0]) ** 2


def _imputed(data: dict[str, np.ndarray], m: int = 5, seed: int = 1) -> list[tuple[float, float]]:
    blocks = {name: {name: values} for name, values in data.items()}
    found = impute(blocks, ("y", "x", "z"), m, (seed,), cycles=3)
    return [_slope({name: values[k] for name, values in found.columns.items()}) for k in range(m)]


def test_missing_at_random_is_put_right_and_intervals_cover():
    """The truth is 0.5. Leaving people out is biased by the choice of them; imputation knows what chose them."""
    complete, filled, covered = [], [], []
    for seed in range(80):
        data = _drawn(seed)
        there = np.isfinite(data["x"])
        complete.append(_slope({name: values[there] for name, values in data.items()})[0])
        values = np.array(_imputed(data))
        found = pooled(values[:, 0], values[:, 1], 247)
        filled.append(found.estimate)
        covered.append(found.ci_low < 0.5 < found.ci_high)
    error = np.std(filled) / np.sqrt(80)
    assert abs(np.mean(filled) - 0.5) < 3 * error
    assert np.mean(complete) < 0.5 - 4 * error
    assert 0.88 <= np.mean(covered) <= 1


@pytest.mark.slow
def test_statsmodels_mice_agrees():
    data = _drawn(3, 400)
    values = np.array(_imputed(data, m=30))
    found = pooled(values[:, 0], values[:, 1], 397)
    np.random.seed(1)  # noqa: NPY002 - statsmodels has no other way
    theirs = MICE("y ~ x + z", OLS, MICEData(pd.DataFrame(data), k_pmm=5)).fit(10, 30)
    place = theirs.exog_names.index("x")
    assert found.estimate == pytest.approx(theirs.params[place], abs=0.03)
    assert found.se == pytest.approx(theirs.bse[place], rel=0.15)


def test_rounding_noise_draws_the_same_people():
    """Another processor adds other noise; the donors must be the same."""
    data = _drawn(5)
    data["x"] = np.round(4 * data["x"]) / 4  # many ties
    noisy = {name: values * (1 + 1e-14 * np.sin(np.arange(values.size))) for name, values in data.items()}
    one, two = (
        impute({name: {name: values} for name, values in own.items()}, ("y", "x"), 3, (7,)) for own in (data, noisy)
    )
    np.testing.assert_allclose(one.columns["x"], two.columns["x"], rtol=1e-10)
    other = impute({name: {name: values} for name, values in data.items()}, ("y", "x"), 3, (8,))
    assert (one.columns["x"] != other.columns["x"]).any()


def test_values_are_those_that_people_have_and_known_ones_stay():
    rng = np.random.default_rng(0)
    score = rng.integers(0, 5, 120).astype(float)
    level = rng.integers(0, 3, 120)
    levels = {f"site[{name}]": (level == i + 1).astype(float) for i, name in enumerate("BC")}
    lost = rng.uniform(size=120) < 0.3
    levels = {name: np.where(lost, np.nan, values) for name, values in levels.items()}
    gone = np.where(rng.uniform(size=120) < 0.2, np.nan, score)
    found = impute(
        {"score": {"score": gone}, "site": levels, "x": {"x": score + rng.normal(size=120)}}, ("score",), 4, (1,)
    )
    assert set(np.unique(found.columns["score"])) <= set(np.arange(5.0))
    both = found.columns["site[B]"] + found.columns["site[C]"]
    assert set(np.unique(both)) <= {0.0, 1.0}  # nobody is at two sites
    known = np.isfinite(gone)
    assert (found.columns["score"][:, known] == gone[known]).all()


def test_too_few_are_no_donors():
    values = np.full(50, np.nan)
    values[:4] = range(4)
    x = np.arange(50.0)
    found = impute({"x": {"x": x}, "v": {"v": values}}, ("x", "v"), 5, (1,))
    assert not found.columns
    assert found.reason == "v is known of 4, at least 7 are needed to impute it"
    helping = impute(
        {"x": {"x": np.where(x < 9, np.nan, x)}, "w": {"w": x**2}, "v": {"v": values}}, ("x", "w"), 2, (1,)
    )
    assert helping.used == ("x", "w")
