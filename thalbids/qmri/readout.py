"""What maps say inside a mask: mean, median and standard deviation per side, whole and eroded; and of the brain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from thalbids.qmri.plausible import expected
from thalbids.types import LEFT_THALAMUS, RIGHT_THALAMUS

SIDES = {"both": (LEFT_THALAMUS, RIGHT_THALAMUS), "left": (LEFT_THALAMUS,), "right": (RIGHT_THALAMUS,)}
REGIONS = ("whole", "eroded")
FEWEST = 10  # voxels of which a mean is still told
BINS = 100
GREY_LEVELS = 128


@dataclass(frozen=True)
class Readout:
    """The values of one map in one region; NaN where fewer than ``FEWEST`` voxels have one."""

    voxels: int
    undefined: int
    mean: float
    median: float
    sd: float


def read_out(values: np.ndarray, labels: np.ndarray) -> dict[tuple[str, str], Readout]:
    """The values of a map inside a mask with sides, by region and side.

    Parameters
    ----------
    values : the map; voxels that are 0 or not finite are undefined and left out
    labels : left and right thalamus on the same grid

    Notes
    -----
    Each side is eroded on its own, by one voxel across faces: the border with its mixture of tissues goes, also where
    the thalami touch. The standard deviation is that of a sample (n - 1).
    """
    values_of = {}
    box = ndimage.find_objects((labels > 0).astype(np.uint8))
    part = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box[0]) if box else (slice(0, 0),) * labels.ndim
    values, labels = values[part], labels[part]
    for region in REGIONS:
        masks = {label: _region(labels == label, region) for label in SIDES["both"]}
        for side, members in SIDES.items():
            inside = np.logical_or.reduce([masks[label] for label in members])
            values_of[(region, side)] = summary(values[inside])
    return values_of


def _region(mask: np.ndarray, region: str) -> np.ndarray:
    return ndimage.binary_erosion(mask) if region == "eroded" and mask.size else mask


def summary(values: np.ndarray) -> Readout:
    """Mean, median and standard deviation of the voxels that have a value."""
    defined = values[np.isfinite(values) & (values != 0)].astype(np.float64)
    undefined = values.size - defined.size
    if defined.size < FEWEST:
        return Readout(defined.size, undefined, np.nan, np.nan, np.nan)
    return Readout(
        defined.size, undefined, float(defined.mean()), float(np.median(defined)), float(defined.std(ddof=1))
    )


def brain_summary(values: np.ndarray, brain: np.ndarray, ceiling: float | None = None) -> dict[str, Any]:
    """A map inside the brain mask, for the quality control.

    Returns
    -------
    ``undefined`` and ``clamped``: shares of the brain without a value and at the ceiling (None without one);
    percentiles; ``peaks``: where the smoothed histogram has maxima of at least a tenth of the highest, ascending (grey
    and white matter); ``histogram``: counts and edges between the percentiles 0.5 and 99.5.
    """
    inside = values[brain]
    defined = inside[np.isfinite(inside) & (inside != 0)].astype(np.float64)
    if not inside.size or not defined.size:
        return {"undefined": 1.0, "clamped": None, "percentiles": {}, "peaks": [], "histogram": {}}
    low, high = np.percentile(defined, [0.5, 99.5])
    counts, edges = np.histogram(defined, bins=BINS, range=(low, high) if high > low else (low - 0.5, low + 0.5))
    smooth = ndimage.gaussian_filter1d(counts.astype(np.float64), 3.0, mode="constant")
    padded = np.pad(smooth, 1)
    top = (padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:]) & (smooth >= 0.1 * smooth.max())
    centres = (edges[:-1] + edges[1:]) / 2
    return {
        "undefined": 1 - defined.size / inside.size,
        "clamped": None if ceiling is None else float(np.mean(defined >= ceiling * (1 - 1e-6))),
        "percentiles": {str(q): float(np.percentile(defined, q)) for q in (5, 25, 50, 75, 95)},
        "peaks": [float(c) for c in centres[top]],
        "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
    }


def doubts(suffix: str, median: float, field_strength: float | None = None) -> str:
    """Why the median of a thalamus is doubtful, "" when it is not (or nothing is known of such a map)."""
    usual = expected(suffix, field_strength)
    if usual is None or not np.isfinite(median):
        return ""
    low, high = usual.thalamus
    if low <= median <= high:
        return ""
    return f"the median of {suffix} in the thalamus is {median:.3g}, outside {low:g} - {high:g}: check the protocol"


def white_matter(t1w: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """The brightest of three classes of the T1w in the brain (Otsu's thresholds), eroded by one voxel.

    It is enough for a median, and independent of the maps; it is no segmentation.
    """
    inside = t1w[brain & np.isfinite(t1w) & (t1w > 0)]
    if inside.size < FEWEST:
        return np.zeros(brain.shape, dtype=bool)
    top = float(np.percentile(inside, 99.5))
    _, upper = two_thresholds(np.clip(inside, None, top))
    eroded: np.ndarray = ndimage.binary_erosion(brain & (t1w > upper))
    return eroded


def two_thresholds(values: np.ndarray) -> tuple[float, float]:
    """The two thresholds that part a histogram best into three classes (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=GREY_LEVELS)
    centres = (edges[:-1] + edges[1:]) / 2
    n = np.concatenate([[0.0], np.cumsum(counts)])
    total = np.concatenate([[0.0], np.cumsum(counts * centres)])
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.nan_to_num((total[None, :] - total[:, None]) ** 2 / (n[None, :] - n[:, None]))
    index = np.arange(len(n))
    # [i, j]: classes up to i, from i to j, and from j on
    score = between[0, :, None] + between + between[:, -1][None, :]
    score[index[:, None] >= index[None, :]] = -np.inf
    low, high = np.unravel_index(int(np.argmax(score)), score.shape)
    return float(edges[low]), float(edges[high])
