"""Noise of an image, measured and removed.

Non-local means (Buades 2005; for MRI, Coupe 2008) average over places that look alike.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy import ndimage

PATCH = 3  # voxels across what is compared
REACH = 2  # voxels to each side in which what looks alike is sought
CORNERS = tuple(itertools.product((0, 1), repeat=3))  # of a block of 2 x 2 x 2 voxels


def noise_sd(data: np.ndarray, inside: np.ndarray | None = None) -> float | None:
    """SD of white noise in an image, in its units: the diagonal details of the finest Haar wavelet.

    Their median absolute value, times 1.4826 (Coupe 2010), over blocks of 2 x 2 x 2 voxels; None where no block is
    to be judged by. Noise that was smoothed, by interpolation for instance, is underestimated.

    Parameters
    ----------
    data : (x, y, z)
    inside : a mask (x, y, z) of where to judge, by blocks that lie in it wholly; without it, blocks brighter than half
        of the mean are, which tells tissue from background where the noise is not as bright as tissue
    """
    n = np.array(data.shape) // 2 * 2
    blocks = [tuple(slice(c, m, 2) for c, m in zip(corner, n, strict=True)) for corner in CORNERS]
    details = sum(
        ((-1) ** sum(corner) * data[block] for corner, block in zip(CORNERS, blocks, strict=True)), np.zeros(n // 2)
    )
    if inside is None:
        level = np.mean([data[block] for block in blocks], 0)
        judged = level > (level.mean() / 2 if level.size else 0)
    else:
        judged = np.all([inside[block] != 0 for block in blocks], 0)
    return float(1.4826 * np.median(np.abs(details[judged])) / np.sqrt(8)) if judged.any() else None


def noise_share(data: np.ndarray, inside: np.ndarray) -> float | None:
    """SD of the noise as a share of the median inside a brain mask (x, y, z); None where it is not positive."""
    sd = noise_sd(data, inside)
    middle = float(np.median(data[np.asarray(inside) != 0])) if sd is not None else 0.0
    return sd / middle if sd is not None and middle > 0 else None


def non_local_means(data: np.ndarray, sd: float) -> np.ndarray:
    """The image (x, y, z) without white noise of SD `sd`: each voxel the weighted mean of those around it.

    The weight of another voxel falls with the mean squared difference d of the patches about both, less what noise
    alone makes of it: ``exp(-max(d - 2 sd^2, 0) / sd^2)`` (Buades 2011, equation 3, h = sd). As float32.
    """
    image = data.astype(np.float32)
    if sd <= 0:
        return image
    total, weights = image.copy(), np.ones_like(image)
    offsets = [o for o in itertools.product(range(-REACH, REACH + 1), repeat=3) if o > (0, 0, 0)]
    for offset in offsets:  # each pair of voxels once, for both
        here = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, image.shape, strict=True))
        there = tuple(slice(max(0, o), n - max(0, -o)) for o, n in zip(offset, image.shape, strict=True))
        a, b = image[here], image[there]
        apart = ndimage.uniform_filter((a - b) ** 2, PATCH, mode="nearest")
        weight = np.exp(-np.maximum(apart / np.float32(sd**2) - 2, 0))
        total[here] += weight * b
        total[there] += weight * a
        weights[here] += weight
        weights[there] += weight
    return np.asarray(total / weights)
