"""Influence of single rows, against statsmodels and against leaving each of them out."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.group.statistics.fits.influence import influence, robust_z


def drawn(n: int = 25) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    X = np.column_stack([rng.normal(12, 2, n), rng.normal(45, 10, n), np.ones(n)])
    y = 3 - 0.2 * X[:, 0] + rng.normal(0, 1, n)
    X[4, 0] = 48.0
    return X, y


def test_against_statsmodels() -> None:
    import statsmodels.api as sm

    X, y = drawn()
    expected = sm.OLS(y, X).fit().get_influence()
    found = influence(X, y)
    np.testing.assert_allclose(found.leverage, expected.hat_matrix_diag)
    np.testing.assert_allclose(found.cook, expected.cooks_distance[0])
    np.testing.assert_allclose(found.dfbetas, expected.dfbetas[:, 0], rtol=1e-7)
    np.testing.assert_allclose(found.studentised, expected.resid_studentized_external)


def test_cook_is_the_move_of_the_fitted_values() -> None:
    X, y = drawn()
    fitted = X @ np.linalg.lstsq(X, y, rcond=None)[0]
    s2 = np.sum((y - fitted) ** 2) / (25 - 3)
    for i in (0, 4, 11):
        rest = np.arange(25) != i
        moved = X @ np.linalg.lstsq(X[rest], y[rest], rcond=None)[0]
        assert influence(X, y).cook[i] == pytest.approx(np.sum((fitted - moved) ** 2) / (3 * s2))


def test_somebody_alone() -> None:
    X, y = drawn()
    X = np.column_stack([X, np.arange(25) == 7])
    found = influence(X, y)
    assert found.leverage[7] == pytest.approx(1) and np.isnan(found.cook[7]) and np.isfinite(found.cook[6])


def test_robust_z() -> None:
    rng = np.random.default_rng(0)
    z = robust_z(rng.normal(5, 3, 200_000))
    assert z.std() == pytest.approx(1, abs=0.01)  # the constant makes it a standard deviation
    assert robust_z(np.array([-0.6744897501960817, 0, 0.6744897501960817]))[0] == pytest.approx(-0.67449, abs=1e-4)
    assert np.isnan(robust_z(np.array([0.0, 0, 0, 1]))).all()
    np.testing.assert_array_equal(np.isnan(robust_z(np.array([1.0, np.nan, 2, 4]))), [False, True, False, False])
    assert np.isnan(robust_z(np.full(3, np.nan))).all()
