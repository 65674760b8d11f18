"""Whether a scan holds what a scan holds: every voxel and slice, shades of grey up to its brightest tissue, both sides
alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from thalbids.image.grids import bounding_box
from thalbids.image.noise import noise_sd
from thalbids.types import LEFT_THALAMUS, RIGHT_THALAMUS

EVERY = 7  # voxels of which one is looked at for its value: a brain has hundreds of thousands
THIN = 3  # rows of which one is looked at for its differences
BEYOND = 3  # slices above and below a mask in which one that holds more tells that the scan goes on
AROUND = 19  # of 26 neighbours: more than a flat border (9), a lost slice (18) or the edge of a grid (17) leaves
PASSES = 3  # of filling: a second and a third one fill gaps that touch each other
FINE_MM, COARSE_MM = 2.0, 6.0  # over which distances an image is compared with itself
STRAY = 0.001  # of a slice: so few voxels of another value do not make it one that was scanned


def fill_gaps(data: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Fill scattered voxels without a value by the mean of their neighbours that have one, in place.

    A voxel is filled where at least `AROUND` of its 26 neighbours have a value, so background, slices and blocks
    without values stay as they are.

    Parameters
    ----------
    data : (x, y, z), 0 where a value is missing, C-contiguous
    missing : bool (x, y, z)

    Returns
    -------
    Flat indices of the voxels that were filled.

    Examples
    --------
    >>> data = np.ones((5, 5, 5))
    >>> data[2, 2, 2] = 0
    >>> fill_gaps(data, data == 0).tolist(), bool(np.all(data == 1))
    ([62], True)
    """
    values, known = data.reshape(-1), ~missing
    strides = np.array([data.shape[1] * data.shape[2], data.shape[2], 1])
    offsets = [int(np.dot(step, strides)) for step in itertools.product((-1, 0, 1), repeat=3) if any(step)]
    filled = [np.empty(0, np.int64)]
    for _ in range(PASSES):
        counts = _of_27(known)
        gaps = np.flatnonzero((counts >= AROUND) & ~known)
        if not gaps.size:
            break
        total = sum((values[gaps + offset] for offset in offsets), np.zeros(gaps.size))
        values[gaps] = total / counts.reshape(-1)[gaps]
        known.reshape(-1)[gaps] = True
        filled.append(gaps)
    return np.concatenate(filled)


def _of_27(known: np.ndarray) -> np.ndarray:
    """How many voxels of the block of 3 x 3 x 3 about each are known (uint8); none beyond the grid."""
    counts = known.astype(np.uint8)
    for axis in range(3):
        planes, sums = np.moveaxis(counts, axis, 0), counts.copy()
        across = np.moveaxis(sums, axis, 0)
        across[1:] += planes[:-1]
        across[:-1] += planes[1:]
        counts = sums
    return counts


def empty_slices(data: np.ndarray, inside: np.ndarray) -> int:
    """How many slices of a mask hold one value, but for stray voxels, and lie between others that hold more.

    One at the end of the mask is lost, too, where the scan goes on behind it: within `BEYOND` slices.

    Parameters
    ----------
    data : (x, y, z), as it was scanned: a slice that is lost is gone when the image is resampled
    inside : a mask of the brain (x, y, z)

    Examples
    --------
    >>> data = np.random.default_rng(1).random((9, 9, 9))
    >>> data[:, :, 4] = 0
    >>> empty_slices(data, data > 0), empty_slices(data[:, :, 4:], data[:, :, 4:] > 0)
    (1, 0)
    """
    count = 0
    for axis in range(3):
        planes = np.moveaxis(data, axis, 0)
        through = np.flatnonzero((inside != 0).any(tuple(a for a in range(3) if a != axis)))
        if not through.size:
            continue
        near = range(max(0, through[0] - BEYOND), min(len(planes), through[-1] + BEYOND + 1))
        filled = [i for i in near if not _one_value(planes[i])]
        if filled:
            between = range(max(filled[0], through[0]), min(filled[-1], through[-1]) + 1)
            count += len(set(between) - set(filled))
    return count


def _one_value(plane: np.ndarray) -> bool:
    """Whether a slice holds one value, but for stray voxels."""
    some = plane[::EVERY, ::EVERY].ravel()
    value = np.partition(some, some.size // 2)[some.size // 2]
    strays = max(1, int(STRAY * plane.size))
    return all(int(np.count_nonzero(part != value)) <= strays for part in (some, plane))


def grey_values(data: np.ndarray, inside: np.ndarray) -> int | None:
    """Over how many values the voxels of a mask of the brain are spread (1 over the sum of the squared share of each
    value, Simpson 1949): a few that are brighter than all others do not count; None where the mask is empty.

    Examples
    --------
    >>> brain = np.ones((20, 20, 20))
    >>> grey_values(np.indices(brain.shape)[0] // 5, brain), grey_values(brain, 0 * brain)
    (4, None)
    """
    counts = np.unique(data[np.asarray(inside) != 0][::EVERY], return_counts=True)[1]
    return round(1 / float(((counts / counts.sum()) ** 2).sum())) if counts.size else None


def smoothness(data: np.ndarray, inside: np.ndarray, zooms: Sequence[float]) -> float | None:
    """How blurred an image is: the exponent with which the mean squared difference of two voxels of the brain grows
    between `FINE_MM` and `COARSE_MM` of distance (structure function, Kolmogorov 1941), white noise taken off.

    0 where near voxels differ as much as distant ones, 2 where the image is a ramp at this scale. That of the most
    blurred axis with voxels of at most `FINE_MM` (thick slices may have been interpolated); None without one, where a
    difference is noise for the most part, or in no mask.

    Parameters
    ----------
    data : (x, y, z), as it was scanned
    inside : a mask of the brain (x, y, z)
    zooms : mm, of the three axes

    Examples
    --------
    >>> ramp = np.indices((20, 20, 20)).sum(0)
    >>> smoothness(ramp, ramp >= 0, (1, 1, 1)), smoothness(ramp, ramp >= 0, (3, 3, 3))
    (2.0, None)
    """
    if not inside.any():
        return None
    box = bounding_box(inside)
    values, brain = data[box].astype(np.float32), inside[box] != 0
    noise = 2 * (noise_sd(values, brain) or 0.0) ** 2
    exponents = []
    for axis in np.flatnonzero(np.asarray(zooms) <= FINE_MM):
        steps = [round(mm / zooms[axis]) for mm in (FINE_MM, COARSE_MM)]
        near, far = (_squared_difference(values, brain, axis, step) for step in steps)
        if near > 2 * noise and far > noise:
            exponents.append(np.log((far - noise) / (near - noise)) / np.log(steps[1] / steps[0]))
    return float(max(exponents)) if exponents else None


def _squared_difference(values: np.ndarray, brain: np.ndarray, axis: int, step: int) -> float:
    """Mean squared difference of voxels of the brain that lie `step` apart along an axis; NaN where none do."""
    along = (slice(None), slice(None, None, THIN), slice(None))  # every third row is enough
    values, brain = (np.moveaxis(array, axis, 0)[along] for array in (values, brain))
    difference = (values[step:] - values[:-step])[brain[step:] & brain[:-step]]
    return float(np.mean(np.square(difference, dtype=np.float64))) if difference.size else np.nan


def clipped_share(data: np.ndarray, inside: np.ndarray) -> float | None:
    """Share of a mask of the brain that holds its highest value; None where the mask is empty.

    The highest value is the percentile 99.9, less a thousandth: a few voxels above a plateau do not hide it.

    Examples
    --------
    >>> ramp = np.arange(1000.0).reshape(10, 10, 10)
    >>> clipped_share(ramp, ramp >= 0), clipped_share(np.minimum(ramp, 750), ramp >= 0)
    (0.002, 0.25)
    """
    values = data[np.asarray(inside) != 0]
    if not values.size:
        return None
    highest = float(np.percentile(values, 99.9))
    return float((values >= highest - 0.001 * abs(highest)).mean())


def brightness_asymmetry(data: np.ndarray, labels: np.ndarray) -> float | None:
    """2 (L - R) / (L + R) of the medians of a scan in the left and the right thalamus, as the asymmetry of volumes.

    Parameters
    ----------
    data : (x, y, z), counted from 0
    labels : (x, y, z) 10 left, 49 right

    Returns
    -------
    None without one of them, and where the sum is not positive.

    Examples
    --------
    >>> labels = np.repeat([10, 49], 4).reshape(2, 2, 2)
    >>> brightness_asymmetry(np.where(labels == 10, 90.0, 60.0), labels)
    0.4
    """
    sides = [data[labels == side] for side in (LEFT_THALAMUS, RIGHT_THALAMUS)]
    if not all(side.size for side in sides):
        return None
    left, right = (float(np.median(side)) for side in sides)
    return 2 * (left - right) / (left + right) if left + right > 0 else None
