"""Rigid registration by the mutual information of Mattes et al. 2003, in this process, in a second.

The metric is that of ANTs (strategy ``ants``): the joint histogram of 32 x 32 bins, in which an intensity of the moving
image falls into four bins by a cubic B-spline, so that the mutual information has an exact gradient. Three things
differ. The points at which it is measured lie at random between the voxels, as a grid of points that meets another grid
makes false peaks. The last levels look at the brain and 10 mm around it, as neck and skin move on their own. And the
last level works on the voxels themselves, where ANTs gets images of 2 mm (docs/registration.md has what that brings).
"""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import scipy
from nibabel.affines import apply_affine
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from thalbids.errors import RegistrationError
from thalbids.image.grids import voxel_volume, zooms
from thalbids.registration.ants_rigid import block_mean, centre_of_mass, reduced
from thalbids.registration.transforms import nearest_rigid

BINS = 32
MARGIN_MM = 10.0  # around the brain mask
ARM_MM = 60.0  # a rotation by 1 / 60 moves the surface of a brain by about 1 mm: the optimiser's unit of a rotation
MIN_OVERLAP = 0.1  # share of the points that must meet an image as large as the fixed one; of a smaller one less
FEWEST = 4  # voxels of an image along each axis at a level that is used


@dataclass(frozen=True)
class Level:
    """One resolution.

    Attributes
    ----------
    zoom : voxel size in mm to which images are averaged
    points : how many
    brain : only in the brain and near it
    tolerance : relative change of the mutual information that ends the search
    decimals : of the answer, translations in mm and rotations in 1 / ARM_MM. What processors round in other ways grows
        to 0.001 mm in a long search; few decimals of its answer let the next level start from the same place
    """

    zoom: float
    points: int
    brain: bool
    tolerance: float = 1e-4
    decimals: int = 1


LEVELS = (
    Level(8, 4_000, False),
    Level(4, 15_000, False),
    Level(2, 20_000, True),
    Level(1, 120_000, True, tolerance=1e-6, decimals=4),
)


@dataclass(frozen=True)
class MattesRigid:
    """Six degrees of freedom, Mattes mutual information, at 8, 4, 2 and 1 mm.

    Attributes
    ----------
    name, group, interpolation, cutoff : see :class:`~thalbids.registration.strategies.Strategy`
    start : ``identity`` trusts the scanner's coordinates; ``centre`` brings the centres of mass together first
    """

    name: str = "mattes"
    group: str = "mattes"
    interpolation: str = "linear"
    cutoff: float = 0.25
    start: str = "identity"

    @property
    def software(self) -> str:
        """The optimiser's name and version; the rest is this package's."""
        return f"scipy {scipy.__version__}"

    def estimate(
        self, fixed: nib.Nifti1Image, moving: nib.Nifti1Image, mask: nib.Nifti1Image | None, seed: int
    ) -> np.ndarray:
        """See :class:`~thalbids.registration.strategies.Strategy`; without a mask all levels see the whole images."""
        generator = np.random.default_rng(seed)
        pyramids = [_pyramid(image) for image in (fixed, moving)]
        near = None if mask is None else _near(mask)
        matrix = np.eye(4)
        if self.start == "centre":
            matrix[:3, 3] = centre_of_mass(pyramids[1][1]) - centre_of_mass(pyramids[0][1])
        for level, small, other in zip(LEVELS, *pyramids, strict=True):
            if level is not LEVELS[-1] and min(*small.shape, *other.shape) < FEWEST:
                continue
            points = _points(small, near if level.brain else None, level.points, generator)
            matrix = Metric(small, other, points).climb(matrix, level)
        return matrix


def _pyramid(image: nib.Nifti1Image) -> list[nib.Nifti1Image]:
    """The image at each level, clipped, coarsest first."""
    images = [reduced(image, LEVELS[-1].zoom)]
    for level in LEVELS[-2::-1]:
        images.append(block_mean(images[-1], level.zoom))
    return images[::-1]


def _near(mask: nib.Nifti1Image) -> nib.Nifti1Image:
    """The mask with its margin, in blocks of about 4 mm."""
    small = block_mean(nib.Nifti1Image((np.asanyarray(mask.dataobj) != 0).astype(np.float32), mask.affine), 4.0)
    distance = ndimage.distance_transform_edt(np.asarray(small.dataobj) == 0, sampling=zooms(small.affine))
    return nib.Nifti1Image((distance <= MARGIN_MM).astype(np.uint8), small.affine)


def _points(
    image: nib.Nifti1Image, near: nib.Nifti1Image | None, count: int, generator: np.random.Generator
) -> np.ndarray:
    """(n, 3) RAS+ mm of about ``count`` places at random between the voxel centres of an image, in ``near``."""
    share = 1.0 if near is None else float(np.mean(np.asarray(near.dataobj)))
    index = generator.random((int(count / max(share, 0.02)), 3)) * (np.array(image.shape) - 1)
    points = apply_affine(image.affine, index)
    if near is None:
        return points
    block = np.rint(apply_affine(np.linalg.inv(near.affine), points)).astype(np.int64)
    block = np.clip(block, 0, np.array(near.shape) - 1)  # voxels at the upper ends that fill no block
    return points[np.asarray(near.dataobj)[tuple(block.T)] != 0]


class Metric:
    """Mutual information, in nats, of one image at fixed points and another under a rigid transform of them.

    Parameters
    ----------
    fixed, moving : images of one level
    points : (n, 3) RAS+ mm of the fixed image

    Raises
    ------
    RegistrationError
        An image has the same value everywhere.
    """

    def __init__(self, fixed: nib.Nifti1Image, moving: nib.Nifti1Image, points: np.ndarray):
        index = apply_affine(np.linalg.inv(fixed.affine), points)
        seen = ndimage.map_coordinates(np.asarray(fixed.dataobj), index.T, order=1, mode="nearest")
        self.row = np.minimum(_scaled(seen, 0, BINS).astype(np.int64), BINS - 1) * BINS
        self.centre = points.mean(axis=0)
        self.arms = points - self.centre
        data = np.asarray(moving.dataobj)
        self.shape = data.shape
        self.values = _scaled(data, 2, BINS - 2.001).ravel()  # the four bins of a value are there for each
        self.to_voxels = np.linalg.inv(moving.affine)
        self.least = MIN_OVERLAP * min(1.0, _volume(moving) / _volume(fixed)) * len(points)

    def climb(self, start: np.ndarray, level: Level) -> np.ndarray:
        """The rigid transform (RAS+ mm, fixed to moving) of the nearest peak, as the start is.

        Parameters are rounded, and entries of the matrix at ten decimals, so that processors which round sums, sines
        and logarithms in other ways give the same bytes.
        """
        turned = start[:3, :3]
        shift = apply_affine(start, self.centre) - self.centre
        found = optimize.minimize(
            lambda p: self.loss(_turn(p[:3] / ARM_MM) @ turned, p[3:], p[:3] / ARM_MM),
            np.concatenate([np.zeros(3), shift]),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 50, "ftol": level.tolerance, "gtol": 0},
        )
        if found.fun >= 0:
            raise RegistrationError("The images do not overlap.")
        parameters = np.round(found.x, level.decimals)
        matrix = np.eye(4)
        matrix[:3, :3] = nearest_rigid(_turn(parameters[:3] / ARM_MM) @ turned)[:3, :3]
        matrix[:3, 3] = self.centre + parameters[3:] - matrix[:3, :3] @ self.centre
        return np.round(matrix, 10)

    def loss(self, turn: np.ndarray, shift: np.ndarray, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the mutual information, and its gradient by ``vector`` (in units of 1 / ARM_MM) and ``shift``.

        ``turn`` is the rotation about the centre of the points, whose last factor on the left is that of ``vector``.
        """
        inside, value, slope = self._sample(turn, shift)
        if len(inside) < max(self.least, 1):
            return 0.0, np.zeros(6)
        information, pull = _information(self.row[inside], value)
        force = slope * (pull / len(inside))  # by voxels of the moving image
        arms = self.arms[inside].T
        to_voxels = self.to_voxels[:3, :3]
        total = to_voxels.T @ force.sum(axis=1)
        # sum of (force in mm) x (arm in mm, turned), one sum for each pair of axes
        moments = to_voxels.T @ np.array([[(f * arm).sum() for arm in arms] for f in force]) @ turn.T
        torque = np.array([moments[2, 1] - moments[1, 2], moments[0, 2] - moments[2, 0], moments[1, 0] - moments[0, 1]])
        return -information, -np.concatenate([_left_jacobian(vector).T @ torque / ARM_MM, total])

    def _sample(self, turn: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which points meet the moving image, its values there (trilinear), and their (3, n) slopes by voxel."""
        linear = self.to_voxels[:3, :3] @ turn
        offset = self.to_voxels[:3, :3] @ (self.centre + shift) + self.to_voxels[:3, 3]
        arms = self.arms.T
        place = [
            row[0] * arms[0] + row[1] * arms[1] + row[2] * arms[2] + o for row, o in zip(linear, offset, strict=True)
        ]
        meets = np.ones(len(self.arms), dtype=bool)
        for position, n in zip(place, self.shape, strict=True):
            meets &= (position >= 0) & (position < n - 1)
        inside = np.flatnonzero(meets)
        low = [position[inside].astype(np.int64) for position in place]
        x, y, z = (position[inside] - corner for position, corner in zip(place, low, strict=True))
        across, along = self.shape[1] * self.shape[2], self.shape[2]
        corner = low[0] * across + low[1] * along + low[2]
        at = [[[self.values[corner + i * across + j * along + k] for k in (0, 1)] for j in (0, 1)] for i in (0, 1)]
        up = [[at[i][j][1] - at[i][j][0] for j in (0, 1)] for i in (0, 1)]
        edge = [[at[i][j][0] + z * up[i][j] for j in (0, 1)] for i in (0, 1)]
        face = [edge[i][0] + y * (edge[i][1] - edge[i][0]) for i in (0, 1)]
        value = face[0] + x * (face[1] - face[0])
        by_y = [edge[i][1] - edge[i][0] for i in (0, 1)]
        by_z = [up[i][0] + y * (up[i][1] - up[i][0]) for i in (0, 1)]
        slope = [face[1] - face[0], by_y[0] + x * (by_y[1] - by_y[0]), by_z[0] + x * (by_z[1] - by_z[0])]
        return inside, value, np.array(slope)


def _information(row: np.ndarray, value: np.ndarray) -> tuple[float, np.ndarray]:
    """Mutual information, and n times its derivative by the value of each point (Mattes 2003, eq. 11 to 17)."""
    first = value.astype(np.int64)
    d = value - first
    weights = ((1 - d) ** 3 / 6, (4 - 6 * d**2 + 3 * d**3) / 6, (1 + 3 * d + 3 * d**2 - 3 * d**3) / 6, d**3 / 6)
    changes = (-((1 - d) ** 2) / 2, (3 * d**2 - 4 * d) / 2, (1 + 2 * d - 3 * d**2) / 2, d**2 / 2)
    cells = [row + first + j for j in (-1, 0, 1, 2)]
    joint = np.zeros(BINS * BINS)
    for cell, weight in zip(cells, weights, strict=True):
        joint += np.bincount(cell, weight, minlength=BINS * BINS)
    joint = joint.reshape(BINS, BINS) / len(value)
    rows, columns = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    full = joint > 1e-12
    surprise = np.log(np.divide(joint, columns, out=np.ones_like(joint), where=full))
    information = (joint * (surprise - np.log(np.where(rows > 0, rows, 1)))).sum()
    table = surprise.ravel()
    pull = sum(change * table[cell] for cell, change in zip(cells, changes, strict=True))
    return float(information), np.asarray(pull)


def _volume(image: nib.Nifti1Image) -> float:
    """Of the field of view, in mm3."""
    return float(np.prod(image.shape)) * voxel_volume(image.affine)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values brought linearly to the range from ``low`` to ``high``."""
    least, most = float(values.min()), float(values.max())
    if not most > least:
        raise RegistrationError("An image has the same value everywhere.")
    scaled: np.ndarray = low + (values.astype(np.float64) - least) * ((high - low) / (most - least))
    return scaled


def _cross(vector: np.ndarray) -> np.ndarray:
    """The matrix of the cross product with a vector."""
    x, y, z = vector
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def _turn(vector: np.ndarray) -> np.ndarray:
    """The rotation about a vector by its length in radians."""
    matrix: np.ndarray = Rotation.from_rotvec(vector).as_matrix()
    return matrix


def _left_jacobian(vector: np.ndarray) -> np.ndarray:
    """How a change of the vector turns what its rotation has turned, to first order."""
    angle = float(np.sqrt((vector**2).sum()))
    k = _cross(vector)
    if angle < 1e-4:
        return np.eye(3) + k / 2 + k @ k / 6
    jacobian: np.ndarray = np.eye(3) + (1 - np.cos(angle)) / angle**2 * k + (angle - np.sin(angle)) / angle**3 * k @ k
    return jacobian
