"""Distances between the surfaces of two masks, in mm."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from thalbids.image.sparse import SparseMask

PERCENTILE = 95.0


@dataclass(frozen=True)
class SurfaceDistances:
    """How far two surfaces lie apart.

    Attributes
    ----------
    hd95_mm : the larger of the two directed 95th percentiles (from each surface to the other)
    assd_mm : average symmetric surface distance: the mean over the points of both surfaces together
    """

    hd95_mm: float
    assd_mm: float


@dataclass(frozen=True)
class Surface:
    """The surface of a mask: the centres, in RAS+ mm, of its voxels of which a face neighbour is outside.

    What lies beyond the edge of the image is outside. World coordinates make distances exact on anisotropic, oblique
    and sheared grids.
    """

    points: np.ndarray
    tree: cKDTree | None

    @classmethod
    def of(cls, mask: SparseMask) -> Surface:
        """The surface of a mask."""
        if mask.voxels == 0:
            return cls(np.zeros((0, 3)), None)
        index = mask.points
        low = index.min(axis=0) - 1
        dense = np.zeros(index.max(axis=0) - low + 2, dtype=bool)
        dense[tuple((index - low).T)] = True
        core = dense[1:-1, 1:-1, 1:-1]
        inner = core.copy()
        for axis in range(3):
            for start in (0, 2):
                shifted = [slice(1, -1)] * 3
                shifted[axis] = slice(start, start + core.shape[axis])
                inner &= dense[tuple(shifted)]
        border = np.argwhere(core & ~inner) + low + 1
        points = border @ mask.affine[:3, :3].T + mask.affine[:3, 3]
        return cls(points, cKDTree(points))

    def distances(self, other: Surface) -> SurfaceDistances:
        """Distances to another surface; NaN when one of them is empty."""
        if self.tree is None or other.tree is None:
            return SurfaceDistances(math.nan, math.nan)
        there, _ = other.tree.query(self.points)
        back, _ = self.tree.query(other.points)
        hd95 = max(float(np.percentile(d, PERCENTILE)) for d in (there, back))
        return SurfaceDistances(hd95, float((there.sum() + back.sum()) / (there.size + back.size)))
