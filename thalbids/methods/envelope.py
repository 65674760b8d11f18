"""MindGlide's deep grey matter cut by another method's thalamus (paper, 2.6.2), and how much that other method decides.

MindGlide has no label of the thalamus. What is left of its deep grey matter inside an envelope is a thalamus whose
outer limit is partly the envelope's: the numbers of :func:`dependence` say how much.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from thalbids.image.grids import bounding_box, zooms

NEAR_MM = 3.0  # deep grey matter this close to the envelope is "near the thalamus"
_SIX = ndimage.generate_binary_structure(3, 1)


def cut(grey: np.ndarray, envelope: np.ndarray) -> np.ndarray:
    """The envelope's labels where there is deep grey matter, 0 elsewhere.

    Parameters
    ----------
    grey : boolean (x, y, z), deep grey matter
    envelope : uint8 (x, y, z), 10 left and 49 right thalamus
    """
    if grey.shape != envelope.shape:
        raise ValueError("deep grey matter and envelope must share one grid")
    return np.where(grey, envelope, 0).astype(np.uint8)


def surface(mask: np.ndarray) -> np.ndarray:
    """Voxels of a mask with a face on its outside; the edge of the array counts as outside."""
    mask = np.asarray(mask) != 0
    inner: np.ndarray = mask & ~ndimage.binary_erosion(mask, _SIX)
    return inner


def near(inside: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Boolean (x, y, z): the envelope and all within `NEAR_MM` of it, centre to centre.

    Parameters
    ----------
    inside : boolean (x, y, z), the envelope
    affine : (4, 4) voxel to RAS+ mm
    """
    out = np.zeros(inside.shape, dtype=bool)
    sizes = zooms(affine)
    box = bounding_box(inside, int(np.ceil(NEAR_MM / min(sizes))) + 1)
    out[box] = ndimage.distance_transform_edt(~inside[box], sampling=sizes) <= NEAR_MM
    return out


def dependence(grey: np.ndarray, envelope: np.ndarray, affine: np.ndarray) -> dict[str, Any]:
    """How much of the cut mask the envelope decides.

    Parameters
    ----------
    grey, envelope : as in :func:`cut`
    affine : (4, 4) voxel to RAS+ mm

    Returns
    -------
    ``RemovedFraction``: share of the deep grey matter within 3 mm of the envelope (inside it included) that lies
    outside and is removed. ``SurfaceFraction``: share of the mask's surface voxels that are surface voxels of the
    envelope. ``Containment``: share of the mask inside the envelope, 1 by construction. None where a share has no
    denominator.
    """
    grey, inside = np.asarray(grey) != 0, np.asarray(envelope) != 0
    if not inside.any():
        return {"NearMm": NEAR_MM, "RemovedFraction": None, "SurfaceFraction": None, "Containment": None}
    close = grey & near(inside, affine)
    mask = grey & inside
    skin = surface(mask)
    return {
        "NearMm": NEAR_MM,
        "RemovedFraction": _share(close & ~inside, close),
        "SurfaceFraction": _share(skin & surface(inside), skin),
        "Containment": _share(mask & inside, mask),
    }


def _share(part: np.ndarray, whole: np.ndarray) -> float | None:
    n = int(np.count_nonzero(whole))
    return int(np.count_nonzero(part)) / n if n else None
