"""Boxes in the world that a network looks into: filled from a scan, and what was seen there brought back to the scan.

A grid is a 4 x 4 matrix from voxels of the box to the world (mm, RAS+), as an image's affine is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from thalbids.image.grids import zooms
from thalbids.inference.parts import pieces

SPECK_MM3 = 1000.0  # what is bright and smaller is noise: a brain has a thousand times that
CLOSE = 0.4  # of the range of brightness: fluid of a stripped brain lies a quarter of it above 0
OFFSET = 0.05  # of the range of brightness: air further below 0 is no noise around 0
SAME_CORNERS = 0.75  # of the eight corners that hold the padding: two may hold a mark
STRAY = 0.001  # of what is not 0: less between wholly empty planes and the edge is a mark or a stray voxel, no head
FAINT = 0.1  # of what is bright: three SD of the air's noise up to which it is told from tissue


def grid_around(
    centre: np.ndarray, shape: tuple[int, ...], spacing: float, turn: np.ndarray | None = None
) -> np.ndarray:
    """Grid of a box of `shape` voxels of `spacing` mm in the middle of which lies `centre` (world, mm).

    `turn` (3, 3) holds the box's axes as columns; without it they are the world's.
    """
    grid = np.eye(4)
    grid[:3, :3] = spacing * (np.eye(3) if turn is None else turn)
    grid[:3, 3] = np.asarray(centre) - grid[:3, :3] @ ((np.array(shape) - 1) / 2)
    return grid


def without_padding(data: np.ndarray) -> np.ndarray:
    """The scan with its padding as 0: the value of most corners, where at least a twentieth has it."""
    return _emptied(data, _padding(data)[1])


def without_background(data: np.ndarray) -> np.ndarray:
    """The scan with its padding as 0, counted from 0. Not for images whose values mean something."""
    value, padding = _padding(data)
    offset = _offset(data, value, padding)
    return data - np.float32(offset) if offset else _emptied(data, padding)


def offset_of(data: np.ndarray) -> float:
    """What all values of a scan are counted from, as in CT or by a header; 0 where it is nothing else.

    Told by padding above which the rest begins close, or by air far below 0.
    """
    return _offset(data, *_padding(data))


def _emptied(data: np.ndarray, padding: np.ndarray | None) -> np.ndarray:
    return data if padding is None else np.where(padding, np.float32(0), data)


def _offset(data: np.ndarray, value: float, padding: np.ndarray | None) -> float:
    if padding is None:
        level = float(np.median(_outermost(data)))
        return level if level < 0 and -level > OFFSET * float(np.percentile(data - level, 98)) else 0.0
    if padding.all():
        return 0.0
    low, high = np.percentile(data[~padding], (1, 99))
    return value if 0 <= low - value <= CLOSE * (high - low) else 0.0


def _padding(data: np.ndarray) -> tuple[float, np.ndarray | None]:
    """The value of most corners, as a stray voxel may sit in one, and where it is padding; None where it is not."""
    values, counts = np.unique(data[tuple(slice(None, None, max(1, n - 1)) for n in data.shape)], return_counts=True)
    value = values[counts.argmax()]
    if value == 0 or counts.max() < SAME_CORNERS * counts.sum():
        return 0.0, None
    padding = data == value
    return float(value), padding if padding.mean() >= 0.05 else None


def _outermost(data: np.ndarray) -> np.ndarray:
    """The values of the outermost planes."""
    return np.concatenate([data[(slice(None),) * axis + (end,)].ravel() for axis in range(3) for end in (0, -1)])


def without_air(data: np.ndarray, sizes: Sequence[float]) -> np.ndarray:
    """The scan with faint noise of the air as 0, where that is all that its outermost planes hold mostly.

    ``sizes`` are those of a voxel in mm. Noise beyond `FAINT` of the scan's bright parts is left: what is tissue cannot
    be told by brightness there. Specks are told by their size, as a scalp may be thinner than a slice.
    """
    edge = _outermost(data)
    level = np.median(edge)
    reach = 3 * 1.4826 * float(np.median(np.abs(edge - level)))
    if reach == 0:  # of most scans, whose background is 0; the whole scan need not be gone through
        return data
    away = np.abs(data - level)
    if not 0 < reach < FAINT * float(np.percentile(away, 98)):
        return data
    numbered, voxels = pieces(away > reach)
    return np.where((voxels * np.prod(sizes) >= SPECK_MM3)[numbered], data, np.float32(0))


def without_margin(data: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of the scan between its first and last planes that are not wholly 0, and its affine.

    Stray voxels in the margin, apart from the rest by wholly empty planes, belong to the margin.
    """
    ends = []
    filled = data != 0
    for axis in range(3):
        counts = np.count_nonzero(filled, axis=tuple(a for a in range(3) if a != axis))
        if not counts.any():
            return data, affine
        ends.append(_without_strays(counts))
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [low for low, _ in ends]
    return data[tuple(slice(low, high) for low, high in ends)], moved


def _without_strays(counts: np.ndarray) -> tuple[int, int]:
    """Where a scan begins and ends by its planes' numbers of voxels that are not 0."""
    runs, n = ndimage.label(counts)
    held = ndimage.sum_labels(counts, runs, range(1, n + 1))
    kept = np.flatnonzero(np.isin(runs, 1 + np.flatnonzero(held >= STRAY * counts.sum())))
    return int(kept[0]), int(kept[-1]) + 1


def average_blocks(data: np.ndarray, affine: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean over whole blocks of voxels so that no axis is much finer than `spacing`: a cheap and exact low-pass.

    Returns the smaller array and its affine. Voxels at the far edge that do not fill a block are dropped.
    """
    factors = np.maximum(1, np.floor(spacing / np.array(zooms(affine)) + 0.35)).astype(int)
    factors = np.minimum(factors, data.shape)
    n = np.array(data.shape) // factors
    cut = data[tuple(slice(0, k * f) for k, f in zip(n, factors, strict=True))]
    for axis, f in enumerate(factors):
        if f > 1:
            shape = (*cut.shape[:axis], cut.shape[axis] // f, f, *cut.shape[axis + 1 :])
            cut = cut.reshape(shape).mean(axis + 1, dtype=np.float32)
    scale = np.eye(4)
    scale[:3, :3] = np.diag(factors)
    scale[:3, 3] = (factors - 1) / 2
    return np.ascontiguousarray(cut), affine @ scale


def sample(data: np.ndarray, affine: np.ndarray, grid: np.ndarray, shape: tuple[int, ...], order: int) -> np.ndarray:
    """Values of a scan on a grid of `shape` voxels; 0 outside the scan."""
    index = np.linalg.inv(affine) @ grid
    corners = corners_through(index, shape)
    # only the part that is needed: spline filtering a whole head takes longer than the network
    low = np.clip(np.floor(corners.min(1)).astype(int) - 8, 0, np.array(data.shape) - 1)
    high = np.clip(np.ceil(corners.max(1)).astype(int) + 9, low + 1, data.shape)
    part = data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    values = ndimage.affine_transform(
        part.astype(np.float32), index[:3, :3], index[:3, 3] - low, output_shape=shape, order=order, mode="nearest"
    )
    values[~inside(index, shape, data.shape)] = 0
    return np.asarray(values)


def corners_through(index: np.ndarray, shape: tuple[int, ...], aside: float = 0) -> np.ndarray:
    """Where `index` (4, 4) brings the corners (3, 8) of a grid of `shape` voxels and `aside` voxels around it."""
    corners = np.array(np.meshgrid(*[(-aside, n - 1 + aside) for n in shape])).reshape(3, -1)
    return np.asarray(index[:3, :3] @ corners + index[:3, 3:])


def part(
    data: np.ndarray, affine: np.ndarray, grid: np.ndarray, shape: tuple[int, ...], aside: float
) -> tuple[np.ndarray, np.ndarray]:
    """The part of a scan that a grid of `shape` voxels sees, and `aside` voxels of the grid around it; its affine."""
    box, moved = near(data.shape, affine, grid, shape, aside)
    return data[box], moved


def near(
    size: tuple[int, ...], affine: np.ndarray, grid: np.ndarray, shape: tuple[int, ...], aside: float
) -> tuple[tuple[slice, ...], np.ndarray]:
    """Where in a scan of `size` the part lies that :func:`part` gives; at least one voxel of it. And its affine."""
    corners = corners_through(np.linalg.inv(affine) @ grid, shape, aside)
    low = np.clip(np.floor(corners.min(1)).astype(int), 0, np.array(size) - 1)
    high = np.clip(np.ceil(corners.max(1)).astype(int) + 1, low + 1, size)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ low
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)), moved


def inside(index: np.ndarray, shape: tuple[int, ...], limits: tuple[int, ...]) -> np.ndarray:
    """Which voxels of a grid (through `index` to voxels of a scan of size `limits`) lie in the scan's box."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    keep = np.ones(shape, bool)
    for row, n in zip(index[:3], limits, strict=True):
        position = row[0] * axes[0] + row[1] * axes[1] + row[2] * axes[2] + row[3]
        keep &= (position >= -0.5) & (position <= n - 0.5)
    return keep


def back(p: np.ndarray, grid: np.ndarray, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Probabilities on a grid brought to a scan's voxels; 0 outside."""
    out = np.zeros(shape, np.float32)
    box, values = back_in_box(p, grid, shape, affine)
    out[box] = values
    return out


def back_in_box(
    p: np.ndarray, grid: np.ndarray, shape: tuple[int, ...], affine: np.ndarray
) -> tuple[tuple[slice, ...], np.ndarray]:
    """The part of a scan of size `shape` that probabilities on a grid reach, and their values (float32) there.

    Linear, averaged over the extent of larger voxels.
    """
    nowhere = (slice(0, 0),) * 3, np.zeros((0, 0, 0), np.float32)
    used = ndimage.find_objects(ndimage.binary_dilation(p > 0.01).astype(np.uint8))
    if not used:
        return nowhere
    start = np.eye(4)
    start[:3, 3] = [s.start for s in used[0]]
    p, index = p[used[0]], np.linalg.inv(grid @ start) @ affine
    box = covered(index, p.shape, shape)
    if box is None:
        return nowhere
    start = np.array([s.start for s in box])
    size = tuple(s.stop - s.start for s in box)
    parts = np.maximum(1, np.ceil(np.array(zooms(affine)) / zooms(grid) - 0.25)).astype(int)
    total = np.zeros(size, np.float32)
    for offset in np.ndindex(*parts):
        within = (np.array(offset) + 0.5) / parts - 0.5
        shift = index[:3, :3] @ (start + within) + index[:3, 3]
        total += interpolate(p, index[:3, :3], shift, size)
    return box, (total / parts.prod()).astype(np.float32)


def interpolate(p: np.ndarray, linear: np.ndarray, shift: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Linear interpolation of `p` at ``linear @ voxel + shift``, 0 outside.

    Axis by axis where the grids are parallel, which is ten times faster.
    """
    main = np.abs(linear).argmax(0)
    off = np.abs(linear).copy()
    off[main, [0, 1, 2]] = 0
    # a tilt that moves no voxel by more than a hundredth of a voxel of `p` cannot be seen
    if sorted(main) != [0, 1, 2] or off.max() * max(size) > 0.01:
        return np.asarray(ndimage.affine_transform(p, linear, shift, output_shape=size, order=1, mode="grid-constant"))
    out = p.transpose(main)
    for axis, source in enumerate(main):
        position = linear[source, axis] * np.arange(size[axis]) + shift[source]
        low = np.floor(position).astype(int)
        weight = (position - low).astype(np.float32)
        shape = [-1 if a == axis else 1 for a in range(3)]
        padded = np.pad(out, [(1, 1) if a == axis else (0, 0) for a in range(3)])
        n = out.shape[axis]
        first, second = (np.take(padded, np.clip(k + 1, 0, n + 1), axis) for k in (low, low + 1))
        out = first * (1 - weight).reshape(shape) + second * weight.reshape(shape)
    return out


def covered(index: np.ndarray, source: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, ...] | None:
    """The box of a grid of size `shape` whose voxels can fall into an array of size `source` through `index`."""
    voxels = corners_through(np.linalg.inv(index), source, 1)
    low = np.clip(np.floor(voxels.min(1)).astype(int), 0, shape)
    high = np.clip(np.ceil(voxels.max(1)).astype(int) + 1, 0, shape)
    if (high <= low).any():
        return None
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def world(grid: np.ndarray, voxel: object) -> np.ndarray:
    """World position (mm) of a voxel of a grid."""
    return np.asarray(grid[:3, :3] @ np.asarray(voxel, dtype=float) + grid[:3, 3])


def world_of_all(grid: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """World positions (3, *shape; mm) of all voxels of a grid."""
    return np.asarray(np.einsum("ij,jxyz->ixyz", grid[:3, :3], np.indices(shape)) + grid[:3, 3].reshape(3, 1, 1, 1))
