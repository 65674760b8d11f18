"""R1 from inversion recovery with magnitude images (Barral et al. 2010, reduced-dimension least squares)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

T1_RANGE = (0.05, 5.0)  # s
T1_STEPS = 300
BLOCK = 256  # voxels at a time


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
    r1 = np.empty(magnitude.shape[1])
    for start in range(0, len(r1), BLOCK):
        part = slice(start, start + BLOCK)
        r1[part] = 1 / _best_t1(magnitude[:, part], curves, grid)
    defined = np.isfinite(magnitude).all(axis=0) & (magnitude > 0).any(axis=0)
    return np.where(defined, r1, np.nan)


def _best_t1(magnitude: np.ndarray, curves: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """T1 at the least sum of squares over all signs; NaN where that is at the border of the grid.

    With curves of mean 0 and length 1 the sum of squares is |S - mean S|^2 - (curve S)^2 where the product is below 0
    (a recovery goes up, b is negative). So the best T1 for given signs is that of the lowest product.
    """
    voxels = np.arange(magnitude.shape[1])
    squares = (magnitude**2).sum(axis=0)
    least = np.full(len(voxels), np.inf)
    t1 = np.full(len(voxels), np.nan)
    explained, mean = magnitude.T @ curves.T, magnitude.mean(axis=0)
    for negative in range(len(magnitude) + 1):
        if negative:  # one more signal has the other sign
            changed = 2 * magnitude[negative - 1]
            explained -= changed[:, None] * curves[:, negative - 1]
            mean = mean - changed / len(magnitude)
        total = squares - len(magnitude) * mean**2
        best = explained.argmin(axis=1)
        inner = np.clip(best, 1, len(grid) - 2)
        below, middle, above, misfit = (
            total - np.minimum(explained[voxels, k], 0) ** 2 for k in (inner - 1, inner, inner + 1, best)
        )
        better = misfit < least
        t1[better] = np.where(best == inner, _vertex(below, middle, above, inner, grid), np.nan)[better]
        least = np.where(better, misfit, least)
    return t1


def _vertex(
    below: np.ndarray, middle: np.ndarray, above: np.ndarray, inner: np.ndarray, grid: np.ndarray
) -> np.ndarray:
    """T1 at the minimum of a parabola through the lowest point and its neighbours."""
    bend = below - 2 * middle + above
    shift = np.divide(below - above, 2 * bend, out=np.zeros_like(bend), where=bend > 0)
    step = np.log(grid[1] / grid[0])
    t1: np.ndarray = np.exp(np.log(grid[inner]) + np.clip(shift, -1, 1) * step)
    return t1
