"""Correlations of one variable with two others, measured on the same people, and their difference.

The three tests and intervals that are usual for dependent overlapping correlations. ``r12`` and ``r13`` are compared,
``r23`` is the correlation between the two that compete.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Test:
    """A statistic (t with n - 3 degrees of freedom, or z) and its two-sided p."""

    statistic: float = math.nan
    p: float = math.nan


def williams(r12: float, r13: float, r23: float, n: int) -> Test:
    """Williams' t for r12 = r13, with n - 3 degrees of freedom (Williams 1959; Steiger 1980, equation 7).

    Examples
    --------
    >>> round(williams(0.3, 0.4, 0.5, 100).statistic, 4)  # Silver, Hittner and May 2006
    -1.0767
    """
    determinant = 1 - r12**2 - r13**2 - r23**2 + 2 * r12 * r13 * r23
    mean = (r12 + r13) / 2
    t = (r12 - r13) * math.sqrt((n - 1) * (1 + r23) / (2 * (n - 1) / (n - 3) * determinant + mean**2 * (1 - r23) ** 3))
    return Test(t, float(2 * stats.t.sf(abs(t), n - 3)))


def steiger(r12: float, r13: float, r23: float, n: int) -> Test:
    """Steiger's z for r12 = r13, with the covariance at the mean of the two (Steiger 1980, equations 3, 10 and 14).

    Examples
    --------
    >>> round(steiger(0.3, 0.4, 0.5, 100).statistic, 4)  # Silver, Hittner and May 2006
    -1.0718
    """
    mean = (r12 + r13) / 2
    covariance = (r23 * (1 - 2 * mean**2) - mean**2 * (1 - 2 * mean**2 - r23**2) / 2) / (1 - mean**2) ** 2
    z = (math.atanh(r12) - math.atanh(r13)) * math.sqrt((n - 3) / (2 - 2 * covariance))
    return Test(z, float(2 * stats.norm.sf(abs(z))))


def zou(r12: float, r13: float, r23: float, n: int) -> tuple[float, float]:
    """Interval of r12 - r13 from the intervals of both (Zou 2007, equation 15).

    Examples
    --------
    >>> [round(bound, 3) for bound in zou(0.396, 0.179, 0.088, 66)]  # Zou 2007, page 409
    [-0.093, 0.517]
    """
    (l1, u1), (l2, u2) = interval(r12, n), interval(r13, n)
    c = ((r23 - r12 * r13 / 2) * (1 - r12**2 - r13**2 - r23**2) + r23**3) / ((1 - r12**2) * (1 - r13**2))
    low = math.sqrt(max((r12 - l1) ** 2 + (u2 - r13) ** 2 - 2 * c * (r12 - l1) * (u2 - r13), 0))
    high = math.sqrt(max((u1 - r12) ** 2 + (r13 - l2) ** 2 - 2 * c * (u1 - r12) * (r13 - l2), 0))
    return r12 - r13 - low, r12 - r13 + high


def interval(r: float, n: int) -> tuple[float, float]:
    """Interval of a correlation by Fisher's z."""
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) / math.sqrt(n - 3)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of two samples that vary, kept inside [-1, 1]."""
    a, b = x - x.mean(), y - y.mean()
    return float(np.clip(a @ b / math.sqrt((a @ a) * (b @ b)), -1, 1))
