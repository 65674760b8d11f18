"""Ordinal logit: against a Newton solver written out here, the closed form of a 2 x 3 table, and separation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, special, stats

from tests.people import make_cohort, two_visits
from thalbids.group.analyses.clinical import ordinal as ordinal_analysis
from thalbids.group.statistics.fits import ordinal


def simulated(n: int = 400, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(-0.1, 0.4, n), rng.normal(45, 11, n)])
    latent = 1.2 * X[:, 0] + 0.03 * X[:, 1] + rng.logistic(size=n)
    return X, np.digitize(latent, [0.5, 2.5])


def log_likelihood(params: np.ndarray, X: np.ndarray, y: np.ndarray) -> float:
    b, cuts = params[: X.shape[1]], np.r_[-np.inf, params[X.shape[1] :], np.inf]
    eta = X @ b
    p = special.expit(cuts[y + 1] - eta) - special.expit(cuts[y] - eta)
    return float(np.log(np.maximum(p, 1e-300)).sum())


def test_proportional_odds_of_a_table() -> None:
    """One binary predictor: Brant's test is a Wald test of two log odds ratios, whose variances are known."""
    counts = np.array([[12, 30, 18], [25, 20, 5]])  # rows: x = 0, 1; columns: categories
    x = np.repeat([0.0, 0, 0, 1, 1, 1], counts.ravel())
    y = np.repeat([0, 1, 2, 0, 1, 2], counts.ravel())
    above1, above2 = counts[:, 1:].sum(axis=1) / counts.sum(axis=1), counts[:, 2] / counts.sum(axis=1)
    n = counts.sum(axis=1)
    slopes = [np.log(a[1] / (1 - a[1])) - np.log(a[0] / (1 - a[0])) for a in (above1, above2)]
    variances = [np.sum(1 / (n * a * (1 - a))) for a in (above1, above2)]
    covariance = np.sum(1 / (n * above1 * (1 - above2)))  # of two logits of one multinomial
    expected = (slopes[0] - slopes[1]) ** 2 / (variances[0] + variances[1] - 2 * covariance)
    chi2, df, p = ordinal.brant(x[:, None], y)
    assert (chi2, df) == (pytest.approx(expected), 1)
    assert p == pytest.approx(math.erfc(math.sqrt(expected / 2)))


@pytest.mark.slow
def test_proportional_odds_have_their_level_and_are_found_when_broken() -> None:
    from scipy import stats

    rng = np.random.default_rng(4)
    none, broken = [], []
    for _ in range(300):
        x, noise = rng.normal(size=(200, 2)), rng.logistic(size=200)
        none.append(ordinal.brant(x, np.digitize(x[:, 0] + noise, [-1, 1]))[2])
        spread = noise * np.exp(0.6 * x[:, 0])  # slopes at the two cuts have other signs
        broken.append(ordinal.brant(x, np.digitize(spread, [-1, 1]))[2])
    assert stats.binomtest(int(np.sum(np.array(none) < 0.05)), 300, 0.05).pvalue > 0.001
    assert np.mean(np.array(broken) < 0.05) > 0.8


def test_against_another_optimiser_and_the_observed_information() -> None:
    X, y = simulated()
    scale = np.array([1, 10.0])  # so that finite differences are of one size
    found, reason = ordinal._fit(["a", "b"], {"a": X[:, 0], "b": X[:, 1]}, y, ["c1", "c2"])
    assert reason == ""
    best = optimize.minimize(lambda p: -log_likelihood(p, X / scale, y), [0, 0, 0.5, 2.5], method="Nelder-Mead",
                             options={"xatol": 1e-9, "fatol": 1e-11, "maxiter": 20000, "maxfev": 20000})  # fmt: skip
    expected = best.x / np.r_[scale, 1, 1]
    np.testing.assert_allclose([found[name][0] for name in ("a", "b", "c1", "c2")], expected, rtol=1e-4)
    step = 1e-4
    H = np.empty((4, 4))
    e = np.eye(4) * step
    for i in range(4):
        for j in range(4):
            f = [
                log_likelihood(best.x + s * e[i] + t * e[j], X / scale, y)
                for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1))
            ]
            H[i, j] = (f[0] - f[1] - f[2] + f[3]) / (4 * step**2)
    se = np.sqrt(np.diag(np.linalg.inv(-H))) / np.r_[scale, 1, 1]
    np.testing.assert_allclose([found[name][1] for name in ("a", "b", "c1", "c2")], se, rtol=1e-3)
    estimate, error, low, high, z, p = found["a"]
    assert (low, high) == pytest.approx((estimate - 1.959964 * error, estimate + 1.959964 * error))
    assert p == pytest.approx(2 * stats.norm.sf(abs(z)))


def test_likelihood_and_its_derivatives() -> None:
    X, y = simulated(120)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    params, step = np.array([0.4, 0.2, -0.5, 1.0]), 1e-5
    value, gradient, information = ordinal.likelihood(params, X, y)
    assert value == pytest.approx(log_likelihood(params, X, y), rel=1e-12)
    ends = [(params + step * e, params - step * e) for e in np.eye(4)]
    slopes = [(log_likelihood(a, X, y) - log_likelihood(b, X, y)) / (2 * step) for a, b in ends]
    bends = [(ordinal.likelihood(a, X, y)[1] - ordinal.likelihood(b, X, y)[1]) / (2 * step) for a, b in ends]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(-information, bends, rtol=1e-6, atol=1e-6)


def test_maximum_does_not_depend_on_the_start() -> None:
    X, y = simulated()
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    starts = ([0, 0, -1, 1], [3, -3, -0.1, 0.1], [0.5, 0.3, -6, 9])
    found = [ordinal.maximum(np.array(start, dtype=float), X, y) for start in starts]
    for params, covariance in found:
        np.testing.assert_allclose(params, found[0][0], rtol=1e-10)
        np.testing.assert_allclose(covariance, found[0][1], rtol=1e-8)
    assert np.abs(ordinal.likelihood(found[0][0], X, y)[1]).max() < 1e-10
    complete = (X[:, 0] > 0).astype(int)
    assert np.isnan(ordinal.maximum(np.zeros(3), X, complete)[1]).all()  # no maximum


def test_binary_predictor_and_two_categories_is_the_log_odds_ratio() -> None:
    """A 2 x 2 table a, b, c, d: log(ad / bc) with variance 1/a + 1/b + 1/c + 1/d."""
    x = np.repeat([0.0, 0, 1, 1], [30, 10, 15, 25])
    y = np.repeat([0, 1, 0, 1], [30, 10, 15, 25])
    found, reason = ordinal._fit(["x"], {"x": x}, y, ["c"])
    assert reason == ""
    assert found["x"][0] == pytest.approx(math.log(30 * 25 / (10 * 15)), rel=1e-9)
    assert found["x"][1] == pytest.approx(math.sqrt(1 / 30 + 1 / 10 + 1 / 15 + 1 / 25), rel=1e-9)
    assert found["c"][0] == pytest.approx(math.log(30 / 10), rel=1e-9)


def test_separation() -> None:
    x = np.arange(12.0)
    rng = np.random.default_rng(0)
    other = rng.normal(size=12)
    complete, overlap = (x > 3).astype(int) + (x > 7), np.array([0, 0, 1, 0, 1, 1, 2, 1, 1, 2, 1, 2])
    assert ordinal.separated(np.column_stack([x, other]), complete)
    assert not ordinal.separated(np.column_stack([x, other]), overlap)
    treated = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1.0])
    quasi = np.array([0, 1, 2, 0, 1, 2, 1, 0, 1, 2, 2, 2])  # all treated are in the worst category
    assert ordinal.separated(treated[:, None], quasi)
    assert not ordinal.separated(treated[:, None], np.array([0, 1, 2, 0, 1, 2, 1, 0, 1, 2, 1, 2]))
    made, reason = ordinal._fit(["x", "other"], {"x": x, "other": other}, complete, ["c1", "c2"])
    assert made == {} and "infinite" in reason


@pytest.mark.parametrize(("least", "expected"), [(0.0, [-1, -1, 0, 1, 1]), (1.0, [-1, 0, 0, 0, 1])])
def test_categories(least: float, expected: list[int]) -> None:
    assert ordinal.categories(np.array([-1.0, -0.5, 0.0, 0.5, 1.5]), least).tolist() == expected


def frame(visits: list, volumes: list) -> list[dict]:
    return ordinal_analysis.tables(make_cohort(visits, volumes))[0].frame.to_dict("records")


def test_table_counts_families_and_direction() -> None:
    visits, volumes = two_visits(90, seed=4)
    rows = frame(visits, volumes)
    edss = {(v["participant_id"], v["order"]): v["edss"] for v in visits}
    d = np.array([edss[person, 1] - edss[person, 0] for person, order in edss if order == 0])
    for threshold, least in (("any", 0.5), ("ge1", 1.0)):
        own = [
            r for r in rows if r["threshold"] == threshold and r["subset"] == "all" and r["term"] == "delta_volume_ml"
        ]
        assert {(r["n_improved"], r["n_stable"], r["n_worse"]) for r in own} == {
            (int((d <= -least).sum()), int((np.abs(d) < least).sum()), int((d >= least).sum()))
        }
        np.testing.assert_allclose([r["p_fdr"] for r in own], stats.false_discovery_control([r["p"] for r in own]))
        assert all(r["odds_ratio"] == pytest.approx(math.exp(r["estimate"])) for r in own)


def test_one_category_and_too_few() -> None:
    visits, volumes = two_visits(40)
    flat = [v | {"edss": 2.0} for v in visits]
    assert {row["reason"] for row in frame(flat, volumes)} == {"everybody is stable"}
    visits, volumes = two_visits(7)
    assert all("too few" in row["reason"] for row in frame(visits, volumes) if row["subset"] == "all")
    nobody = frame([v | {"edss": math.nan} for v in visits], volumes)
    assert nobody and all("missing for everybody" in row["reason"] or row["reason"] for row in nobody)


@pytest.mark.parametrize("categories", [2, 3])
def test_separation_of_many_is_that_of_the_linear_program_of_all(categories: int) -> None:
    """Overlap among some is overlap among all; one row that overlaps at the far end must still be found."""
    rng = np.random.default_rng(categories)
    X = rng.normal(size=(2000, 3))
    score = X @ np.array([1.0, -0.5, 0.2])
    y = np.digitize(score, np.quantile(score, np.linspace(0, 1, categories + 1)[1:-1]))
    assert ordinal.separated(X, y)
    noisy = np.digitize(score + rng.normal(size=2000), np.quantile(score, np.linspace(0, 1, categories + 1)[1:-1]))
    assert not ordinal.separated(X, noisy)
    for row in (int(np.argmax(score)), int(np.argmin(score))):
        one = y.copy()
        one[row] = categories - 1 - one[row]
        assert ordinal.separated(X, one) == ordinal._separated(X, one)
