"""The noise around the head in UNIT1 of MP2RAGE: a ratio of two images that are nothing but noise there."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from scipy import ndimage

from thalbids.inference.parts import pieces

NOISY = 0.16  # local standard deviation as a share of the range: 0.2 - 0.29 in noise, 0.02 - 0.08 in tissue
SHARE = 0.5  # of a voxel's surroundings that is noisy outside the head
SURROUNDINGS = 3  # voxels
CLOSED = 5  # voxels over which the outline is closed: bone and air cells are noisy too
SCALP = 2  # voxels by which it is grown before: the scalp is thin, and noise lies on both sides of it
REMOVED = "The noise outside the head was set to 0 ({share:.0f} % of the voxels)."


def without_noise(image: nib.Nifti1Image) -> tuple[nib.Nifti1Image, list[str]]:
    """A UNIT1 image whose surroundings of the head are 0, and what was done in words.

    The range is moved to start above 0, so that 0 is outside alone. An image without noise at its edge (the scanner
    has taken it out) keeps its surroundings.

    Parameters
    ----------
    image : (x, y, z), of any range: scanners give -0.5 to 0.5 or 0 to 4095
    """
    data = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32))
    low, high = (float(value) for value in np.percentile(data, [0.1, 99.9]))
    if not high > low:
        return image, []
    scaled = np.clip((data - low) / (high - low), 0, 1)
    mean = ndimage.uniform_filter(scaled, 3)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(scaled**2, 3) - mean**2, 0))
    noisy = ndimage.uniform_filter((spread > NOISY).astype(np.float32), SURROUNDINGS) > SHARE
    if not _at_the_edge(noisy):
        if low < 0:
            image = nib.Nifti1Image(np.where(data == 0, 0, data - low), image.affine)
        return image, []
    head = np.pad(_large_pieces(~noisy), CLOSED)
    head = ndimage.binary_closing(ndimage.binary_dilation(head, iterations=SCALP), iterations=CLOSED)
    head = np.asarray(ndimage.binary_fill_holes(head))[(slice(CLOSED, -CLOSED),) * 3]
    kept = np.where(head, np.maximum(scaled, 1e-3) * 4095, 0).astype(np.float32)
    return nib.Nifti1Image(kept, image.affine), [REMOVED.format(share=100 * float(1 - head.mean()))]


def _at_the_edge(noisy: np.ndarray) -> bool:
    """Whether at least three of the six outermost planes are mostly noise: a head may touch the others."""
    planes = [noisy.take(index, axis) for axis in range(3) for index in (0, -1)]
    return sum(float(plane.mean()) > SHARE for plane in planes) >= 3


def _large_pieces(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece, and those of a fiftieth of its size: the skull, noisy too, parts scalp and brain."""
    numbered, sizes = pieces(mask)
    return np.asarray((sizes >= max(sizes.max() / 50, 1))[numbered])
