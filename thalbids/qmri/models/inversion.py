"""R1 from inversion recovery with magnitude images (Barral et al. 2010, reduced-dimension least squares)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

T1_RANGE = (0.05, 5.0)  # s
T1_STEPS = 300


def fit_inversion(signals: np.ndarray, inversion_times: Sequence[float]) -> np.ndarray:
    """R1 in 1/s of each voxel from S = |a + b exp(-TI R1)|; NaN where there is none.

    Parameters
    ----------
    signals : magnitudes, shape (times, voxels), in the order of the times
    inversion_times : in s, at least four different ones: there are three unknowns and a sign

    Notes
    -----
    For each T1 of a fine grid, a and b follow by linear least squares; the signs of a magnitude image are those that
    fit best among negative up to each of the times. A parabola through the best T1 of the grid and its neighbours (in
    log T1) gives the result. A minimum at the border of the grid, 0.05 - 5 s, is no result.

    Raises
    ------
    ValueError
        Too few times, or another number of signals.
    """
    times = np.asarray(inversion_times, dtype=np.float64)
    if len(np.unique(times)) < 4 or len(times) != len(signals):
        raise ValueError("at least four different inversion times are needed, and a signal for each")
    order = np.argsort(times)
    times, magnitude = times[order], np.asarray(signals, dtype=np.float64)[order]
    grid = np.geomspace(*T1_RANGE, T1_STEPS)
    curves = np.exp(-times / grid[:, None])
    curves -= curves.mean(axis=1, keepdims=True)
    curves /= np.linalg.norm(curves, axis=1, keepdims=True)
    misfits = [_misfit(magnitude, negative, curves) for negative in range(len(times) + 1)]
    lowest = np.argmin([m.min(axis=0) for m in misfits], axis=0)
    misfit = np.choose(lowest, misfits) if len(misfits) < 32 else np.take_along_axis(np.array(misfits), lowest[None], 0)
    r1 = 1 / _minimum(misfit, grid)
    defined = np.isfinite(magnitude).all(axis=0) & (magnitude > 0).any(axis=0)
    return np.where(defined, r1, np.nan)


def _misfit(magnitude: np.ndarray, negative: int, curves: np.ndarray) -> np.ndarray:
    """Sum of squares, shape (T1, voxels), with the first ``negative`` signals below zero."""
    signed = magnitude.copy()
    signed[:negative] *= -1
    signed -= signed.mean(axis=0)
    explained = curves @ signed
    rising = explained < 0  # a recovery goes up: b is negative
    misfit: np.ndarray = (signed**2).sum(axis=0) - np.where(rising, explained, 0) ** 2
    return misfit


def _minimum(misfit: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """T1 at the minimum of a parabola through the lowest point and its neighbours."""
    best = np.argmin(misfit, axis=0)
    inner = np.clip(best, 1, len(grid) - 2)
    below, middle, above = (np.take_along_axis(misfit, (inner + k)[None], 0)[0] for k in (-1, 0, 1))
    bend = below - 2 * middle + above
    shift = np.divide(below - above, 2 * bend, out=np.zeros_like(bend), where=bend > 0)
    step = np.log(grid[1] / grid[0])
    t1 = np.exp(np.log(grid[inner]) + np.clip(shift, -1, 1) * step)
    return np.where(best == inner, t1, np.nan)
