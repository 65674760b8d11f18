"""How much two images on the same grid tell about each other."""

from __future__ import annotations

import numpy as np

BINS = 64
CLIP_PERCENT = (1.0, 99.0)


def mutual_information(a: np.ndarray, b: np.ndarray, mask: np.ndarray, bins: int = BINS) -> float:
    """Mutual information, in nats, of the intensities of two images inside a mask.

    Each image is clipped at its own 1st and 99th percentile inside the mask (so that a few bright voxels do not
    squeeze the rest into one bin) and cut into ``bins`` equal intervals; the joint histogram p(i, j) gives

        MI = sum p(i, j) ln(p(i, j) / (p(i) p(j)))        (Shannon; Maes 1997, eq. 3; no interpolation into the
        histogram)

    minus the first-order bias of a finite sample, (occupied cells - occupied rows - occupied columns + 1) / 2N (Miller
    1955), so that masks of different size are comparable. Independent images score about 0, identical ones the entropy
    of the image (at most ln 64 = 4.16). The value does not change when an intensity is scaled or shifted.

    Parameters
    ----------
    a, b : arrays of the same shape
    mask : boolean array of that shape; voxels where either image is not known (outside its field of view) must not be
    in it

    Returns
    -------
    MI in nats; nan when the mask has fewer than two voxels; 0 when an image is constant inside it.
    """
    if not a.shape == b.shape == mask.shape:
        raise ValueError(f"shapes differ: {a.shape}, {b.shape}, mask {mask.shape}")
    inside = np.asarray(mask) != 0
    if np.count_nonzero(inside) < 2:
        return float("nan")
    return information(binned(a[inside], bins), binned(b[inside], bins), bins)


def information(a: np.ndarray, b: np.ndarray, bins: int = BINS) -> float:
    """What :func:`mutual_information` gives, of two voxels or more, by their intervals of :func:`binned`."""
    n = len(a)
    joint = np.bincount(a * bins + b, minlength=bins * bins).reshape(bins, bins)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    i, j = np.nonzero(joint)
    count = joint[i, j].astype(np.float64)
    told = float((count * (np.log(count) + np.log(n) - np.log(rows[i]) - np.log(columns[j]))).sum() / n)
    bias = (len(count) - np.count_nonzero(rows) - np.count_nonzero(columns) + 1) / (2 * n)
    return float(told - bias)


def binned(values: np.ndarray, bins: int) -> np.ndarray:
    """Number of the interval of each value, 0 to ``bins`` - 1, as :func:`mutual_information` cuts them."""
    values = np.asarray(values, dtype=np.float32)
    low, high = np.percentile(values, CLIP_PERCENT)
    if not high > low:
        low, high = (
            float(values.min()),
            float(values.max()),
        )  # more than 98 % of one value: a sparse map, do not clip it away
    if not high > low:
        return np.zeros(values.shape, dtype=np.int64)
    scaled = (values - np.float32(low)) * np.float32(bins / (high - low))
    return np.clip(scaled, 0, bins - 1).astype(np.int64)


def correlation(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    """Pearson's r of two images inside a mask, each clipped at its own 1st and 99th percentile there.

    Returns
    -------
    nan when the mask has fewer than two voxels or an image is constant inside it.
    """
    inside = np.asarray(mask) != 0
    if np.count_nonzero(inside) < 2:
        return float("nan")
    x, y = (
        np.clip(v, *np.percentile(v, CLIP_PERCENT))
        for v in (a[inside].astype(np.float64), b[inside].astype(np.float64))
    )
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
