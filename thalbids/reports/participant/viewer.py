"""The interactive viewer of the page: NiiVue (vendored) and small volumes around the thalami, embedded as text.

A page that is opened from a file may load no module and fetch nothing, so everything that the viewer needs is in the
page: the program, compressed, and each volume as a compressed NIfTI file. The browser unpacks them when the reader
opens the viewer, not before.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import from_matvec
from scipy import ndimage

from thalbids.image.grids import zooms
from thalbids.reports.views import Focus, Mask, Volume

VERSION = "0.69.0"  # of NiiVue, see assets/niivue/README.md
BOX_MM = (72.0, 62.0, 52.0)  # left-right, front-back, up-down
FINEST_MM = 1.0  # finer grids are resampled: a grid of 0.5 mm would be eight times as large
LEAST_SHARE = 0.02  # of a probability that is shown
SAME_VOXEL = 1e-6  # of a voxel: rounding of affines
GREYS = 63  # levels of an image: on a screen hardly told from 255, and a third smaller


@cache
def program() -> str:
    """NiiVue, gzip and base64."""
    packed = resources.files("thalbids.reports").joinpath("assets", "niivue", "niivue.umd.js.gz").read_bytes()
    return base64.b64encode(packed).decode()


def content(
    images: Mapping[str, Volume],
    masks: Sequence[Mask],
    focus: Focus,
    shown: str,
    probabilities: Mapping[str, Volume] | None = None,
) -> dict[str, Any]:
    """What the viewer of one session shows.

    Parameters
    ----------
    images : label for people -> image; the first is on top when the viewer opens
    masks : all of the session; empty ones are left out
    focus : where the thalami are
    shown : key of the mask that is visible when the viewer opens
    probabilities : label for people -> probability of the thalamus (0 to 1) at each voxel

    Returns
    -------
    ``images``: label, range of intensities, data; ``masks``: key, label, colour, data, whether it is ticked;
    ``maps``: label, range that is shown, data.
    """
    first = next(iter(images.values()))
    shape, affine = crop_grid(first.affine, focus.centre)
    out: dict[str, Any] = {"images": [], "masks": [], "maps": []}
    for label, image in images.items():
        values = on_grid(image, shape, affine, order=1)
        low, high = _range(values)
        data = np.clip(np.rint((values - low) * (GREYS / (high - low))), 0, GREYS).astype(np.uint8)
        slope = (high - low) / GREYS
        out["images"].append(
            {"label": label, "low": low, "high": high, "data": nifti(data, affine, slope, low)}
        )  # fmt: skip
    for mask in masks:
        if mask.volume.data.any():
            data = (on_grid(mask.volume, shape, affine, order=1) >= 0.5).astype(np.uint8)
            entry = {"key": mask.key, "label": mask.label, "colour": mask.style.colour, "distrusted": mask.distrusted}
            out["masks"].append({**entry, "shown": mask.key == shown, "data": nifti(data, affine)})
    for label, share in (probabilities or {}).items():
        data = np.rint(np.clip(on_grid(share, shape, affine, order=1), 0, 1) * GREYS).astype(np.uint8)
        out["maps"].append({"label": label, "low": LEAST_SHARE, "high": 1.0, "data": nifti(data, affine, 1 / GREYS)})
    return out


def crop_grid(affine: np.ndarray, centre: Sequence[float]) -> tuple[tuple[int, int, int], np.ndarray]:
    """A grid along the axes of another, around a point: its voxels where they are not finer than ``FINEST_MM``.

    Returns
    -------
    Shape, and the affine (voxel to RAS+ mm). Where an axis keeps its voxel size, centres of voxels stay where they are.
    """
    size = np.array(zooms(affine))
    step = np.maximum(size, FINEST_MM)
    shares = (affine[:3, :3] / size) ** 2  # how much of each axis is left-right, front-back, up-down; they sum to 1
    extent = np.array(BOX_MM) @ shares
    shape = np.maximum(1, np.rint(extent / step)).astype(int)
    middle = np.linalg.inv(affine) @ [*centre, 1.0]
    start = middle[:3] - (shape - 1) / 2 * step / size
    start = np.where(step == size, np.rint(start), start)
    out = affine @ np.diag([*(step / size), 1.0])
    out[:3, 3] = (affine @ [*start, 1.0])[:3]
    x, y, z = (int(n) for n in shape)
    return (x, y, z), out


def on_grid(volume: Volume, shape: tuple[int, int, int], affine: np.ndarray, order: int) -> np.ndarray:
    """Values of a volume at the voxel centres of a grid; 0 outside; float32."""
    mapping = np.linalg.inv(volume.affine) @ affine
    start = np.rint(mapping[:3, 3]).astype(int)
    if np.abs(mapping - from_matvec(np.eye(3), start)).max() < SAME_VOXEL:
        return _cut(volume.data, start, shape)
    data = np.asarray(volume.data, np.float32)
    return np.asarray(
        ndimage.affine_transform(
            data, mapping[:3, :3], mapping[:3, 3], output_shape=shape, order=order, mode="grid-constant", cval=0.0
        )
    )


def _cut(data: np.ndarray, start: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The voxels of an image from ``start`` on, 0 outside; float32."""
    out = np.zeros(shape, np.float32)
    low = np.clip(start, 0, data.shape)
    high = np.clip(start + shape, low, data.shape)
    here, there = (tuple(slice(a, b) for a, b in zip(low - by, high - by, strict=True)) for by in (0, start))
    if (high > low).all():
        out[there] = data[here]
    return out


def nifti(data: np.ndarray, affine: np.ndarray, slope: float = 1.0, intercept: float = 0.0) -> str:
    """A NIfTI-1 file of these bytes (uint8), gzip and base64; the same text for the same data."""
    header = nib.Nifti1Header()
    header.set_data_shape(data.shape)
    header.set_data_dtype(np.uint8)
    header.set_sform(affine, code=1)
    header.set_xyzt_units("mm")
    header.set_zooms(zooms(affine))
    header.set_slope_inter(slope, intercept)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    raw = header.binaryblock + bytes(4) + data.tobytes(order="F")
    return base64.b64encode(gzip.compress(raw, 9, mtime=0)).decode()


def _range(values: np.ndarray) -> tuple[float, float]:
    """Intensities shown as black and white."""
    flat = values[values != 0]
    low, high = np.quantile(flat, [0.005, 0.997]) if flat.size else (0.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1.0
