"""Noise of an image, and non-local means (Buades 2005; for MRI, Coupe 2008): averages over places that look alike."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import ndimage

PATCH = 3  # voxels across what is compared
REACH = 2  # voxels to each side in which what looks alike is sought


def noise_sd(data: np.ndarray) -> float:
    """SD of white noise in an image (x, y, z), in its units: the diagonal details of the finest Haar wavelet.

    Their median absolute value where there is signal, times 1.4826 (Coupe 2010); 0 where there is none. Noise that was
    smoothed, by interpolation for instance, is underestimated.
    """
    n = np.array(data.shape) // 2 * 2
    if not n.all():
        return 0.0
    details, level = np.zeros(n // 2), np.zeros(n // 2)
    for corner in itertools.product((0, 1), repeat=3):
        part = data[tuple(slice(c, m, 2) for c, m in zip(corner, n, strict=True))]
        details += (-1) ** sum(corner) * part
        level += part / 8
    signal = level > level.mean() / 2
    return float(1.4826 * np.median(np.abs(details[signal])) / np.sqrt(8)) if signal.any() else 0.0


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
