"""Connected parts of masks and probabilities."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Everything that the mask encloses; by labelling, which is faster on whole heads than growing from the border."""
    parts, n = ndimage.label(np.pad(~mask, 1, constant_values=True))
    return np.asarray(parts[1:-1, 1:-1, 1:-1] != parts[0, 0, 0]) if n else mask


def pieces(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The face-connected components, numbered from 1, and how many voxels each number has (none for the outside, 0)."""
    labels, n = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=n + 1)
    sizes[0] = 0
    return labels, sizes


def largest(mask: np.ndarray) -> np.ndarray:
    """The largest face-connected component (all False stays all False)."""
    labels, sizes = pieces(mask)
    return np.asarray(labels == sizes.argmax()) if sizes.any() else mask


def clean(p: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Per side only what hangs together with its largest component; far specks get probability 0."""
    out = np.zeros_like(p)
    for i, side in enumerate(p):
        body = largest(side >= threshold)
        if body.any():
            out[i] = np.where(ndimage.binary_dilation(body, iterations=3), side, 0)
    return out
