"""Mixed model: against statsmodels' MixedLM, the closed form of a balanced design, and singular and impossible fits."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from thalbids.group.statistics.fits.mixed import reml


def simulated(people: int, slope_sd: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), rng.integers(1, 6, people))
    first = np.r_[True, person[1:] != person[:-1]]
    start = np.maximum.accumulate(np.where(first, np.arange(person.size), 0))
    t = (np.arange(person.size) - start) + np.where(first, 0, rng.normal(0, 0.1, person.size))
    age = rng.normal(0, 10, people)[person]
    y = (rng.normal(0, 1.2, people)[person] + (-0.1 + rng.normal(0, slope_sd, people)[person]) * t - 0.03 * age
         + rng.normal(0, 0.2, person.size))  # fmt: skip
    return y, np.column_stack([t, age, np.ones_like(t)]), person


@pytest.mark.parametrize("q", [1, 2])
def test_against_statsmodels(q: int) -> None:
    import statsmodels.api as sm

    y, X, person = simulated(80, 0.15)
    Z = np.column_stack([np.ones_like(y), X[:, 0]])[:, :q]
    found = reml(y, X, Z, person, ["t", "age", "intercept"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = sm.MixedLM(y, X, groups=person, exog_re=Z).fit(reml=True, method=["bfgs", "lbfgs", "cg"])
    assert found.reason == "" and other.converged
    np.testing.assert_allclose([term.estimate for term in found.terms], other.fe_params, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose([term.se for term in found.terms], other.bse_fe, rtol=5e-3)
    V = np.zeros((y.size, y.size))
    for one in np.unique(person):
        own = np.flatnonzero(person == one)
        V[np.ix_(own, own)] = Z[own] @ found.covariance @ Z[own].T + found.residual_variance * np.eye(own.size)
    se = np.sqrt(np.diag(np.linalg.inv(X.T @ np.linalg.solve(V, X))))
    np.testing.assert_allclose([term.se for term in found.terms], se, rtol=1e-8)
    np.testing.assert_allclose(found.covariance, other.cov_re, rtol=2e-2, atol=1e-3)
    assert found.residual_variance == pytest.approx(other.scale, rel=2e-3)


def test_balanced_random_intercept_is_the_analysis_of_variance() -> None:
    """Same times for everybody: REML is MS_within for the residual, (MS_between - MS_within) / k between people, and
    the slope that of the differences within people, with SE sqrt(MS_within / sum of squares of time)."""
    rng = np.random.default_rng(3)
    people, k = 30, 4
    t = np.tile(np.arange(k, dtype=float), people)
    person = np.repeat(np.arange(people), k)
    y = rng.normal(0, 2, people)[person] - 0.2 * t + rng.normal(0, 0.5, t.size)
    found = reml(y, np.column_stack([t, np.ones_like(t)]), np.ones((t.size, 1)), person, ["t", "intercept"])
    table = y.reshape(people, k)
    within = table - table.mean(axis=1, keepdims=True)
    tc = np.arange(k) - (k - 1) / 2
    slope = float((within @ tc).sum() / (people * (tc @ tc)))
    ms_within = float(((within - slope * tc) ** 2).sum() / (people * (k - 1) - 1))
    ms_between = k * table.mean(axis=1).var(ddof=1)
    assert found.terms[0].estimate == pytest.approx(slope, rel=1e-7)
    assert found.terms[0].se == pytest.approx(math.sqrt(ms_within / (people * (tc @ tc))), rel=1e-4)
    assert found.residual_variance == pytest.approx(ms_within, rel=1e-4)
    assert found.covariance[0, 0] == pytest.approx((ms_between - ms_within) / k, rel=1e-4)


def test_order_of_rows_does_not_matter() -> None:
    y, X, person = simulated(40, 0.15)
    Z = np.column_stack([np.ones_like(y), X[:, 0]])
    order = np.random.default_rng(1).permutation(y.size)
    a, b = reml(y, X, Z, person, "abc"), reml(y[order], X[order], Z[order], person[order], "abc")
    np.testing.assert_allclose([t.estimate for t in a.terms], [t.estimate for t in b.terms], rtol=1e-4, atol=1e-6)


def test_no_differences_between_people_is_singular() -> None:
    rng = np.random.default_rng(6)
    person = np.repeat(np.arange(40), 3)
    t = np.tile([0.0, 1, 2], 40)
    y = -0.1 * t + rng.normal(0, 0.3, t.size)
    y -= np.repeat(y.reshape(40, 3).mean(axis=1), 3) * 0.9  # less between people than chance gives
    found = reml(y, np.column_stack([t, np.ones_like(t)]), np.ones((t.size, 1)), person, ["t", "intercept"])
    assert found.singular and "singular" in found.reason
    assert found.covariance[0, 0] == pytest.approx(0, abs=1e-6)
    assert found.terms[0].estimate == pytest.approx(np.polyfit(t, y, 1)[0], rel=1e-6)  # least squares
