"""Courses of EDSS by hand, and the logistic model against the 2 x 2 table, statsmodels and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from thalbids.group.statistics.fits import progression
from thalbids.group.statistics.fits.progression import course

NAN = math.nan


@pytest.mark.parametrize(
    ("start", "edss", "years", "progressed", "confirmed"),
    [
        (0.0, [1.0], [1], 0, NAN),  # one point is not enough from 0
        (0.0, [1.5], [1], 1, NAN),  # nothing can confirm it
        (2.0, [3.0, 3.0], [1, 2], 1, 1),
        (2.0, [3.0, 2.5], [1, 2], 1, 0),  # gone at the next visit
        (2.0, [2.0, 3.0], [1, 2], 1, NAN),  # at the last visit
        (2.0, [3.0, 2.0, 3.0], [1, 2, 3], 1, NAN),  # the first is refuted, the last open
        (2.0, [3.0, 2.0, 3.5, 3.0], [1, 2, 3, 4], 1, 1),
        (5.5, [6.0, 6.0], [1, 2], 0, 0),
        (6.0, [6.5, 6.5], [1, 2], 1, 1),
        (2.0, [3.0, 3.0], [1, 1.1], 1, NAN),  # five weeks later is too early
        (2.0, [3.0, 2.5, 3.0], [1, 1.1, 2], 1, NAN),  # and lower in between: not confirmed by the third
        (2.0, [3.0, 3.0], [NAN, NAN], 1, 1),  # no dates: the next visit
        (2.0, [], [], NAN, NAN),
        (NAN, [3.0, 3.0], [1, 2], NAN, NAN),
    ],
)
def test_courses(start: float, edss: list[float], years: list[float], progressed: float, confirmed: float) -> None:
    found = course(start, np.array(edss, dtype=float), np.array(years, dtype=float))
    np.testing.assert_equal([found.progression, found.confirmed], [progressed, confirmed])


def test_where_it_was() -> None:
    found = course(2.0, np.array([2.0, 3.0, 3.5, 3.0]), np.array([0.5, 1.0, 1.3, 1.6]))
    assert (found.first, found.confirmation) == (1, 3)  # 24 weeks after the second visit


def test_log_odds_ratio_of_a_table() -> None:
    """One binary predictor: log (a d / b c), and the variance 1/a + 1/b + 1/c + 1/d."""
    a, b, c, d = 12, 30, 5, 40
    x = np.repeat([1.0, 1, 0, 0], [a, b, c, d])
    y = np.repeat([1.0, 0, 1, 0], [a, b, c, d])
    row = progression.logit("y", ("x",), {"y": y, "x": x})[0]
    assert row["estimate"] == pytest.approx(math.log(a * d / (b * c)))
    assert row["se"] == pytest.approx(math.sqrt(1 / a + 1 / b + 1 / c + 1 / d))
    assert (row["n"], row["n_progressed"]) == (87, 17)


def test_units_and_intercept_against_statsmodels() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(1)
    x, z = rng.normal(12, 1.5, 80), rng.normal(44, 9, 80)
    y = (rng.uniform(size=80) < 1 / (1 + np.exp(0.6 * (x - 12)))).astype(float)
    rows = progression.logit("y", ("x", "z"), {"y": y, "x": x, "z": z})
    expected = sm.Logit(y, np.column_stack([x, z, np.ones(80)])).fit(disp=0, tol=1e-12)
    np.testing.assert_allclose([row["estimate"] for row in rows], expected.params, rtol=1e-6)
    np.testing.assert_allclose([row["se"] for row in rows], expected.bse, rtol=1e-6)


def test_reasons() -> None:
    x = np.arange(20.0)
    assert progression.logit("y", ("x",), {"y": np.zeros(20), "x": x})[0]["reason"] == "nobody progressed"
    assert "separates" in progression.logit("y", ("x",), {"y": (x > 9).astype(float), "x": x})[0]["reason"]
    assert "for everybody" in progression.logit("y", ("x",), {"y": x * np.nan, "x": x})[0]["reason"]


@pytest.mark.slow
def test_level() -> None:
    rng = np.random.default_rng(3)
    p = []
    for _ in range(300):
        columns = {"y": (rng.uniform(size=80) < 0.3).astype(float), "x": rng.normal(size=80)}
        p.append(progression.logit("y", ("x",), columns)[0]["p"])
    assert stats.binomtest(int(np.sum(np.array(p) < 0.05)), 300, 0.05).pvalue > 0.001
