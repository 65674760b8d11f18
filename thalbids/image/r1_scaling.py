"""Intensity changes of registered maps."""

from __future__ import annotations

import numpy as np

from thalbids.errors import ImageError

R1_PERCENTILE = 99.0  # paper, 2.5.2
R1_MAXIMUM = 1000.0


def scale_r1(
    data: np.ndarray, mask: np.ndarray, *, from_smallest: bool = False
) -> tuple[np.ndarray, dict[str, float | int]]:
    """Clip an R1 map at its 99th percentile in the brain and rescale it to 0 - 1000 (paper, 2.5.2).

    Values below 0 (spline overshoot, noise) and values that are not finite become 0 first. Inside the mask the map is
    clipped at the 99th percentile of the masked values and rescaled linearly from [0, percentile] to [0, 1000];
    outside it is 0. Starting the range at 0 and not at the smallest value keeps ratios of R1, so the mapping is one
    multiplication. The order of values is kept.

    Parameters
    ----------
    data : R1 map; any unit, as only ratios matter
    mask : boolean array of the same shape, the brain
    from_smallest : begin the range at the smallest value in the mask, the paper's words taken literally

    Returns
    -------
    float32 array, and the parameters for its sidecar: ``Percentile``, ``Minimum`` (the R1 that became 0) and
    ``Maximum`` (the R1 that became 1000) in the unit of the map, ``Factor``, ``ClippedVoxels`` and ``NegativeVoxels``
    (inside the mask).

    Raises
    ------
    ImageError
        When the mask is empty or the map is 0 in 99 % of it: there is nothing to scale.
    """
    if data.shape != mask.shape:
        raise ValueError(f"shapes differ: {data.shape} and mask {mask.shape}")
    inside = np.asarray(mask) != 0
    values = np.asarray(data)[inside].astype(np.float64)
    if not values.size:
        raise ImageError("The brain mask is empty.", "Check the brain mask: R1 is scaled inside it.")
    negative = int(np.count_nonzero(values < 0))
    values = np.maximum(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), 0.0)
    maximum = float(np.percentile(values, R1_PERCENTILE))
    if maximum <= 0:
        raise ImageError("The R1 map is 0 inside the brain mask.", "Check that the map covers the brain.")
    minimum = float(values.min()) if from_smallest else 0.0
    if not maximum > minimum:
        raise ImageError("The R1 map has one value inside the brain mask.", "Check that the map covers the brain.")
    factor = R1_MAXIMUM / (maximum - minimum)
    scaled = np.zeros(data.shape, dtype=np.float32)
    scaled[inside] = (np.minimum(values, maximum) - minimum) * factor
    clipped = int(np.count_nonzero(values > maximum))
    return scaled, {
        "Percentile": R1_PERCENTILE,
        "Minimum": minimum,
        "Maximum": maximum,
        "Factor": factor,
        "ClippedVoxels": clipped,
        "NegativeVoxels": negative,
    }
