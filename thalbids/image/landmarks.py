"""Where the two thalami lie and how far they reach: points and volumes by which masks of any grid are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from thalbids.image.grids import voxel_volume
from thalbids.types import LEFT_THALAMUS, RIGHT_THALAMUS

TAIL = 0.1  # an end is the mean position of the outermost tenth of the volume: a speck does not move it
SIDES = {"left": LEFT_THALAMUS, "right": RIGHT_THALAMUS}

Side = dict[str, Any]


def of_labels(labels: np.ndarray, affine: np.ndarray) -> dict[str, Side] | None:
    """Landmarks of the left and the right thalamus of a mask.

    Parameters
    ----------
    labels : (x, y, z) 10 = left, 49 = right
    affine : (4, 4) voxel to RAS+ mm

    Returns
    -------
    Per side ``centre_mm``, ``low_mm`` and ``high_mm`` (three numbers each: x, y, z), ``volume_mm3``; None where a side
    is empty.
    """
    sides: dict[str, Side] = {}
    for name, value in SIDES.items():
        voxels = np.argwhere(labels == value)
        if not len(voxels):
            return None
        sides[name] = of_weights(voxels, np.ones(len(voxels)), affine)
    return sides


def of_weights(voxels: np.ndarray, weights: np.ndarray, affine: np.ndarray) -> Side:
    """Landmarks of one structure.

    Parameters
    ----------
    voxels : (n, 3) indices
    weights : (n,) how much of each voxel belongs to the structure
    affine : (4, 4) voxel to RAS+ mm

    Returns
    -------
    As of one side in :func:`of_labels`: the centre of mass; per axis of the world the mean position of the outermost
    tenth (by weight) at the low and at the high end, in mm; the volume.
    """
    affine = np.asarray(affine, dtype=np.float64)
    points = voxels @ affine[:3, :3].T + affine[:3, 3]
    weights = np.asarray(weights, dtype=np.float64)
    low, high = np.empty(3), np.empty(3)
    for axis in range(3):
        order = np.argsort(points[:, axis], kind="stable")
        low[axis] = _tail(points[order, axis], weights[order])
        high[axis] = _tail(points[order[::-1], axis], weights[order[::-1]])
    return {
        "centre_mm": [float(v) for v in weights @ points / weights.sum()],
        "low_mm": [float(v) for v in low],
        "high_mm": [float(v) for v in high],
        "volume_mm3": float(weights.sum() * voxel_volume(affine)),
    }


def scaled(side: Mapping[str, Any], ratio: float) -> Side:
    """The landmarks of the same structure with ``ratio`` times the volume: its ends nearer to its centre or farther."""
    centre, factor = np.asarray(side["centre_mm"]), ratio ** (1 / 3)

    def moved(key: str) -> list[float]:
        return [float(v) for v in centre + (np.asarray(side[key]) - centre) * factor]

    return {
        "centre_mm": list(side["centre_mm"]), "low_mm": moved("low_mm"), "high_mm": moved("high_mm"),
        "volume_mm3": float(side["volume_mm3"]) * ratio,
    }  # fmt: skip


def _tail(positions: np.ndarray, weights: np.ndarray) -> float:
    """Mean of the first tenth (by weight) of sorted positions; a voxel that lies across the border counts in part."""
    summed = np.cumsum(weights)
    taken = np.clip(TAIL * summed[-1] - (summed - weights), 0, weights)
    return float(taken @ positions / taken.sum())
