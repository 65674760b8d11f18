"""Change of the thalami between two visits, by Jacobian integration in the space between them.

Not yet to be used on a study: in the first 12 cases of ``benchmarks/known_change.py`` it was no better than the
difference of two volumes (SD .85 and .75 % at no change, slopes .6 and .55 - 1.35), and its standard error too small.
"""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy import ndimage

from thalbids.errors import ImageError, RegistrationError
from thalbids.longitudinal import jacobian
from thalbids.longitudinal.deformation import Tuning, deform
from thalbids.longitudinal.jacobian import LogChange
from thalbids.longitudinal.visits import Box, Visit, covered, prepare

LEFT, RIGHT = 10, 49
MARGIN_MM = 14.0
FLAT_MM, FADE_MM = 6.0, 8.0  # from the thalami: what counts in full, and over which distance it fades out
LEAST_SEEN = 0.95


@dataclass(frozen=True)
class Seen:
    """What is known of a visit: the T1w, labels 10 and 49 on its grid, and mm of the mean space to mm of the visit."""

    image: nib.Nifti1Image
    labels: np.ndarray
    matrix: np.ndarray


@dataclass(frozen=True)
class Change:
    """Change from the first to the second visit.

    Attributes
    ----------
    both, left, right : of the volume
    noise : SD of what is left of the images' difference; thalamus is 1
    least, most : smallest and largest determinant in the thalami, at either visit
    """

    both: LogChange
    left: LogChange
    right: LogChange
    noise: float
    least: float
    most: float


def measure(first: Seen, second: Seen, tuning: Tuning | None = None) -> Change:
    """By how much the thalami changed; swapping the visits gives exactly the negative logarithms.

    Raises
    ------
    ImageError
        A visit has no mask, or its field of view does not reach around the thalami.
    RegistrationError
        The deformation folds: the visits do not show the same person, or differ too much.
    """
    tuning = tuning or Tuning()
    visits = [prepare(seen.image, seen.matrix, tuning.smoothing, 1 / _level(seen)) for seen in (first, second)]
    box = box_of(first, second)
    points = box.points()
    left, right = sides_of(first, second, points, None)
    window = _window(left + right, visits, points)
    found = deform(visits[0], visits[1], box, window, tuning)
    left, right = sides_of(first, second, points, found.displacement())
    inside = (left + right) >= 0.5
    values = np.concatenate([d[inside] for d in jacobian.determinants(found)])
    if values.min() <= 0:
        raise RegistrationError("The deformation between the two visits folds: they differ too much.")
    return Change(
        jacobian.integrate(found, left + right),
        jacobian.integrate(found, left),
        jacobian.integrate(found, right),
        found.noise,
        float(values.min()),
        float(values.max()),
    )


def _level(seen: Seen) -> float:
    """The thalami's median intensity."""
    inside = np.isin(seen.labels, (LEFT, RIGHT))
    if not all((seen.labels == side).any() for side in (LEFT, RIGHT)):
        raise ImageError("A visit has no mask of both thalami.")
    level = float(np.median(np.asarray(seen.image.dataobj)[inside]))
    if not level > 0:
        raise ImageError("The thalami have no positive intensity.")
    return level


def box_of(first: Seen, second: Seen) -> Box:
    """Both visits' thalami with a margin, in whole mm of the mean space."""
    ends = []
    for seen in (first, second):
        voxels = np.argwhere(np.isin(seen.labels, (LEFT, RIGHT)))
        back = np.linalg.inv(seen.matrix) @ seen.image.affine
        ends.append(voxels @ back[:3, :3].T + back[:3, 3])
    low = np.floor(np.minimum(*(e.min(0) for e in ends)) - MARGIN_MM)
    high = np.ceil(np.maximum(*(e.max(0) for e in ends)) + MARGIN_MM)
    return Box(tuple(int(n) + 1 for n in high - low), 1.0, low)


def sides_of(first: Seen, second: Seen, points: np.ndarray, displacement: np.ndarray | None) -> list[np.ndarray]:
    """Left and right mask (x, y, z; 0 - 1) between the visits: the mean of both, each brought half the way."""
    half = 0.0 if displacement is None else displacement / 2
    sides = []
    for label in (LEFT, RIGHT):
        one, two = (_soft(seen, label, points + sign * half) for seen, sign in ((first, -1), (second, 1)))
        sides.append((one + two) / 2)
    return sides


def _soft(seen: Seen, label: int, points: np.ndarray) -> np.ndarray:
    index = np.linalg.inv(seen.image.affine) @ seen.matrix
    position = np.tensordot(index[:3, :3], points, 1) + index[:3, 3].reshape(3, 1, 1, 1)
    return np.asarray(ndimage.map_coordinates((seen.labels == label).astype(np.float32), position, order=1))


def _window(mask: np.ndarray, visits: list[Visit], points: np.ndarray) -> np.ndarray:
    """Weights (x, y, z): 1 near the thalami, fading out; 0 where a visit shows nothing."""
    distance = ndimage.distance_transform_edt(mask < 0.5)
    window = np.clip((FLAT_MM + FADE_MM - distance) / FADE_MM, 0, 1)
    seen = covered(visits[0], points) & covered(visits[1], points)
    if (window * seen).sum() < LEAST_SEEN * window.sum():
        raise ImageError("The field of view of a visit does not reach around the thalami.")
    return np.asarray(window * seen)
