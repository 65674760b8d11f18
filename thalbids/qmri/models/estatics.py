"""ESTATICS: one R2* for all contrasts, and each contrast's signal at TE = 0 (Weiskopf et al. 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FITS = ("ols", "weighted")


@dataclass(frozen=True)
class Decay:
    """The fit of ln S_w(TE) = ln S_w(0) - R2* TE in each voxel.

    Attributes
    ----------
    r2star : shape (voxels), 1/s; NaN where a signal is not positive and finite
    intercepts : shape (contrasts, voxels), ln S_w(0)
    covariance : shape (contrasts + 1, contrasts + 1, voxels): of the intercepts, then of R2*
    noise : shape (voxels), standard deviation of the noise of the signal, from the residuals; NaN without any left over
    """

    r2star: np.ndarray
    intercepts: np.ndarray
    covariance: np.ndarray
    noise: np.ndarray


def fit_decay(signals: Sequence[np.ndarray], echo_times: Sequence[Sequence[float]], fit: str = "weighted") -> Decay:
    """The common decay of several contrasts.

    Parameters
    ----------
    signals : one array (echoes, voxels) per contrast
    echo_times : in s, of each contrast
    fit : ``ols``, or ``weighted``: one further fit with weights of the squared fitted signal, as the noise of the
        logarithm is that of the signal over the signal (Edwards et al. 2022)

    Notes
    -----
    The covariance takes the noise of the signal for the same in all echoes and contrasts, which holds for magnitude
    images with a signal above three times the noise.

    Raises
    ------
    ValueError
        A contrast has less than two different echo times, or not as many signals.
    """
    if fit not in FITS:
        raise ValueError(f"no fit: {fit}")
    times = [np.asarray(te, dtype=np.float64) for te in echo_times]
    for te, signal in zip(times, signals, strict=True):
        if len(np.unique(te)) < 2 or len(te) != len(signal):
            raise ValueError("each contrast needs at least two echo times, and a signal for each")
    logs = [_log(signal) for signal in signals]
    fitted = _line(logs, times, [np.ones((len(te), 1)) for te in times])
    if fit == "weighted":
        lines = _predicted(fitted, times)
        largest = np.max([line.max(axis=0) for line in lines], axis=0)
        weights = [np.exp(2 * (line - largest)) for line in lines]  # relative to the largest: no overflow
        fitted = _line(logs, times, weights)
    return _with_errors(fitted, logs, times)


@dataclass(frozen=True)
class _Line:
    """Weighted least squares with one slope: estimates, and the coefficients that the logarithms enter them with."""

    slope: np.ndarray
    intercepts: np.ndarray
    slope_coefficients: list[np.ndarray]
    mean_coefficients: list[np.ndarray]
    mean_times: list[np.ndarray]


def _log(signal: np.ndarray) -> np.ndarray:
    positive = np.isfinite(signal) & (signal > 0)
    logs = np.full(signal.shape, np.nan)
    np.log(signal, out=logs, where=positive, dtype=np.float64)
    return logs


def _line(logs: list[np.ndarray], times: list[np.ndarray], weights: list[np.ndarray]) -> _Line:
    """Weights of shape (echoes, voxels) or (echoes, 1)."""
    shares = [w / w.sum(axis=0) for w in weights]
    mean_times = [share.T @ te for share, te in zip(shares, times, strict=True)]
    centred = [te[:, None] - mean for te, mean in zip(times, mean_times, strict=True)]
    spread = np.sum([(w * c**2).sum(axis=0) for w, c in zip(weights, centred, strict=True)], axis=0)
    coefficients = [w * c / spread for w, c in zip(weights, centred, strict=True)]
    slope = np.sum([(c * y).sum(axis=0) for c, y in zip(coefficients, logs, strict=True)], axis=0)
    means = [(share * y).sum(axis=0) for share, y in zip(shares, logs, strict=True)]
    intercepts = np.stack([mean - slope * te for mean, te in zip(means, mean_times, strict=True)])
    return _Line(slope, intercepts, coefficients, shares, mean_times)


def _predicted(line: _Line, times: list[np.ndarray]) -> list[np.ndarray]:
    return [b + line.slope * te[:, None] for b, te in zip(line.intercepts, times, strict=True)]


def _with_errors(line: _Line, logs: list[np.ndarray], times: list[np.ndarray]) -> Decay:
    """The estimates are linear in the logarithms, whose variance is that of the noise over the squared signal."""
    predicted = [np.exp(p) for p in _predicted(line, times)]
    left_over = sum(len(te) for te in times) - len(times) - 1
    squares = np.sum([(p**2 * (y - np.log(p)) ** 2).sum(axis=0) for p, y in zip(predicted, logs, strict=True)], axis=0)
    variance = squares / left_over if left_over > 0 else np.full_like(squares, np.nan)
    n = len(times)
    covariance = np.empty((n + 1, n + 1, line.slope.size))
    relative = [1 / p**2 for p in predicted]
    slope_slope = np.sum(
        [(c**2 * v).sum(axis=0) for c, v in zip(line.slope_coefficients, relative, strict=True)], axis=0
    )
    mean_slope = [
        (m * c * v).sum(axis=0)
        for m, c, v in zip(line.mean_coefficients, line.slope_coefficients, relative, strict=True)
    ]
    mean_mean = [(m**2 * v).sum(axis=0) for m, v in zip(line.mean_coefficients, relative, strict=True)]
    for i, ti in enumerate(line.mean_times):
        for j, tj in enumerate(line.mean_times):
            common = mean_mean[i] if i == j else 0
            covariance[i, j] = common - tj * mean_slope[i] - ti * mean_slope[j] + ti * tj * slope_slope
        covariance[i, n] = covariance[n, i] = -(mean_slope[i] - ti * slope_slope)
    covariance[n, n] = slope_slope
    return Decay(-line.slope, line.intercepts, covariance * variance, np.sqrt(variance))
