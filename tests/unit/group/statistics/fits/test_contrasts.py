"""Analysis of covariance against statsmodels, the t test of two groups, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from thalbids.group.statistics.fits import contrasts


def drawn(n: int, seed: int, shift: float = -1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = rng.choice(["HC", "PMS", "RRMS"], n)
    age, sex = rng.normal(45, 10, n), (rng.uniform(size=n) < 0.5).astype(float)
    y = 14 - 0.05 * age + 0.8 * sex + shift * (group != "HC") + rng.normal(0, 0.9, n)
    return y, group, age, sex


def test_against_statsmodels() -> None:
    import pandas as pd
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    y, group, age, sex = drawn(60, 1)
    found = contrasts.ancova(y, group, [age, sex], contrasts.pairs_of(["HC", "PMS", "RRMS"], "HC", True))
    data = pd.DataFrame({"y": y, "g": group, "age": age, "sex": sex})
    model = smf.ols("y ~ C(g, Treatment('HC')) + age + sex", data).fit()
    term = "C(g, Treatment('HC'))[T.PMS]"
    robust = model.get_robustcov_results("HC3", use_t=False)
    pms, _, between = found.contrasts
    assert pms.difference == pytest.approx(model.params[term])
    assert (pms.se, pms.p) == pytest.approx((model.bse[term], model.pvalues[term]))
    assert (pms.ci_low, pms.ci_high) == pytest.approx(tuple(model.conf_int().loc[term]))
    assert pms.p_hc3 == pytest.approx(robust.pvalues[list(model.params.index).index(term)])
    assert pms.d == pytest.approx(model.params[term] / math.sqrt(model.scale))
    other = smf.ols("y ~ C(g, Treatment('PMS')) + age + sex", data).fit()
    assert between.difference == pytest.approx(other.params["C(g, Treatment('PMS'))[T.RRMS]"])
    table = anova_lm(model, typ=2).loc["C(g, Treatment('HC'))"]
    assert (found.f, found.p, found.df1, found.df) == pytest.approx((table["F"], table["PR(>F)"], 2, 55))
    slopes = smf.ols("y ~ C(g) * (age + sex)", data).fit()
    assert found.p_slopes == pytest.approx(slopes.compare_f_test(model)[1])
    at = pd.DataFrame({"g": ["HC"], "age": [age.mean()], "sex": [sex.mean()]})
    assert found.means[0] == pytest.approx(float(model.predict(at).iloc[0]))


def test_two_groups_without_covariates_are_the_t_test() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 14), rng.normal(1, 1, 9)
    group = np.array(["HC"] * 14 + ["MS"] * 9)
    found = contrasts.ancova(np.r_[a, b], group, [], [("MS", "HC")]).contrasts[0]
    expected = stats.ttest_ind(b, a)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    pooled = math.sqrt((13 * a.var(ddof=1) + 8 * b.var(ddof=1)) / 21)
    assert found.d == pytest.approx((b.mean() - a.mean()) / pooled)
    for bound, tail in ((found.d_ci_low, 0.975), (found.d_ci_high, 0.025)):
        assert stats.nct.cdf(found.statistic, 21, bound / math.sqrt(1 / 14 + 1 / 9)) == pytest.approx(tail)


def test_level_and_coverage() -> None:
    """5 % of the differences that are none are called one; 95 % of the intervals of d hold it."""
    below = inside = 0
    for seed in range(250):
        y, group, age, sex = drawn(30, seed, shift=0.0)
        found = contrasts.ancova(y, group, [age, sex], [("RRMS", "HC")]).contrasts[0]
        below += found.p < 0.05
        y, group, age, sex = drawn(30, seed + 1000, shift=-0.9)
        found = contrasts.ancova(y, group, [age, sex], [("RRMS", "HC")]).contrasts[0]
        inside += found.d_ci_low < -1.0 < found.d_ci_high
    assert stats.binomtest(below, 250, 0.05).pvalue > 0.001
    assert stats.binomtest(inside, 250, 0.95).pvalue > 0.001


def test_what_cannot_be_fitted_is_said() -> None:
    y, group, age, sex = drawn(20, 5)
    assert contrasts.unfit(y, np.full(20, "HC"), ["age"], [age]) == "fewer than two groups"
    assert "combination" in contrasts.unfit(y, group, ["age", "months"], [age, 12 * age])
    assert contrasts.unfit(y, group, ["sex"], [np.ones(20)]) == "sex does not vary"
    assert contrasts.unfit(y, group, ["age", "sex"], [age, sex]) == ""
