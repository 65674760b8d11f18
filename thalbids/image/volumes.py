"""Volumes of masks and probability maps."""

from __future__ import annotations

import numpy as np

from thalbids.image.grids import voxel_volume


def voxels(mask: np.ndarray) -> int:
    """Number of voxels in a mask (every value but 0)."""
    return int(np.count_nonzero(mask))


def volume_mm3(mask: np.ndarray, affine: np.ndarray) -> float:
    """Volume of a mask in mm^3: voxels x voxel volume, as in the paper; right for oblique and sheared grids too."""
    return voxels(mask) * voxel_volume(affine)


def soft_volume_mm3(probability: np.ndarray, affine: np.ndarray) -> float:
    """Expected volume in mm^3: the sum of the probabilities (0 to 1) x voxel volume."""
    return float(np.sum(probability, dtype=np.float64)) * voxel_volume(affine)
