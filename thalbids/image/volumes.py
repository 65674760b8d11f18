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


def face_areas_mm2(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Area of a mask in mm^2 in the outermost planes of voxels of its grid: (3 axes, first and last)."""
    areas = np.zeros((3, 2))
    columns = np.asarray(affine, dtype=np.float64)[:3, :3].T
    for axis in range(3):
        first, second = (columns[other] for other in range(3) if other != axis)
        pixel = float(np.linalg.norm(np.cross(first, second)))
        for end in (0, -1):
            plane = mask[(slice(None),) * axis + (end,)]  # a view: np.take would copy the whole array
            areas[axis, end] = np.count_nonzero(plane) * pixel
    return areas
