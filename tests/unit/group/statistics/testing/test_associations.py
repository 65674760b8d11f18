"""Comparison of associations: against statsmodels, pingouin, plain resampling, closed forms and simulation."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from statsmodels.regression.linear_model import OLS

from thalbids.group.statistics.testing import associations, correlations


def data(n: int, seed: int, effects: tuple[float, float] = (0.5, 0.5)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcome, two noisy measures of one truth, and covariates with the intercept."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=n), rng.integers(0, 2, n), np.ones(n)])
    truth = rng.normal(size=n) + 0.5 * X[:, 0]
    V = np.column_stack([truth + noise * rng.normal(size=n) for noise in effects])
    y = 0.6 * truth - 0.4 * X[:, 0] + X[:, 1] + rng.normal(size=n)
    return y, V, X


def compared(y: np.ndarray, V: np.ndarray, X: np.ndarray) -> associations.Difference:
    """The test of the partial correlations of two measures."""
    return associations.steiger_zou(*associations.residuals(np.column_stack([y, V]), X).T, covariates=X.shape[1] - 1)


def test_each_model_is_that_of_statsmodels_and_the_partial_correlation_that_of_pingouin() -> None:
    import pingouin

    y, V, X = data(90, 1)
    other = np.random.default_rng(0).normal(size=90)
    found = associations.fits(np.column_stack([other, y]), V, X)
    found = associations.Fits(found.partial[1], found.beta[1], found.r2[1])
    for j in range(2):
        fitted = OLS(y, np.column_stack([V[:, j], X])).fit()
        assert found.r2[j] == pytest.approx(fitted.rsquared, rel=1e-10)
        assert found.beta[j] == pytest.approx(fitted.params[0] * V[:, j].std(ddof=1) / y.std(ddof=1), rel=1e-10)
        frame = pd.DataFrame({"y": y, "v": V[:, j], "a": X[:, 0], "b": X[:, 1]})
        expected = pingouin.partial_corr(frame, "v", "y", ["a", "b"])["r"].iloc[0]
        assert found.partial[j] == pytest.approx(expected, abs=1e-9)


def test_resamples_are_those_of_refitting_the_drawn_people() -> None:
    y, V, X = data(40, 2)
    found = associations.resampled(np.column_stack([y, V[:, 1] ** 2]), V, X, seed=7, draws=6)
    assert found.r2.shape == (6, 2, 2)
    index = np.random.default_rng(7).integers(0, 40, (6, 40))
    for draw, rows in enumerate(index):
        for j in range(2):
            fitted = OLS(y[rows], np.column_stack([V[rows, j], X[rows]])).fit()
            assert found.r2[draw, 0, j] == pytest.approx(fitted.rsquared, rel=1e-8)
            scale = V[rows, j].std() / y[rows].std()
            assert found.beta[draw, 0, j] == pytest.approx(fitted.params[0] * scale, rel=1e-8)


def test_without_covariates_it_is_steiger_and_zou() -> None:
    y, V, _ = data(66, 3)
    found = compared(y, V, np.ones((66, 1)))
    r = np.corrcoef(np.column_stack([y, V]), rowvar=False)
    test = correlations.steiger(r[0, 1], r[0, 2], r[1, 2], 66)
    assert (found.statistic, found.p) == pytest.approx((test.statistic, test.p), rel=1e-9)
    assert (found.ci_low, found.ci_high) == pytest.approx(correlations.zou(r[0, 1], r[0, 2], r[1, 2], 66), rel=1e-9)


def test_what_cannot_be_compared_gives_a_reason() -> None:
    y, V, X = data(50, 4)
    assert "same" in compared(y, np.column_stack([V[:, 0], 2 * V[:, 0] + 1]), X).reason
    assert "too few" in associations.unfit(y[:6], V[:6], X[:6], ("a", "b"))
    assert "b does not vary" in associations.unfit(y, np.column_stack([V[:, 0], X[:, 0]]), X, ("a", "b"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no word of numpy on the terminal
        assert "a does not vary" in associations.unfit(y, 0 * V, X, ("a", "b"))
    assert "outcome" in associations.unfit(np.ones(50), V, X, ("a", "b"))
    assert associations.unfit(y, V, X, ("a", "b")) == ""
    assert "same" in associations.bootstrapped(0.0, np.zeros(100)).reason


def test_level_and_power_by_simulation() -> None:
    """Equally noisy measures differ in 5 % of the samples; a much noisier one in most."""
    rates = {}
    for name, noise in (("same", (0.6, 0.6)), ("worse", (0.3, 1.5))):
        hits = np.zeros(3)
        for seed in range(200):
            y, V, X = data(120, seed, noise)
            test = compared(y, V, X)
            Y = y[:, None]
            point, draws = associations.fits(Y, V, X), associations.resampled(Y, V, X, seed, 200)
            hits += [
                test.p < 0.05,
                *(
                    associations.bootstrapped(value[0, 0] - value[0, 1], drawn[:, 0, 0] - drawn[:, 0, 1]).p < 0.05
                    for value, drawn in ((point.beta, draws.beta), (point.r2, draws.r2))
                ),
            ]
        rates[name] = hits / 200
    assert (rates["same"] < 0.1).all() and rates["same"][0] > 0.01  # 0.05 within 3 standard errors
    assert (rates["worse"] > 0.6).all()
