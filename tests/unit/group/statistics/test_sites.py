"""Random intercepts of sites: against statsmodels, dense matrices, and sites that do not differ."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from thalbids.group.statistics.fits.reml import maximise


def visits(seed: int, people: int = 40, sites: int = 5, between: float = 1.5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), 3)
    site = person % sites
    years = np.tile([0.0, 1.0, 2.0], people) + rng.uniform(0, 0.2, 3 * people)
    age = np.repeat(rng.normal(40, 9, people), 3)
    y = 12 - 0.1 * years - 0.02 * (age - 40) + between * rng.normal(size=sites)[site]
    y += 0.9 * rng.normal(size=people)[person] + 0.2 * rng.normal(size=y.size)
    return {"y": y, "years": years, "age": age, "person": person, "site": site}


def criterion(d: dict[str, np.ndarray], X: np.ndarray, sd: np.ndarray) -> float:
    """Minus twice the restricted log-likelihood by the dense covariance, without constants."""
    same_person = (d["person"][:, None] == d["person"]).astype(float)
    same_site = (d["site"][:, None] == d["site"]).astype(float)
    V = sd[0] ** 2 * same_person + sd[1] ** 2 * same_site + sd[2] ** 2 * np.eye(d["y"].size)
    W = np.linalg.inv(V)
    XtWX = X.T @ W @ X
    b = np.linalg.solve(XtWX, X.T @ W @ d["y"])
    e = d["y"] - X @ b
    return float(np.linalg.slogdet(V)[1] + np.linalg.slogdet(XtWX)[1] + e @ W @ e)


def test_the_maximum_is_that_of_dense_matrices() -> None:
    d = visits(1, people=24)
    X = np.column_stack([d["years"], d["age"] - 40, np.ones(d["y"].size)])
    found = maximise(d["y"], X, np.ones((d["y"].size, 1)), d["person"], d["site"])
    assert not isinstance(found, str)
    own = np.sqrt([found.random[0, 0], found.site_variance, found.variance])
    best = optimize.minimize(lambda log: criterion(d, X, np.exp(log)), np.log(own), method="Nelder-Mead",
                             options={"xatol": 1e-6, "fatol": 1e-9})  # fmt: skip
    np.testing.assert_allclose(np.exp(best.x), own, rtol=1e-3)
    assert criterion(d, X, own) <= best.fun + 1e-7
    same_person = (d["person"][:, None] == d["person"]).astype(float)
    same_site = (d["site"][:, None] == d["site"]).astype(float)
    W = np.linalg.inv(own[0] ** 2 * same_person + own[1] ** 2 * same_site + own[2] ** 2 * np.eye(d["y"].size))
    covariance = np.linalg.inv(X.T @ W @ X)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-7)
    np.testing.assert_allclose(found.b, covariance @ X.T @ W @ d["y"], rtol=1e-7)


def test_it_is_that_of_statsmodels() -> None:
    from statsmodels.regression.mixed_linear_model import MixedLM

    d = visits(2, people=20, sites=4)
    frame = pd.DataFrame(d)
    model = MixedLM.from_formula(
        "y ~ years + age", frame, groups="site", re_formula="1", vc_formula={"person": "0 + C(person)"}
    )
    expected = model.fit(method=["lbfgs"])
    X = np.column_stack([d["years"], d["age"], np.ones(d["y"].size)])
    found = maximise(d["y"], X, np.ones((d["y"].size, 1)), d["person"], d["site"])
    assert not isinstance(found, str)
    names = ["years", "age", "Intercept"]
    np.testing.assert_allclose(found.b, expected.fe_params[names], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), expected.bse_fe[names], rtol=1e-3)
    assert found.site_variance == pytest.approx(float(expected.cov_re.iloc[0, 0]), rel=2e-3)
    assert found.random[0, 0] == pytest.approx(float(expected.vcomp[0]), rel=2e-3)


def test_sites_that_do_not_differ_have_a_variance_of_zero() -> None:
    d = visits(3, between=0.0)
    X = np.column_stack([d["years"], d["age"], np.ones(d["y"].size)])
    Z = np.ones((d["y"].size, 1))
    zero = 0
    for seed in range(6):
        d = visits(seed, between=0.0)
        X = np.column_stack([d["years"], d["age"], np.ones(d["y"].size)])
        found, without = maximise(d["y"], X, Z, d["person"], d["site"]), maximise(d["y"], X, Z, d["person"])
        assert not isinstance(found, str) and not isinstance(without, str)
        assert found.criterion <= without.criterion + 1e-7
        if found.site_variance == 0:
            zero += 1
            np.testing.assert_allclose(found.b, without.b)
    assert zero >= 1
