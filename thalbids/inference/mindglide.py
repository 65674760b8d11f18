"""MindGlide 1.3.0 without its own program: the same network, preprocessing and post-processing, on OpenVINO.

RAS order, the box of what is above 0, cubic splines to 1 mm (slice by slice where voxels are three times as long as
wide), z-scores over what is not 0, windows of 128 x 128 x 64 mm, the class with the highest score, back to the voxels
of the scan class by class (linear, one half or more), the largest component. Where only the neighbourhood of a mask is
asked for, only the windows that hold a voxel of it are computed: the labels there are those of the whole head, as far
as the network decides. The largest component cannot be known then: it is taken to be the one that holds the labels
there. Where they belong to several components, the whole head is computed after all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations
from scipy import ndimage

from thalbids.errors import ImageError, MissingToolError
from thalbids.image.grids import bounding_box
from thalbids.inference import checkpoint, windows
from thalbids.inference.network import compiled
from thalbids.inference.unet import Layer, UNet, Up
from thalbids.inference.windows import Box

VERSION = 2  # raised when a change here changes labels
UPSTREAM = "1.3.0"
N_LABELS = 20
WINDOW = (128, 128, 64)
FILTERS = (32, 64, 128, 256, 320, 320)
STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 1))
THICK = 3.0  # longest over shortest voxel side from which slices are resampled one by one
# copies of other entries, and what serves training alone
_ELSEWHERE = ("skip_layers.", "deep_supervision_heads.", "heads.")


@dataclass(frozen=True)
class Prepared:
    """An image ready for the network.

    Attributes
    ----------
    image : float32 (x, y, z), z-scores at 1 mm
    box : where it lies in the image in RAS order
    resampled, thick : whether it has other voxels than the scan; whether slices were resampled one by one
    """

    image: np.ndarray
    box: Box
    resampled: bool
    thick: bool


def shapes() -> dict[str, tuple[int, ...]]:
    """The entries of MindGlide's checkpoint that the network needs, and their shapes."""
    out: dict[str, tuple[int, ...]] = {}
    names = ["input_block", *(f"downsamples.{i}" for i in range(4)), "bottleneck"]
    before = 1
    for name, filters in zip(names, FILTERS, strict=True):
        out |= _block_shapes(name, before, filters)
        before = filters
    for i, (filters, stride) in enumerate(zip(FILTERS[-2::-1], STRIDES[:0:-1], strict=True)):
        out[f"upsamples.{i}.transp_conv.conv.weight"] = (before, filters, *stride)
        out |= _block_shapes(f"upsamples.{i}.conv_block", 2 * filters, filters)
        before = filters
    out["output_block.conv.conv.weight"] = (N_LABELS, before, 1, 1, 1)
    out["output_block.conv.conv.bias"] = (N_LABELS,)
    return out


def _block_shapes(name: str, before: int, after: int) -> dict[str, tuple[int, ...]]:
    out: dict[str, tuple[int, ...]] = {}
    for i, incoming in ((1, before), (2, after)):
        out[f"{name}.conv{i}.conv.weight"] = (after, incoming, 3, 3, 3)
    return out


def check_layout(path: Path) -> None:
    """Raise unless the file is a checkpoint of MindGlide's network.

    Raises
    ------
    MissingToolError
        It is missing or damaged (:func:`thalbids.inference.checkpoint.layout`), or of another network.
    """
    layout, wanted = checkpoint.layout(path), shapes()
    for name, shape in wanted.items():
        if layout.get(name) != shape:
            told = f"its {name} has the shape {layout[name]}, not {shape}" if name in layout else f"it has no {name}"
            raise MissingToolError(f"the checkpoint is not of MindGlide's network: {told}.", _FETCH, path)
    more = next((name for name in layout if name not in wanted and not name.startswith(_ELSEWHERE)), None)
    if more is not None:
        raise MissingToolError(f"the checkpoint is not of MindGlide's network: it has {more}.", _FETCH, path)


_FETCH = "Name MindGlide's own in [tools.mindglide] checkpoint, or fetch it: thalbids fetch mindglide"


def unet(tensors: Mapping[str, np.ndarray]) -> UNet:
    """The network of a checkpoint's tensors."""

    def block(name: str, stride: tuple[int, ...] = (1, 1, 1)) -> tuple[Layer, ...]:
        first, second = (tensors[f"{name}.conv{i}.conv.weight"] for i in (1, 2))
        return Layer(first, stride), Layer(second)

    names = ["input_block", *(f"downsamples.{i}" for i in range(4)), "bottleneck"]
    return UNet(
        tuple(block(name, stride) for name, stride in zip(names, STRIDES, strict=True)),
        tuple(
            Up(tensors[f"upsamples.{i}.transp_conv.conv.weight"], block(f"upsamples.{i}.conv_block")) for i in range(5)
        ),
        tensors["output_block.conv.conv.weight"],
        tensors["output_block.conv.conv.bias"],
    )


class MindGlideNetwork:
    """MindGlide's network: a window (128, 128, 64) of z-scores to scores (class, x, y, z).

    Raises
    ------
    MissingToolError
        As :func:`check_layout`.
    """

    def __init__(self, path: Path, precision: str = "full", threads: int = 1):
        check_layout(path)
        self._compiled = compiled(unet(checkpoint.read(path)).model(WINDOW), precision, threads)

    def __call__(self, window: np.ndarray) -> np.ndarray:
        inputs = [np.ascontiguousarray(window[None, None], np.float32)]
        return np.asarray(self._compiled(inputs, share_outputs=True)[0][0])

    def rest(self) -> None:
        """Give back the memory of the last window; the network stays."""
        self._compiled.release_memory()


@lru_cache(maxsize=1)
def load(path: Path, changed_ns: int, precision: str, threads: int) -> MindGlideNetwork:
    """The network of a checkpoint, made once a process unless the file changes (``changed_ns``)."""
    return MindGlideNetwork(path, precision, threads)


def segment(
    image: nib.Nifti1Image, net: windows.Net, *, around: np.ndarray | None = None, reorient: bool = True,
    keep_largest: bool = True,
) -> np.ndarray:  # fmt: skip
    """MindGlide's labels of an image.

    Parameters
    ----------
    image : 3-D, finite
    net : scores of a window (:class:`Network`)
    around : boolean, on the grid of the image: only the box around it is labelled, the rest is 0; None: everything
    reorient, keep_largest : as MindGlide does

    Returns
    -------
    uint8 (x, y, z) on the grid of the image, 0 to 19

    Raises
    ------
    ImageError
        Nothing of the image is above 0, or it is too small to be resampled.
    """
    affine = image.affine.astype(np.float32).astype(np.float64)  # as it stands in a file
    order = orientations.io_orientation(affine)
    if not reorient:
        order = np.array([[0, 1], [1, 1], [2, 1]])
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(0))[np.argsort(order[:, 0])]
    data = orientations.apply_orientation(np.asarray(image.dataobj, np.float32), order)
    prepared = prepare(data, spacing)
    part = None if around is None else orientations.apply_orientation(around, order)
    labels = _labels(prepared, net, part, data.shape, keep_largest=keep_largest)
    back = orientations.ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), order)
    return np.ascontiguousarray(orientations.apply_orientation(labels, back))


def _labels(
    prepared: Prepared, net: windows.Net, part: np.ndarray | None, shape: tuple[int, ...], *, keep_largest: bool
) -> np.ndarray:
    """Labels (uint8) of an image of this shape, in its box or the part of that box around ``part``."""
    out = np.zeros(shape, np.uint8)
    if part is not None:
        box = _common(bounding_box(part, 1), prepared.box)
        if box is not None:
            out[box] = back(prepared, net, _moved(box, prepared.box))
        if not keep_largest or one_component(out, part):
            return out
        out[:] = 0
    out[prepared.box] = back(prepared, net)
    return largest_component(out) if keep_largest else out


def one_component(labels: np.ndarray, part: np.ndarray) -> bool:
    """Whether all labels inside a part hang together, within what is labelled."""
    components, _ = ndimage.label(labels > 0)
    return len(np.unique(components[part & (components > 0)])) < 2


def largest_component(labels: np.ndarray) -> np.ndarray:
    """Only the largest component of all labels together, face to face; the first of equals."""
    components, n = ndimage.label(labels > 0)
    if n < 2:
        return labels
    return np.where(components == np.bincount(components.ravel())[1:].argmax() + 1, labels, 0).astype(np.uint8)


def prepare(data: np.ndarray, spacing: np.ndarray) -> Prepared:
    """Crop, resample to 1 mm and normalise an image (float32, x, y, z).

    Parameters
    ----------
    spacing : mm; anything but exactly 1, 1, 1 is resampled, as MindGlide does

    Raises
    ------
    ImageError
        As :func:`segment`.
    """
    if not (data > 0).any():
        raise ImageError("no voxel of the image is above 0.", "Look at the image: there is nothing to segment.")
    box = bounding_box(data > 0)
    image = data[box]
    resampled = bool((spacing != 1).any())
    thick = resampled and bool(spacing.max() / spacing.min() >= THICK)
    if resampled:
        shape = tuple((spacing * np.array(image.shape)).astype(int))
        if min(shape) < 1:
            raise ImageError("the image is less than 1 mm wide.", "Give a scan of the whole head.")
        image = _slices(image, shape) if thick else resize(image, shape, 3, "nearest")
    return Prepared(normalise(image), box, resampled, thick)


def normalise(image: np.ndarray) -> np.ndarray:
    """Z-scores (float32) by the mean and SD of what is not 0; 0 stays 0."""
    seen = image != 0
    values = image[seen].astype(np.float64)
    out = np.zeros(image.shape, np.float32)
    out[seen] = (image[seen] - np.float32(values.mean())) / np.float32(values.std() or 1.0)
    return out


def _slices(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    planes = [resize(image[:, :, z], shape[:2], 3, "nearest") for z in range(image.shape[2])]
    return resize(np.stack(planes, -1), shape, 0, "grid-constant")


def resize(image: np.ndarray, shape: tuple[int, ...], order: int, mode: str) -> np.ndarray:
    """An image with another number of voxels in the same box, within the range of its values.

    As ``skimage.transform.resize`` without smoothing: ``scipy.ndimage.zoom`` with ``grid_mode``.
    """
    if image.shape == shape:  # else a spline would leave traces where the image is 0, and 0 is background
        return image
    factors = [1 / (n / m) for n, m in zip(image.shape, shape, strict=True)]
    out = ndimage.zoom(image, factors, order=order, mode=mode, grid_mode=True)
    return np.clip(out, image.min(), image.max()) if order else out


def back(prepared: Prepared, net: windows.Net, box: Box | None = None) -> np.ndarray:
    """Labels (uint8) of a box of the cropped image, in the scan's own voxels; None: of all of it."""
    cropped = tuple(part.stop - part.start for part in prepared.box)
    box = box or (slice(0, cropped[0]), slice(0, cropped[1]), slice(0, cropped[2]))
    if not prepared.resampled:
        return windows.labels(net, N_LABELS, prepared.image, WINDOW, box)
    axes = [_neighbours(n, m)[:, part] for n, m, part in zip(prepared.image.shape, cropped, box, strict=True)]
    if prepared.thick:
        axes[2] = _planes(prepared.image.shape[2], cropped[2])[:, box[2]]
    low = [int(axis[0].min()) for axis in axes]
    x, y, z = (slice(first, int(axis[1].max()) + 1) for first, axis in zip(low, axes, strict=True))
    labels = windows.labels(net, N_LABELS, prepared.image, WINDOW, (x, y, z))
    return vote(labels, [axis - [[first], [first], [0]] for first, axis in zip(low, axes, strict=True)])


def _neighbours(n: int, m: int) -> np.ndarray:
    """Of each of m voxels in the box of n voxels: the voxel before and after its centre, and the share of the second
    (3, m). Beyond the outermost centres the outermost voxel holds.
    """
    at = (np.arange(m) + 0.5) * (n / m) - 0.5
    first = np.floor(at)
    return np.stack([np.clip(first, 0, n - 1), np.clip(first + 1, 0, n - 1), at - first])


def _planes(n: int, m: int) -> np.ndarray:
    """As `_neighbours`, of thick slices: the nearest plane alone."""
    plane = resize(np.arange(n, dtype=np.float64), (m,), 0, "grid-constant")
    return np.stack([plane, plane, np.zeros(m)])


def vote(labels: np.ndarray, axes: list[np.ndarray]) -> np.ndarray:
    """Labels of voxels between others: the first class that has at least half of the weight of linear interpolation,
    0 where none has.

    Parameters
    ----------
    labels : uint8 (x, y, z)
    axes : per axis, for each voxel asked for: the voxel before and after, and the share of the second (3, n)

    Returns
    -------
    uint8 (x, y, z)
    """
    around, shares = [], []
    for corner in np.ndindex(2, 2, 2):
        index = [axis[side].astype(int) for axis, side in zip(axes, corner, strict=True)]
        around.append(labels[np.ix_(*index)])
        weight = [axis[2] if side else 1 - axis[2] for axis, side in zip(axes, corner, strict=True)]
        shares.append((weight[0][:, None, None] * weight[1][:, None]) * weight[2])
    out = around[0].copy()
    mixed = np.zeros(out.shape, bool)
    for other in around[1:]:
        mixed |= other != out
    here = [other[mixed] for other in around]
    weights = [share[mixed] for share in shares]
    chosen = np.zeros(len(here[0]), np.uint8)
    for label in range(N_LABELS - 1, 0, -1):
        total = np.zeros(len(chosen))
        for other, weight in zip(here, weights, strict=True):
            total += np.where(other == label, weight, 0)
        chosen[total >= 0.5] = label
    out[mixed] = chosen
    return out


def _common(a: Box, b: Box) -> Box | None:
    """The box that two boxes share; None where they share no voxel."""
    x, y, z = (slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return (x, y, z) if all(part.start < part.stop for part in (x, y, z)) else None


def _moved(box: Box, into: Box) -> Box:
    x, y, z = (slice(p.start - q.start, p.stop - q.start) for p, q in zip(box, into, strict=True))
    return x, y, z
