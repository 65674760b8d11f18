"""Least squares: the normal equations and HC3 written out, closed forms, and every way a model cannot be fitted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from thalbids.group.statistics.fits import fit
from thalbids.group.statistics.testing.correction import adjust

# Anscombe 1973, first data set: intercept 3.0001 (SE 1.1247), slope 0.5001 (SE 0.1179), R2 0.6665
ANSCOMBE_X = np.array([10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5.0])
ANSCOMBE_Y = np.array([8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68])


def data(n: int = 60, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, age, sex = rng.normal(12, 2, n), rng.normal(44, 12, n), rng.integers(0, 2, n).astype(float)
    y = 3 - 0.3 * x + 0.05 * age + 0.4 * sex + rng.normal(0, 1, n) * (0.3 + 0.05 * np.abs(age - 44))
    return {"y": y, "x": x, "age": age, "sex": sex}


def by_hand(columns: dict[str, np.ndarray], robust: bool) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and standard errors by the normal equations and the sandwich, intercept last."""
    y = columns["y"]
    X = np.column_stack([columns["x"], columns["age"], columns["sex"], np.ones_like(y)])
    bread = np.linalg.inv(X.T @ X)
    b = bread @ X.T @ y
    e = y - X @ b
    if not robust:
        return b, np.sqrt(np.diag(bread) * (e @ e) / (len(y) - 4))
    h = np.array([row @ bread @ row for row in X])
    meat = sum((e[i] / (1 - h[i])) ** 2 * np.outer(X[i], X[i]) for i in range(len(y)))
    return b, np.sqrt(np.diag(bread @ meat @ bread))


def test_anscombe() -> None:
    found = fit.ols("y", ["x"], {"y": ANSCOMBE_Y, "x": ANSCOMBE_X}, "nonrobust")
    slope, intercept = found.terms
    assert (slope.estimate, slope.se) == pytest.approx((0.5001, 0.1179), abs=6e-5)
    assert (intercept.estimate, intercept.se) == pytest.approx((3.0001, 1.1247), abs=6e-5)
    assert found.r2 == pytest.approx(0.6665, abs=6e-5)
    assert slope.p == pytest.approx(0.00217, abs=6e-6)
    assert slope.beta_std == pytest.approx(math.sqrt(found.r2))  # one predictor: the correlation
    assert slope.partial_r2 == pytest.approx(found.r2)


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC3"])
def test_normal_equations_and_sandwich(cov_type: str) -> None:
    columns = data()
    found = fit.ols("y", ["x", "age", "sex"], columns, cov_type)
    b, se = by_hand(columns, cov_type == "HC3")
    np.testing.assert_allclose([term.estimate for term in found.terms], b, rtol=1e-9)
    np.testing.assert_allclose([term.se for term in found.terms], se, rtol=1e-9)
    law = stats.norm() if cov_type == "HC3" else stats.t(60 - 4)
    assert found.reference == ("z" if cov_type == "HC3" else "t")
    for term, estimate, error in zip(found.terms, b, se, strict=True):
        assert term.p == pytest.approx(2 * law.sf(abs(estimate / error)), rel=1e-7)
        assert term.ci_high - term.ci_low == pytest.approx(2 * law.ppf(0.975) * error, rel=1e-7)


def test_partial_r2_is_what_leaving_the_term_out_costs() -> None:
    columns = data()
    found = fit.ols("y", ["x", "age", "sex"], columns, "HC3")
    without = fit.ols("y", ["age", "sex"], columns, "nonrobust")
    assert found.terms[0].partial_r2 == pytest.approx((found.r2 - without.r2) / (1 - without.r2))
    assert found.terms[0].partial_r2 == fit.ols("y", ["x", "age", "sex"], columns, "nonrobust").terms[0].partial_r2


def test_standardised_coefficient_is_that_of_standardised_data() -> None:
    columns = data()
    standard = {name: (values - values.mean()) / values.std(ddof=1) for name, values in columns.items()}
    a, b = (fit.ols("y", ["x", "age", "sex"], c, "nonrobust") for c in (columns, standard))
    assert a.terms[0].beta_std == pytest.approx(b.terms[0].estimate)


def test_listwise_deletion_is_the_complete_rows() -> None:
    columns = data()
    whole = {name: values.copy() for name, values in columns.items()}
    whole["y"][:3], whole["x"][2:6], whole["sex"][10] = np.nan, np.nan, np.nan
    found = fit.ols("y", ["x", "age", "sex"], whole, "HC3")
    kept = [i for i in range(60) if i not in (0, 1, 2, 3, 4, 5, 10)]
    expected = fit.ols("y", ["x", "age", "sex"], {name: values[kept] for name, values in columns.items()}, "HC3")
    assert repr(found) == repr(expected) and found.n == 53  # as text: the intercept has NaN, which equals nothing


REASONS = {
    "constant predictor": ({"x": np.full(60, 12.1)}, "x does not vary"),
    "constant but for rounding": ({"x": np.where(np.arange(60) % 2, 0.1, np.nextafter(0.1, 1))}, "x does not vary"),
    "constant outcome": ({"y": np.full(60, 2.0)}, "y does not vary"),
    "all missing": ({"x": np.full(60, np.nan)}, "x is missing for everybody"),
    "never together": (
        {
            "x": np.where(np.arange(60) % 2, 1.0 + np.arange(60), np.nan),
            "age": np.where(np.arange(60) % 2, np.nan, 3.0),
        },
        "nobody has every value",
    ),
    "collinear": ({"age": 2 * data()["x"] + 1}, "age is a combination of x"),
    "combination of two": ({"sex": data()["x"] - 3 * data()["age"]}, "sex is a combination of x, age"),
    "too few": ({"y": np.where(np.arange(60) < 4, data()["y"], np.nan)}, "too few rows: 4, for 4 coefficients"),
    "leverage 1": ({"sex": (np.arange(60) == 7).astype(float)}, "one person alone determines sex"),
    "no error": ({"y": 1 + 2 * data()["x"] - data()["age"]}, "without error"),
}


@pytest.mark.parametrize("case", REASONS)
def test_a_reason_in_place_of_rounding_noise(case: str) -> None:
    change, word = REASONS[case]
    found = fit.ols("y", ["x", "age", "sex"], data() | change, "HC3")
    assert word in found.reason
    assert [term.name for term in found.terms] == ["x", "age", "sex", "intercept"]
    assert all(math.isnan(v) for term in found.terms for v in (term.estimate, term.se, term.p, term.partial_r2))
    assert math.isnan(found.r2)


def test_leverage_one_is_no_obstacle_for_the_classical_covariance() -> None:
    columns = data() | {"sex": (np.arange(60) == 7).astype(float)}
    found = fit.ols("y", ["x", "age", "sex"], columns, "nonrobust")
    rest = np.arange(60) != 7
    without = fit.ols("y", ["x", "age"], {name: values[rest] for name, values in columns.items()}, "nonrobust")
    assert found.reason == ""
    assert found.terms[0].estimate == pytest.approx(without.terms[0].estimate)


def test_an_intercept_is_added_beside_a_predictor_that_is_almost_constant() -> None:
    """``add_constant`` leaves it out when a column looks constant; here it is always there."""
    columns = data() | {"x": 5 + 1e-6 * np.random.default_rng(1).normal(size=60)}
    found = fit.ols("y", ["x"], columns, "nonrobust")
    slope, intercept = np.polyfit(columns["x"] - 5, columns["y"], 1)
    assert found.terms[0].estimate == pytest.approx(slope, rel=1e-4)
    assert found.terms[1].estimate == pytest.approx(intercept - 5 * slope, rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 1000), st.floats(-500, 500), st.sampled_from(["nonrobust", "HC3"]))
def test_units_do_not_matter(seed: int, factor: float, shift: float, cov_type: str) -> None:
    columns = data(30, seed)
    if np.unique(columns["sex"]).size < 2 or min(columns["sex"].sum(), 30 - columns["sex"].sum()) < 2:
        return
    a = fit.ols("y", ["x", "age", "sex"], columns, cov_type)
    b = fit.ols("y", ["x", "age", "sex"], columns | {"x": factor * columns["x"] + shift}, cov_type)
    assert b.terms[0].estimate * factor == pytest.approx(a.terms[0].estimate, rel=1e-6, abs=1e-9)
    assert b.terms[0].p == pytest.approx(a.terms[0].p, rel=1e-5, abs=1e-12)
    assert b.r2 == pytest.approx(a.r2)
    assert a.terms[0].ci_low <= a.terms[0].estimate <= a.terms[0].ci_high
    assert 0 <= a.terms[0].partial_r2 <= 1


def test_z_score() -> None:
    np.testing.assert_allclose(fit.z_score(np.array([1.0, 2, 3, np.nan])), [-1, 0, 1, np.nan])
    assert np.isnan(fit.z_score(np.array([5.0, 5, 5]))).all()
    assert np.isnan(fit.z_score(np.array([np.nan, 5.0]))).all()


def test_families() -> None:
    rows = [
        {"p": p, "outcome": o, "term": t}
        for p, o, t in [(0.01, "a", "v"), (0.02, "b", "v"), (0.03, "a", "v"), (1e-9, "a", "age")]
    ]
    adjust(rows, {"all": (), "own": ("outcome",)}, {"term": "v"})
    np.testing.assert_allclose([row["all"] for row in rows[:3]], [0.03, 0.03, 0.03])
    np.testing.assert_allclose([row["own"] for row in rows[:3]], [0.02, 0.02, 0.03])
    assert "all" not in rows[3]


def test_the_cells_of_a_term_are_its_numbers_under_the_names_of_the_tables() -> None:
    term = fit.Term("age", 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, partial_r2=7.0)
    assert term.cells() == {
        "term": "age", "estimate": 1.0, "se": 2.0, "ci_low": 3.0, "ci_high": 4.0, "statistic": 5.0, "p": 6.0,
    }  # fmt: skip
