"""How far two masks agree, from three counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Counts:
    """Voxels of a prediction against a reference: in both (tp), only predicted (fp), only in the reference (fn)."""

    tp: int
    fp: int
    fn: int


def counts(reference: np.ndarray, prediction: np.ndarray) -> Counts:
    """Count voxels; masks are arrays of the same shape on the same grid, every value but 0 belongs to the mask."""
    if reference.shape != prediction.shape:
        raise ValueError(f"shapes differ: {reference.shape} and {prediction.shape}")
    a, b = np.asarray(reference) != 0, np.asarray(prediction) != 0
    both = int(np.count_nonzero(a & b))
    return Counts(both, int(np.count_nonzero(b)) - both, int(np.count_nonzero(a)) - both)


def dice(c: Counts) -> float:
    """Dice coefficient 2 tp / (2 tp + fp + fn) (Dice 1945); nan when both masks are empty, 0 when one is."""
    return _ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn)


def precision(c: Counts) -> float:
    """Share of the prediction that is right, tp / (tp + fp); nan when the prediction is empty."""
    return _ratio(c.tp, c.tp + c.fp)


def sensitivity(c: Counts) -> float:
    """Share of the reference that is found, tp / (tp + fn); nan when the reference is empty."""
    return _ratio(c.tp, c.tp + c.fn)


def volume_similarity(c: Counts) -> float:
    """How alike two volumes are, wherever they lie: 1 - |V1 - V2| / (V1 + V2) = 1 - |fn - fp| / (2 tp + fp + fn).

    From Taha and Hanbury (2015); nan when both masks are empty.
    """
    return 1 - _ratio(abs(c.fn - c.fp), 2 * c.tp + c.fp + c.fn)


def containment(inner: np.ndarray, outer: np.ndarray) -> float:
    """Share of ``inner`` that lies in ``outer``; nan when ``inner`` is empty."""
    return precision(counts(reference=outer, prediction=inner))


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else math.nan
