"""Visits of a person in the space between them, and the box of that space in which they are compared."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy import ndimage

from thalbids.image.grids import zooms


@dataclass(frozen=True)
class AxisAlignedBox:
    """A box of the mean space, its axes those of the world.

    Attributes
    ----------
    shape : voxels along x, y, z
    voxel : mm
    origin : world position of the first voxel
    """

    shape: tuple[int, ...]
    voxel: float
    origin: np.ndarray

    def points(self) -> np.ndarray:
        """World positions (3, x, y, z) of the voxels."""
        axes = [low + self.voxel * np.arange(n) for low, n in zip(self.origin, self.shape, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"))


@dataclass(frozen=True)
class VisitInterpolator:
    """One visit, ready to be sampled anywhere, once, from its own grid.

    Attributes
    ----------
    coefficients : (x, y, z) float64 of the interpolating cubic spline
    index : (4, 4) from the world of the mean space to the visit's voxels
    """

    coefficients: np.ndarray
    index: np.ndarray

    def positions(self, points: np.ndarray) -> np.ndarray:
        """Voxels (3, ...) of world positions (3, ...) of the mean space."""
        shift = self.index[:3, 3].reshape(3, *[1] * (points.ndim - 1))
        return np.asarray(np.tensordot(self.index[:3, :3], points, 1) + shift)


def prepare(image: nib.Nifti1Image, matrix: np.ndarray, smoothing: float, scale: float) -> VisitInterpolator:
    """A visit from its image; `matrix` maps mm of the mean space to mm of the visit, `smoothing` is the SD of a Gauss
    filter in mm, and values are multiplied by `scale`.
    """
    data = np.asarray(image.dataobj, np.float64) * scale
    if smoothing:
        data = ndimage.gaussian_filter(data, smoothing / np.array(zooms(image.affine)), mode="nearest")
    return VisitInterpolator(ndimage.spline_filter(data, 3, mode="nearest"), np.linalg.inv(image.affine) @ matrix)


def values_at(visit: VisitInterpolator, points: np.ndarray) -> np.ndarray:
    """float32 values at world positions (3, ...) of the mean space, by cubic splines; the nearest outside the scan."""
    return np.asarray(
        ndimage.map_coordinates(
            visit.coefficients, visit.positions(points), order=3, mode="nearest", prefilter=False, output=np.float32
        )
    )


def covered(visit: VisitInterpolator, points: np.ndarray) -> np.ndarray:
    """Which positions (3, ...) of the mean space the scan shows."""
    limits = np.array(visit.coefficients.shape).reshape(3, *[1] * (points.ndim - 1))
    position = visit.positions(points)
    return np.asarray(((position >= -0.5) & (position <= limits - 0.5)).all(0))
