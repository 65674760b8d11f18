"""Connected components and sides of label maps."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_RANK = {6: 1, 18: 2, 26: 3}  # neighbours -> scipy's connectivity


def components(mask: np.ndarray, connectivity: int = 26) -> tuple[np.ndarray, tuple[int, ...]]:
    """Number the connected components of a mask by size.

    Parameters
    ----------
    mask : 3-D array, every value but 0 belongs to the mask
    connectivity : 6, 18 or 26 neighbours (26: voxels that touch at a corner are connected, as in FSL's cluster)

    Returns
    -------
    Array of int32 in which the largest component is 1, the next 2 ... (of equal ones the first in array order), and
    the number of voxels of each, largest first.
    """
    structure = ndimage.generate_binary_structure(3, _RANK[connectivity])
    labelled, n = ndimage.label(np.asarray(mask) != 0, structure=structure)
    sizes = np.bincount(labelled.ravel(), minlength=n + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    rank = np.zeros(n + 1, dtype=np.int32)
    rank[order + 1] = np.arange(1, n + 1)
    return rank[labelled], tuple(int(size) for size in sizes[order])


def largest_component(mask: np.ndarray, connectivity: int = 26) -> np.ndarray:
    """The largest connected component as a boolean array; all False for an empty mask."""
    largest: np.ndarray = components(mask, connectivity)[0] == 1
    return largest
