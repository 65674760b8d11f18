"""R1 from spoiled gradient echoes at several flip angles (DESPOT1; Deoni et al. 2003, Chang et al. 2008)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FITS = ("linear", "weighted", "nonlinear")
REWEIGHTINGS = 6  # until weights change R1 by less than 1e-4 of it at usual noise
STEPS = 12  # of the nonlinear fit, from the weighted one
SMALLEST_E1, LARGEST_E1 = 1e-4, 1 - 1e-7


def fit_vfa(
    signals: np.ndarray,
    flip_angles: Sequence[float],
    repetition_time: float,
    transmit: np.ndarray | float = 1.0,
    fit: str = "nonlinear",
) -> tuple[np.ndarray, np.ndarray]:
    """R1 in 1/s and the amplitude of each voxel; NaN where there is none.

    Parameters
    ----------
    signals : shape (angles, voxels)
    flip_angles : nominal, in degrees, at least two different ones
    repetition_time : in s, the same for all
    transmit : f_T, a number or shape (voxels)
    fit : ``linear``: S / sin a = E1 S / tan a + M0 (1 - E1) by least squares; ``weighted``: with the weights
        (sin a / (1 - E1 cos a))^2, which give the noise of S back its due; ``nonlinear``: least squares of the signal
        itself, the estimate of highest likelihood for noise of a Gauss distribution

    Raises
    ------
    ValueError
        Less than two different angles, or another number of signals.
    """
    if fit not in FITS:
        raise ValueError(f"no fit: {fit}")
    if len(set(flip_angles)) < 2 or len(flip_angles) != len(signals):
        raise ValueError("at least two different flip angles are needed, and a signal for each")
    angle = np.deg2rad(np.asarray(flip_angles, dtype=np.float64))[:, None] * np.asarray(transmit)
    signal = np.asarray(signals, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        e1 = _linear(signal, angle, np.ones_like(signal))
        if fit != "linear":
            for _ in range(REWEIGHTINGS):
                e1 = _linear(signal, angle, (np.sin(angle) / (1 - e1 * np.cos(angle))) ** 2)
        if fit == "nonlinear":
            e1 = _nonlinear(signal, angle, e1)
        defined = (signal > 0).all(axis=0) & np.isfinite(signal).all(axis=0) & (e1 > 0) & (e1 < 1)
        e1 = np.where(defined, e1, np.nan)
        shape = _shape(angle, e1)
        amplitude = (shape * signal).sum(axis=0) / (shape**2).sum(axis=0)
        return -np.log(e1) / repetition_time, amplitude


def _shape(angle: np.ndarray, e1: np.ndarray) -> np.ndarray:
    """The signal of amplitude 1."""
    shape: np.ndarray = np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle))
    return shape


def _linear(signal: np.ndarray, angle: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The slope of S / sin a over S / tan a."""
    x, y = signal / np.tan(angle), signal / np.sin(angle)
    total = weight.sum(axis=0)
    dx, dy = x - (weight * x).sum(axis=0) / total, y - (weight * y).sum(axis=0) / total
    slope: np.ndarray = (weight * dx * dy).sum(axis=0) / (weight * dx**2).sum(axis=0)
    return slope


def _nonlinear(signal: np.ndarray, angle: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Gauss-Newton on E1, the amplitude at its best for each E1 (variable projection); a step that is worse is cut."""
    e1 = np.clip(start, SMALLEST_E1, LARGEST_E1)
    cost = _cost(signal, angle, e1)
    scale = np.ones_like(e1)
    for _ in range(STEPS):
        shape, change = _shape(angle, e1), _shape_by_e1(angle, e1)
        norm = (shape**2).sum(axis=0)
        amplitude = (shape * signal).sum(axis=0) / norm
        residual = signal - amplitude * shape
        direction = amplitude * (change - shape * (shape * change).sum(axis=0) / norm)
        step = (direction * residual).sum(axis=0) / (direction**2).sum(axis=0)
        tried = np.clip(e1 + scale * step, SMALLEST_E1, LARGEST_E1)
        new_cost = _cost(signal, angle, tried)
        better = new_cost <= cost
        e1, cost = np.where(better, tried, e1), np.where(better, new_cost, cost)
        scale = np.where(better, 1.0, scale / 4)
    return e1


def _cost(signal: np.ndarray, angle: np.ndarray, e1: np.ndarray) -> np.ndarray:
    shape = _shape(angle, e1)
    explained = (shape * signal).sum(axis=0) ** 2 / (shape**2).sum(axis=0)
    cost: np.ndarray = (signal**2).sum(axis=0) - explained
    return cost


def _shape_by_e1(angle: np.ndarray, e1: np.ndarray) -> np.ndarray:
    change: np.ndarray = np.sin(angle) * (np.cos(angle) - 1) / (1 - e1 * np.cos(angle)) ** 2
    return change
