"""Known change of real scans: a field that follows the thalami and fades to nothing outside them.

Judging only: the generator draws its own fields (``training.generate.LocalChange``).
"""

from __future__ import annotations

import nibabel as nib
import numpy as np
from scipy import ndimage

SIDES = (10, 49)


class FollowingField:
    """Both thalami scaled about their centroids along the world's axes; outside, the move falls linearly to zero.

    Parameters
    ----------
    labels : (x, y, z) integers, 10 left and 49 right thalamus
    affine : voxels to world
    factors : length along the world's x, y, z relative to before
    fade : mm from the thalamus at which nothing moves any more
    """

    def __init__(self, labels: np.ndarray, affine: np.ndarray, factors: tuple[float, float, float], fade: float):
        zooms = np.linalg.norm(affine[:3, :3], axis=0)
        along = np.abs(affine[:3, :3]).argmax(0)
        self.pull = np.array([1 / factors[axis] - 1 for axis in along])
        self.fade = fade
        self.centres = [np.array(ndimage.center_of_mass(labels == n)) for n in SIDES]
        self.distances = [
            np.clip(ndimage.distance_transform_edt(labels != n, sampling=zooms) - zooms.mean() / 2, 0, None)
            for n in SIDES
        ]

    def __call__(self, position: np.ndarray) -> np.ndarray:
        """Where the changed head at `position` (3, ...) in voxels was before."""
        ones = [1] * (position.ndim - 1)
        near = [ndimage.map_coordinates(d, position, order=1, mode="nearest") for d in self.distances]
        left = 0.5 * (1 + np.tanh((near[1] - near[0]) / 3))
        out = position.copy()
        for centre, distance, share in zip(self.centres, near, (left, 1 - left), strict=True):
            weight = share * np.clip(1 - distance / self.fade, 0, 1)
            out += (position - centre.reshape(3, *ones)) * self.pull.reshape(3, *ones) * weight
        return out


def changed(image: nib.Nifti1Image, field: FollowingField) -> nib.Nifti1Image:
    """The scan after the change, on its own grid (cubic interpolation)."""
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in image.shape], indexing="ij"))
    values = ndimage.map_coordinates(np.asarray(image.dataobj, np.float32), field(grid), order=3, mode="nearest")
    return nib.Nifti1Image(values.astype(np.float32), image.affine)


def true_change(labels: np.ndarray, field: FollowingField, points: int = 1_000_000) -> float:
    """Change of the volume of both thalami in percent, by Monte Carlo on the labels."""
    mask = np.isin(labels, SIDES)
    box = np.argwhere(mask)
    where = np.random.default_rng(3).uniform(box.min(0) - 8, box.max(0) + 9, (points, 3)).T

    def share(position: np.ndarray) -> float:
        index = np.clip(np.round(position).astype(int), 0, np.array(mask.shape)[:, None] - 1)
        return float(mask[tuple(index)].mean())

    return 100 * (share(field(where)) / share(where) - 1)


def slope(pairs: list[tuple[float, float]]) -> float:
    """Slope of measured on true change, no change read as none included as a point."""
    true, measured = np.array([(0.0, 0.0), *pairs]).T
    return float(np.polyfit(true, measured, 1)[0])
