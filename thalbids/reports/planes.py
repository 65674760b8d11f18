"""Flat views of a volume: planes along the world's axes, sampled at equal steps in mm.

Whatever the orientation, obliqueness or slice thickness of the grid, a picture has the right shape: up is superior (or
anterior), right is the person's right (or anterior).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
_IN_PLANE = {"sagittal": (1, 2), "coronal": (0, 2), "axial": (0, 1)}
ENDS = {"sagittal": ("P", "A"), "coronal": ("L", "R"), "axial": ("L", "R")}  # what lies left and right of the picture


@dataclass(frozen=True)
class Plane:
    """A rectangle in the world.

    Attributes
    ----------
    name : ``axial``, ``coronal`` or ``sagittal``
    centre : (x, y, z) of its middle, RAS+ mm
    width, height : mm
    step : mm per pixel
    """

    name: str
    centre: tuple[float, float, float]
    width: float
    height: float
    step: float

    @property
    def position(self) -> float:
        """World coordinate (mm) of the plane along its normal."""
        return self.centre[AXES[self.name]]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        return max(1, round(self.height / self.step)), max(1, round(self.width / self.step))

    def points(self) -> np.ndarray:
        """RAS+ mm of every pixel centre, (3, rows, columns); the first row is the top."""
        rows, columns = self.shape
        u, v = _IN_PLANE[self.name]
        points = np.empty((3, rows, columns))
        points[AXES[self.name]] = self.position
        points[u] = self.centre[u] + (np.arange(columns) + 0.5 - columns / 2) * self.step
        points[v] = (self.centre[v] - (np.arange(rows) + 0.5 - rows / 2) * self.step)[:, None]
        return points

    def pixel(self, point: Sequence[float]) -> tuple[float, float]:
        """Column and row (fractions of pixels, from the upper left corner) where a world point is projected to."""
        rows, columns = self.shape
        u, v = _IN_PLANE[self.name]
        return (point[u] - self.centre[u]) / self.step + columns / 2, (self.centre[v] - point[v]) / self.step + rows / 2


def sample(data: np.ndarray, affine: np.ndarray, plane: Plane, order: int = 1) -> np.ndarray:
    """Values of a volume on a plane, linearly interpolated (``order`` 0: of the voxel there), 0 outside the volume;
    float32 (rows, columns).
    """
    inverse = np.linalg.inv(np.asarray(affine, dtype=np.float64))
    points = plane.points()
    voxel = np.tensordot(inverse[:3, :3], points, axes=1) + inverse[:3, 3].reshape(3, 1, 1)
    return np.asarray(ndimage.map_coordinates(data, voxel, output=np.float32, order=order, mode="constant", cval=0.0))


def world_box(shape: Sequence[int], affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest world coordinates (mm) of a grid's voxels, edges included."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in shape[:3]], indexing="ij")).reshape(3, -1)
    world = np.asarray(affine)[:3, :3] @ corners + np.asarray(affine)[:3, 3:]
    return world.min(axis=1), world.max(axis=1)
