"""How much a single row decides: leverage, Cook's distance, DFBETAS, and how far a value lies from the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAD = 1.4826  # times the median absolute deviation: the standard deviation of a normal distribution
_ONE = 1e-8


@dataclass(frozen=True)
class Influence:
    """Per row of a least-squares fit, (n,) each.

    ``leverage`` is the diagonal of the hat matrix; ``cook`` Cook's distance (Cook 1977); ``dfbetas`` by how many
    standard errors the first coefficient would move without the row (Belsley, Kuh and Welsch 1980, positive: the row
    raises it); ``studentised`` the externally studentised residual. NaN, but for the leverage, where that is 1.
    """

    leverage: np.ndarray
    cook: np.ndarray
    dfbetas: np.ndarray
    studentised: np.ndarray


def influence(X: np.ndarray, y: np.ndarray) -> Influence:
    """The influence of each row on the least-squares fit of ``y`` on ``X``.

    Parameters
    ----------
    X : (n, k) of full rank, the intercept among its columns, the coefficient of interest first
    y : (n,)
    """
    n, k = X.shape
    scaled = X / np.linalg.norm(X, axis=0)
    Q, R = np.linalg.qr(scaled)
    h = np.sum(Q**2, axis=1)
    residual = y - Q @ (Q.T @ y)
    free = np.where(h < 1 - _ONE, 1 - h, np.nan)
    s2 = float(residual @ residual) / (n - k)
    cook = residual**2 / (k * s2) * h / free**2
    s2_without = ((n - k) * s2 - residual**2 / free) / max(n - k - 1, 1)
    s_without = np.sqrt(np.where((s2_without > 0) & (n - k > 1), s2_without, np.nan))
    first = np.linalg.solve(R, Q.T)[0]  # row of the pseudo-inverse: moves of the first coefficient
    moves = first * residual / free
    dfbetas = moves / (s_without * np.sqrt(float(np.sum(first**2))))
    return Influence(h, cook, dfbetas, residual / (s_without * np.sqrt(free)))


def robust_z(values: np.ndarray) -> np.ndarray:
    """(value - median) / (1.4826 MAD); NaN for what is missing, and for all where more than half are equal.

    Examples
    --------
    >>> robust_z(np.array([1.0, 2, 3, 4, 100])).round(2).tolist()
    [-1.35, -0.67, 0.0, 0.67, 65.43]
    """
    values = np.asarray(values, dtype=np.float64)
    there = values[np.isfinite(values)]
    if not there.size:
        return np.full(values.shape, np.nan)
    centre = float(np.median(there))
    spread = MAD * float(np.median(np.abs(there - centre)))
    if spread <= 1e-12 * float(np.abs(there).max()):
        return np.full(values.shape, np.nan)
    return (values - centre) / spread
