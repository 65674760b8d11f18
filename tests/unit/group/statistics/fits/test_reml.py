"""Restricted maximum likelihood: what lme4 prints of its examples, closed forms of balanced designs, the likelihood
written out with dense matrices, statsmodels' MixedLM, and fits at the boundary.
"""

from __future__ import annotations

import math
import time
import warnings

import numpy as np
import pytest

from thalbids.group.statistics.fits import reml
from thalbids.group.statistics.fits.reml import Maximum, maximise

# lme4's examples: yield of dyestuff of six batches (Davies 1947), a simulation where batches do not differ (Box and
# Tiao 1973), and reaction times of 18 people on ten days without sleep (Belenky et al. 2003), day by day.
DYESTUFF = """
1545 1440 1440 1520 1580
1540 1555 1490 1560 1495
1595 1550 1605 1510 1560
1445 1440 1595 1465 1545
1595 1630 1515 1635 1625
1520 1455 1450 1480 1445
"""
DYESTUFF2 = """
7.298 3.846 2.434 9.566 7.990
5.220 6.556 0.608 11.788 -0.892
0.110 10.386 13.434 5.510 8.166
2.212 4.852 7.092 9.288 4.980
0.282 9.014 4.458 9.446 7.198
1.722 4.782 8.106 0.758 3.758
"""
SLEEPSTUDY = """
249.5600 258.7047 250.8006 321.4398 356.8519 414.6901 382.2038 290.1486 430.5853 466.3535
222.7339 205.2658 202.9778 204.7070 207.7161 215.9618 213.6303 217.7272 224.2957 237.3142
199.0539 194.3322 234.3200 232.8416 229.3074 220.4579 235.4208 255.7511 261.0125 247.5153
321.5426 300.4002 283.8565 285.1330 285.7973 297.5855 280.2396 318.2613 305.3495 354.0487
287.6079 285.0000 301.8206 320.1153 316.2773 293.3187 290.0750 334.8177 293.7469 371.5811
234.8606 242.8118 272.9613 309.7688 317.4629 309.9976 454.1619 346.8311 330.3003 253.8644
283.8424 289.5550 276.7693 299.8097 297.1710 338.1665 332.0265 348.8399 333.3600 362.0428
265.4731 276.2012 243.3647 254.6723 279.0244 284.1912 305.5248 331.5229 335.7469 377.2990
241.6083 273.9472 254.4907 270.8021 251.4519 254.6362 245.4523 235.3110 235.7541 237.2466
312.3666 313.8058 291.6112 346.1222 365.7324 391.8385 404.2601 416.6923 455.8643 458.9167
236.1032 230.3167 238.9256 254.9220 250.7103 269.7744 281.5648 308.1020 336.2806 351.6451
256.2968 243.4543 256.2046 255.5271 268.9165 329.7247 379.4445 362.9184 394.4872 389.0527
250.5265 300.0576 269.8939 280.5891 271.8274 304.6336 287.7466 266.5955 321.5418 347.5655
221.6771 298.1939 326.8785 346.8555 348.7402 352.8287 354.4266 360.4326 375.6406 388.5417
271.9235 268.4369 257.2424 277.6566 314.8222 317.2135 298.1353 348.1229 340.2800 366.5131
225.2640 234.5235 238.9008 240.4730 267.5373 344.1937 281.1481 347.5855 365.1630 372.2288
269.8804 272.4428 277.8989 281.7895 279.1705 284.5120 259.2658 304.6306 350.7807 369.4692
269.4117 273.4740 297.5968 310.6316 287.1726 329.6076 334.4818 343.2199 369.1417 364.1236
"""


def rows_of(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcome, time and person of a table with a row per person."""
    table = np.array([line.split() for line in text.split("\n") if line], dtype=float)
    return (
        table.ravel(),
        np.tile(np.arange(table.shape[1], dtype=float), len(table)),
        np.repeat(np.arange(len(table)), table.shape[1]),
    )


def fitted(*words: np.ndarray) -> Maximum:
    found = maximise(*words)
    assert isinstance(found, Maximum), found
    return found


def total(found: Maximum, X: np.ndarray) -> float:
    """The REML criterion as lme4 prints it."""
    df = X.shape[0] - X.shape[1]
    return found.criterion + df * (1 + math.log(2 * math.pi)) + float(np.linalg.slogdet(X.T @ X)[1])


def drawn(seed: int, slope_sd: float, people: int = 40, sd: float = 1.2) -> tuple[np.ndarray, ...]:
    """Outcome, fixed effects (time, age, 1), random effects (1, time) and person of an unbalanced design."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), rng.integers(1, 6, people))
    t = np.concatenate([np.cumsum(np.r_[0.0, rng.normal(1, 0.1, n - 1)]) for n in np.bincount(person)])
    age = rng.normal(0, 10, people)[person]
    y = (rng.normal(0, sd, people)[person] + (-0.1 + rng.normal(0, slope_sd, people)[person]) * t - 0.03 * age
         + rng.normal(0, 0.2, person.size))  # fmt: skip
    one = np.ones_like(t)
    return y, np.column_stack([t, age, one]), np.column_stack([one, t]), person


def dense(y: np.ndarray, X: np.ndarray, Z: np.ndarray, person: np.ndarray, G: np.ndarray) -> float:
    """The criterion from the matrices themselves, up to the constant of `maximise`."""
    V = np.eye(y.size) + (Z @ G @ Z.T) * (person[:, None] == person)
    W = np.linalg.inv(V)
    A = X.T @ W @ X
    b = np.linalg.solve(A, X.T @ W @ y)
    df = y.size - X.shape[1]
    parts = np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1] - np.linalg.slogdet(X.T @ X)[1]
    return df * math.log((y - X @ b) @ W @ (y - X @ b) / df) + float(parts)


def test_lme4_sleepstudy() -> None:
    """lmer(Reaction ~ Days + (Days | Subject)), as printed in Bates et al. 2015, J Stat Softw 67(1)."""
    y, t, person = rows_of(SLEEPSTUDY)
    X = np.column_stack([np.ones_like(t), t])
    found = fitted(y, X, X, person)
    assert found.rank == 2 and total(found, X) == pytest.approx(1743.628, abs=5e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(found.random)), [24.741, 5.922], atol=1e-3)  # lme4 stops at a tolerance
    assert found.random[0, 1] / math.sqrt(found.random[0, 0] * found.random[1, 1]) == pytest.approx(0.066, abs=5e-4)
    assert math.sqrt(found.variance) == pytest.approx(25.592, abs=5e-4)
    np.testing.assert_allclose(found.b, [251.405, 10.467], atol=5e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), [6.825, 1.546], atol=5e-4)


def test_lme4_dyestuff() -> None:
    """lmer(Yield ~ 1 + (1 | Batch)): an interior maximum, and one where the variance between batches is 0."""
    for text, rank, expected in (
        (DYESTUFF, 1, [319.654, 42.00, 49.51, 1527.50, 19.38]),
        (DYESTUFF2, 0, [161.828, 0.0, 3.716, 5.666, 0.678]),
    ):
        y, _, person = rows_of(text)
        X = np.ones((y.size, 1))
        found = fitted(y, X, X, person)
        numbers = [total(found, X), math.sqrt(found.random[0, 0]), math.sqrt(found.variance), found.b[0],
                   math.sqrt(found.covariance[0, 0])]  # fmt: skip
        np.testing.assert_allclose(numbers, expected, atol=6e-3)
        assert found.rank == rank


def test_one_way_analysis_of_variance() -> None:
    """(MS_between - MS_within) / k between people where that is positive; else 0, and one variance of everything."""
    ranks = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        people, k = int(rng.integers(5, 30)), int(rng.integers(2, 6))
        person = np.repeat(np.arange(people), k)
        y = 12 + rng.normal(0, 0.15, people)[person] + rng.normal(0, 0.3, person.size)
        table = y.reshape(people, k)
        within = float(table.var(axis=1, ddof=1).mean())
        between = k * float(table.mean(axis=1).var(ddof=1))
        found = fitted(y, np.ones((y.size, 1)), np.ones((y.size, 1)), person)
        ranks.add(found.rank)
        assert found.rank == (1 if between > within else 0)
        assert found.random[0, 0] == pytest.approx(max(0.0, (between - within) / k), rel=1e-9)
        assert found.variance == pytest.approx(within if between > within else y.var(ddof=1), rel=1e-9)
        assert found.b[0] == pytest.approx(y.mean(), rel=1e-12)
    assert ranks == {0, 1}


def test_balanced_slopes_are_those_of_the_lines_of_each_person() -> None:
    """Same times for everybody: the covariance of the people's own lines is random + s^2 (Z'Z)^-1."""
    seen = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        people, t = 25, np.arange(4.0)
        Z = np.column_stack([np.ones(4), t])
        lines = np.column_stack([rng.normal(12, 1.3, people), rng.normal(-0.1, 0.1, people)])
        table = lines @ Z.T + rng.normal(0, 0.1, (people, 4))
        own = np.linalg.lstsq(Z, table.T, rcond=None)[0]
        variance = float(((table.T - Z @ own) ** 2).sum()) / (people * 2)
        expected = np.cov(own) - variance * np.linalg.inv(Z.T @ Z)
        many = np.tile(Z, (people, 1))
        found = fitted(table.ravel(), many, many, np.repeat(np.arange(people), 4))
        inside = bool(np.linalg.eigvalsh(expected)[0] > 0)
        assert (found.rank == 2) == inside
        if inside:
            seen += 1
            np.testing.assert_allclose(found.random, expected, rtol=1e-8, atol=1e-12)
            assert found.variance == pytest.approx(variance, rel=1e-9)
            np.testing.assert_allclose(found.b, own.mean(axis=1), rtol=1e-9)
    assert seen > 10


@pytest.mark.parametrize("q", [1, 2])
def test_criterion_and_its_derivatives(q: int) -> None:
    y, X, Z, person = drawn(1, 0.1)
    Z = Z[:, :q]
    data = reml._Reduced(np.linalg.qr(X)[0], y, Z, person)
    for rank in range(1, q + 1):
        L = np.tril(np.random.default_rng(rank).normal(size=(q, rank)))
        where = reml._free(L)
        gradient, hessian = reml._chained(data.at(L), L)

        def moved(k: int, step: float, L: np.ndarray = L, where: tuple[np.ndarray, ...] = where) -> np.ndarray:
            new = L.copy()
            new[where[0][k], where[1][k]] += step
            return new

        step = 1e-5
        ends = [(moved(k, step), moved(k, -step)) for k in range(gradient.size)]
        slopes = [(dense(y, X, Z, person, a @ a.T) - dense(y, X, Z, person, b @ b.T)) / (2 * step) for a, b in ends]
        bends = [(reml._chained(data.at(a), a)[0] - reml._chained(data.at(b), b)[0]) / (2 * step) for a, b in ends]
        np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(hessian, bends, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("slope_sd", [0.0, 0.02, 0.1, 0.5])
def test_no_other_covariance_is_more_likely(slope_sd: float) -> None:
    """Against the likelihood of dense matrices: near the maximum, and at random ones of every size."""
    for seed in range(4):
        data = drawn(seed, slope_sd, people=25)
        found = fitted(*data)
        G = found.random / found.variance
        best = dense(*data, G)
        rng = np.random.default_rng(seed)
        size = np.sqrt(np.diag(G)) + 0.05
        for scale in (1e-4, 1e-2, 0.3, 3.0):
            for _ in range(15):
                A = np.linalg.cholesky(G + 1e-12 * np.eye(2)) + scale * size[:, None] * rng.normal(size=(2, 2))
                assert dense(*data, A @ A.T) >= best - 1e-9
        assert found.criterion == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize(("slope_sd", "q"), [(0.1, 1), (0.1, 2), (0.3, 2), (0.0, 2)])
def test_statsmodels_finds_nothing_better(slope_sd: float, q: int) -> None:
    """Its covariance is no more likely than ours, and where it reaches that likelihood its numbers are ours."""
    import statsmodels.api as sm

    reached = 0
    for seed in (2, 3):
        y, X, Z, person = drawn(seed, slope_sd, people=50)
        Z = Z[:, :q]
        found = fitted(y, X, Z, person)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other = sm.MixedLM(y, X, groups=person, exog_re=Z).fit(reml=True, method=["bfgs", "lbfgs", "cg"])
        more = dense(y, X, Z, person, np.asarray(other.cov_re) / other.scale) - found.criterion
        assert more > -1e-9
        if more < 1e-5:
            reached += 1
            np.testing.assert_allclose(other.fe_params, found.b, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(other.cov_re, found.random, rtol=2e-2, atol=1e-4)
            assert other.scale == pytest.approx(found.variance, rel=2e-3)
    assert reached or slope_sd == 0


def test_order_and_units_do_not_matter() -> None:
    """Rows in another order, days for years, microlitres for millilitres, another origin of the outcome."""
    for seed, slope_sd in enumerate([0.0, 0.02, 0.1, 0.1, 0.5]):
        y, X, Z, person = drawn(seed, slope_sd)
        found = fitted(y, X, Z, person)
        order = np.random.default_rng(seed).permutation(y.size)
        days = np.array([365.25, 1, 1])
        other = fitted(1000 * y[order] + 5e4, X[order] * days, Z[order] * days[[1, 0]], person[order])
        assert other.rank == found.rank
        back = np.outer(days[[1, 0]], days[[1, 0]]) / 1e6
        np.testing.assert_allclose(other.random * back, found.random, rtol=1e-6, atol=1e-10)
        np.testing.assert_allclose(other.b[:2] * days[:2] / 1000, found.b[:2], rtol=1e-8)
        np.testing.assert_allclose(np.diag(other.covariance) * days**2 / 1e6, np.diag(found.covariance), rtol=1e-8)


def test_differences_far_larger_than_the_noise() -> None:
    """Residuals of a hundred thousandth of what people differ by: digits of the residual variance are kept."""
    y, X, Z, person = drawn(2, 0.1)
    lines = y.copy()
    for one in np.unique(person):
        own = person == one
        lines[own] = np.polyval(np.polyfit(Z[own, 1], y[own], min(1, own.sum() - 1)), Z[own, 1])
    found = fitted(lines + 1e-5 * (y - lines), X, Z, person)
    left = sum(float(np.sum((y - lines)[person == one] ** 2)) for one in np.unique(person))
    df = int(np.maximum(np.bincount(person) - 2, 0).sum())
    assert found.variance == pytest.approx(1e-10 * left / df, rel=1e-3)


def test_what_has_no_maximum_says_so() -> None:
    y, X, Z, person = drawn(2, 0.1)
    lines = 12 + person + 0.1 * person * Z[:, 1]  # everybody on a line of their own
    for outcome in (lines, X @ [0.3, -0.1, 12.0]):
        assert maximise(outcome, X, Z, person) == "the model fits without error: there is no standard error"
    assert isinstance(maximise(y, X, Z[:, :1], np.arange(y.size)), str)  # nobody was there twice


def test_ten_thousand_sessions_take_less_than_a_second() -> None:
    """Processor time of both models of one method; the limit is for slow machines."""
    y, X, Z, person = drawn(0, 0.1, people=3400)
    assert y.size > 10000
    start = time.process_time()
    assert [fitted(y, X, Z[:, :q], person).rank for q in (1, 2)] == [1, 2]
    assert time.process_time() - start < 3
