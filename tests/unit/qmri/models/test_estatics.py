"""The common decay against noise-free signals, least squares by numpy, and repeated noise."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.qmri.models.estatics import fit_decay

TIMES = (np.arange(1, 7) * 0.00246, np.arange(1, 7) * 0.00246, np.arange(1, 5) * 0.003)
START = np.array([900.0, 500.0, 300.0])


def decayed(r2star: np.ndarray) -> list[np.ndarray]:
    return [s * np.exp(-te[:, None] * r2star) for s, te in zip(START, TIMES, strict=True)]


@pytest.mark.parametrize("fit", ["ols", "weighted"])
def test_noise_free_signals_give_the_truth(fit: str) -> None:
    r2star = np.linspace(5, 60, 12)
    found = fit_decay(decayed(r2star), TIMES, fit)
    np.testing.assert_allclose(found.r2star, r2star, rtol=1e-10)
    np.testing.assert_allclose(np.exp(found.intercepts), np.repeat(START[:, None], 12, axis=1), rtol=1e-10)


def test_ols_is_least_squares_on_the_design_matrix() -> None:
    noisy = [s * np.exp(np.random.default_rng(1).normal(0, 0.1, s.shape)) for s in decayed(np.full(4, 20.0))]
    design = np.concatenate(
        [np.column_stack([np.eye(3)[[k] * len(te)], -te]) for k, te in enumerate(TIMES)]
    )  # columns: one per contrast, then -TE
    expected = np.linalg.lstsq(design, np.log(np.concatenate(noisy)), rcond=None)[0]
    found = fit_decay(noisy, TIMES, "ols")
    np.testing.assert_allclose(np.vstack([found.intercepts, found.r2star]), expected, rtol=1e-9)


def test_weighted_fit_and_its_covariance_are_those_of_the_normal_equations() -> None:
    noisy = [s + np.random.default_rng(2).normal(0, 10, s.shape) for s in decayed(np.array([25.0]))]
    design = np.concatenate([np.column_stack([np.eye(3)[[k] * len(te)], -te]) for k, te in enumerate(TIMES)])
    logs = np.log(np.concatenate(noisy))[:, 0]
    first = np.linalg.lstsq(design, logs, rcond=None)[0]
    weight = np.exp(2 * design @ first)
    inverse = np.linalg.inv(design.T @ (weight[:, None] * design))
    beta = inverse @ design.T @ (weight * logs)
    found = fit_decay(noisy, TIMES, "weighted")
    np.testing.assert_allclose(np.vstack([found.intercepts, found.r2star])[:, 0], beta, rtol=1e-9)
    fitted = np.exp(2 * design @ beta)  # the variance of each logarithm is that of the noise over this
    lines = inverse @ design.T * weight
    variance = np.sum(fitted * (logs - design @ beta) ** 2) / (len(logs) - 4)
    np.testing.assert_allclose(found.covariance[..., 0], lines @ np.diag(variance / fitted) @ lines.T, rtol=1e-8)


@pytest.mark.parametrize("fit", ["ols", "weighted"])
def test_errors_are_the_scatter_of_repeated_noise(fit: str) -> None:
    n, sigma = 20000, 6.0
    rng = np.random.default_rng(3)
    noisy = [s + rng.normal(0, sigma, (len(s), n)) for s in decayed(np.array([25.0]))]
    found = fit_decay(noisy, TIMES, fit)
    assert np.sqrt(np.mean(found.noise**2)) == pytest.approx(sigma, rel=0.05)
    estimates = np.vstack([found.intercepts, found.r2star])
    np.testing.assert_allclose(np.median(found.covariance, axis=-1), np.cov(estimates), rtol=0.1)


def test_the_weighted_fit_is_the_more_precise_one() -> None:
    rng = np.random.default_rng(4)
    noisy = [s + rng.normal(0, 20, (len(s), 5000)) for s in decayed(np.array([60.0]))]
    spread = {fit: np.nanstd(fit_decay(noisy, TIMES, fit).r2star) for fit in ("ols", "weighted")}
    assert spread["weighted"] < 0.95 * spread["ols"]


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_signal_that_is_not_positive_leaves_its_voxel_undefined(bad: float) -> None:
    signals = decayed(np.full(3, 20.0))
    signals[1][2, 1] = bad
    found = fit_decay(signals, TIMES)
    assert np.isnan(found.r2star).tolist() == [False, True, False]


def test_two_contrasts_of_two_echoes_have_one_residual() -> None:
    te = ((0.002, 0.01), (0.002, 0.01))
    found = fit_decay([np.array([[100.0], [80.0]]), np.array([[50.0], [40.0]])], te)
    assert found.r2star == pytest.approx(np.log(100 / 80) / 0.008)
    assert np.isfinite(found.noise).all()


@pytest.mark.parametrize("te", [(0.002,), (0.002, 0.002), (0.002, 0.004, 0.006)])
def test_too_few_echo_times_are_refused(te: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="echo times"):
        fit_decay([np.ones((2, 1))], [te])


def test_unknown_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="no fit"):
        fit_decay([np.ones((2, 1))], [(1, 2)], "robust")
