"""SynThal: left and right thalamus, brain mask and intracranial volume from one scan of any contrast.

Two small networks that saw only synthetic scans (docs/methods.md). The first looks at the whole head at 3 mm: where the
thalami are, what is brain, what is inside the skull. The second looks at a box of 72 x 72 x 56 mm around the thalami at
1 mm. Both work on grids along the axes of the world, so that the storage order and obliquity of a scan do not matter.
Probabilities, not labels, are brought back to the scan's own grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from thalbids.image.grids import voxel_volume, zooms
from thalbids.inference import network
from thalbids.inference.intensity import normalise

WEIGHTS = Path(__file__).parents[1] / "data" / "synthal"
HEAD_SPACING = 3.0
ROI_SHAPE = (72, 72, 56)
# channels of the two networks (training/maps.py)
HEAD_BRAIN, HEAD_THALAMI = (2, 3, 4, 5), (4, 5)
ROI_LEFT, ROI_RIGHT = 1, 2
BRAIN_MARGIN_MM = 4.0  # brain mask and FreeSurfer's brainmask.mgz agree best so (model card)
ICV_MARGIN_MM = 2.0  # and the intracranial volume with its eTIV
# A scan with less of its non-zero voxels so far from the brain was skull-stripped: 0 to 2 % in stripped scans, two of
# three with a wide rim; 14 to 36 % in three whole heads, also cut to the brain's box and with the background set to 0.
STRIPPED_MM, STRIPPED_OUTSIDE = 15.0, 0.05
FOUND_MM3 = 1500.0  # less soft thalamus than this in the whole head: it was not found
THREADS = 1  # part of the result: with another number of threads sums differ in the fourth digit
RECENTRE_MM = 1.0
MOVES = 5


@dataclass(frozen=True)
class Head:
    """What the whole-head network sees.

    Attributes
    ----------
    brain : uint8 mask (0, 1) on the grid of the scan: brain with the fluid around it, up to the inner skull
    icv_mm3 : volume inside the skull within the field of view
    centre : world position (mm, RAS+) of the middle of both thalami; None when they were not found
    thalami_mm3 : soft volume of the thalami at 3 mm, a rough number to judge `centre` by
    stripped : next to nothing but the brain is left in the scan: it was skull-stripped, and `icv_mm3` is what is left
    """

    brain: np.ndarray
    icv_mm3: float
    centre: np.ndarray | None
    thalami_mm3: float
    stripped: bool = False


@dataclass(frozen=True)
class Thalami:
    """What the second network sees, on the grid of the scan.

    Attributes
    ----------
    left, right : float32 probabilities (x, y, z)
    centre : world position of the middle of the box that was looked at
    diagnostics : ``flip_dice`` (agreement of the mask with that of the mirrored box), ``confidence`` (mean probability
        inside the mask, scaled so that 1 is certain), ``in_view`` (share of the mask that lies inside the scan),
        ``settled`` (the box stopped moving)
    """

    left: np.ndarray
    right: np.ndarray
    centre: np.ndarray
    diagnostics: dict[str, float | bool] = field(default_factory=dict)

    def labels(self) -> np.ndarray:
        """uint8 labels 10 (left) and 49 (right) where both sides together reach one half."""
        out = np.zeros(self.left.shape, np.uint8)
        inside = self.left + self.right >= 0.5
        out[inside] = np.where(self.left[inside] >= self.right[inside], 10, 49)
        return out


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


def sample(
    data: np.ndarray, affine: np.ndarray, origin: np.ndarray, spacing: float, shape: tuple[int, ...], order: int
) -> np.ndarray:
    """Values of a scan on a grid along the world's axes (first voxel at `origin`); 0 outside the scan."""
    grid = np.diag([spacing, spacing, spacing, 1.0])
    grid[:3, 3] = origin
    index = np.linalg.inv(affine) @ grid
    corners = index[:3, :3] @ np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1) + index[:3, 3:]
    # only the part that is needed: spline filtering a whole head takes longer than the network
    low = np.clip(np.floor(corners.min(1)).astype(int) - 8, 0, np.array(data.shape) - 1)
    high = np.clip(np.ceil(corners.max(1)).astype(int) + 9, low + 1, data.shape)
    part = data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    values = ndimage.affine_transform(
        part.astype(np.float32), index[:3, :3], index[:3, 3] - low, output_shape=shape, order=order, mode="nearest"
    )
    values[~inside(index, shape, data.shape)] = 0
    return np.asarray(values)


def inside(index: np.ndarray, shape: tuple[int, ...], limits: tuple[int, ...]) -> np.ndarray:
    """Which voxels of a grid (through `index` to voxels of a scan of size `limits`) lie in the scan's box."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    keep = np.ones(shape, bool)
    for row, n in zip(index[:3], limits, strict=True):
        position = row[0] * axes[0] + row[1] * axes[1] + row[2] * axes[2] + row[3]
        keep &= (position >= -0.5) & (position <= n - 0.5)
    return keep


def head_grid(shape: tuple[int, ...], affine: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """Origin and size of the 3 mm grid along the world's axes that holds the whole scan; sizes are multiples of 8."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in shape])).reshape(3, -1)
    world = affine[:3, :3] @ corners + affine[:3, 3:]
    low, high = world.min(1), world.max(1)
    n = np.ceil((high - low) / HEAD_SPACING)
    size = np.maximum(16, np.ceil(n / 8) * 8)
    origin = (low + high) / 2 - (size - 1) / 2 * HEAD_SPACING
    return origin, tuple(int(v) for v in size)


def see_head(image: nib.Nifti1Image, net: Callable[[np.ndarray], np.ndarray]) -> Head:
    """Run the whole-head network (class docs: :class:`Head`)."""
    data = np.asarray(image.dataobj, dtype=np.float32)
    small, small_affine = average_blocks(data, image.affine, HEAD_SPACING)
    origin, size = head_grid(data.shape, image.affine)
    p = net(normalise(sample(small, small_affine, origin, HEAD_SPACING, size, 1)))
    distance = from_brain(p[list(HEAD_BRAIN)].sum(0))
    part = distance <= BRAIN_MARGIN_MM
    weight = clean(p[list(HEAD_THALAMI)] * part, threshold=0.3).sum(0)
    found = float(weight.sum() * HEAD_SPACING**3)
    centre = None
    if found >= FOUND_MM3:
        centre = np.array(ndimage.center_of_mass(weight)) * HEAD_SPACING + origin
    something, _ = average_blocks((data != 0).astype(np.float32), image.affine, HEAD_SPACING)
    seen = sample(something, small_affine, origin, HEAD_SPACING, size, 1) >= 0.5
    stripped = int((seen & (distance > STRIPPED_MM)).sum()) <= STRIPPED_OUTSIDE * int(seen.sum())
    if stripped:  # the stripping has drawn the border; the network misses up to 15 mm of cortex without a skull around
        brain = fill_holes(largest(data != 0))
        icv = float(brain.sum()) * voxel_volume(image.affine)
    else:
        brain = back(within(distance, BRAIN_MARGIN_MM), origin, HEAD_SPACING, image.shape, image.affine) >= 0.5
        icv = float(within(distance, ICV_MARGIN_MM).sum() * HEAD_SPACING**3)
    return Head(brain.astype(np.uint8), icv, centre, found, stripped)


def from_brain(brain: np.ndarray) -> np.ndarray:
    """Distance (mm, negative inside) from the brain's hull: its largest component with the sulci closed over 9 mm."""
    core = np.pad(largest(ndimage.binary_opening(brain >= 0.5)), 6)
    closed = ndimage.binary_fill_holes(ndimage.binary_closing(core, iterations=3))[6:-6, 6:-6, 6:-6]
    if not closed.any():
        return np.full(brain.shape, np.inf, np.float32)
    distance = ndimage.distance_transform_edt(~closed) - ndimage.distance_transform_edt(closed)
    return np.asarray(ndimage.gaussian_filter(distance * HEAD_SPACING, 0.7), np.float32)


def within(distance: np.ndarray, margin: float) -> np.ndarray:
    """A distance as a membership: 0.5 at the margin, 1 and 0 one voxel to either side."""
    return np.clip((margin - distance) / (2 * HEAD_SPACING) + 0.5, 0, 1).astype(np.float32)


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Everything that the mask encloses; by labelling, which is faster on whole heads than growing from the border."""
    parts, n = ndimage.label(np.pad(~mask, 1, constant_values=True))
    return np.asarray(parts[1:-1, 1:-1, 1:-1] != parts[0, 0, 0]) if n else mask


def largest(mask: np.ndarray) -> np.ndarray:
    """The largest face-connected component (all False stays all False)."""
    labels, n = ndimage.label(mask)
    if n < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def back(p: np.ndarray, origin: np.ndarray, spacing: float, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Probabilities on a world grid brought to a scan's grid; 0 outside.

    Linear, averaged over the extent of larger voxels.
    """
    out = np.zeros(shape, np.float32)
    used = ndimage.find_objects(ndimage.binary_dilation(p > 0.01).astype(np.uint8))
    if not used:
        return out
    p, origin = p[used[0]], origin + spacing * np.array([s.start for s in used[0]])
    to_grid = np.diag([1 / spacing] * 3 + [1.0])
    to_grid[:3, 3] = -origin / spacing
    index = to_grid @ affine
    box = covered(index, p.shape, shape)
    if box is None:
        return out
    start = np.array([s.start for s in box])
    size = tuple(s.stop - s.start for s in box)
    parts = np.maximum(1, np.ceil(np.array(zooms(affine)) / spacing - 0.25)).astype(int)
    total = np.zeros(size, np.float32)
    for offset in np.ndindex(*parts):
        within = (np.array(offset) + 0.5) / parts - 0.5
        shift = index[:3, :3] @ (start + within) + index[:3, 3]
        total += interpolate(p, index[:3, :3], shift, size)
    out[box] = total / parts.prod()
    return out


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
    corners = np.array(np.meshgrid(*[(-1, n) for n in source])).reshape(3, -1)
    inverse = np.linalg.inv(index)
    voxels = inverse[:3, :3] @ corners + inverse[:3, 3:]
    low = np.clip(np.floor(voxels.min(1)).astype(int), 0, shape)
    high = np.clip(np.ceil(voxels.max(1)).astype(int) + 1, 0, shape)
    if (high <= low).any():
        return None
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def see_thalami(
    image: nib.Nifti1Image, centre: np.ndarray, net: Callable[[np.ndarray], np.ndarray], *, flip: bool = True
) -> Thalami:
    """Run the second network around `centre` (world mm), moving the box until it sits on what it finds."""
    data = np.asarray(image.dataobj, dtype=np.float32)
    data, affine = average_blocks(data, image.affine, 1.0)
    half = (np.array(ROI_SHAPE) - 1) / 2
    settled = False
    for _ in range(MOVES):
        origin = centre - half
        x = normalise(sample(data, affine, origin, 1.0, ROI_SHAPE, 3))
        p = net(x)[[ROI_LEFT, ROI_RIGHT]]
        # side by side, because a wide third ventricle leaves the thalami apart
        both = clean(p).sum(0)
        if both.sum() < FOUND_MM3:
            break
        middle = np.array(ndimage.center_of_mass(both)) + origin
        if np.linalg.norm(middle - centre) <= RECENTRE_MM:
            settled = True
            break
        centre = middle
    agreement = 1.0
    if flip:
        mirrored = net(np.ascontiguousarray(x[::-1]))[[ROI_RIGHT, ROI_LEFT], ::-1]
        agreement = dice(p.sum(0) >= 0.5, mirrored.sum(0) >= 0.5)
        p = (p + mirrored) / 2
    p = clean(p)
    left, right = (back(side, origin, 1.0, image.shape, image.affine) for side in p)
    grid = np.eye(4)
    grid[:3, 3] = origin
    seen = inside(np.linalg.inv(affine) @ grid, ROI_SHAPE, data.shape)
    both = p.sum(0)
    mask = both >= 0.5
    certain = float(2 * both[mask].mean() - 1) if mask.any() else 0.0
    diagnostics = {
        "flip_dice": agreement,
        "confidence": certain,
        "in_view": float((seen & mask).sum() / mask.sum()) if mask.any() else 0.0,
        "settled": settled,
    }
    return Thalami(left, right, centre, diagnostics)


def clean(p: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Per side only what hangs together with its largest component; far specks get probability 0."""
    out = np.zeros_like(p)
    for i, side in enumerate(p):
        body = largest(side >= threshold)
        if body.any():
            out[i] = np.where(ndimage.binary_dilation(body, iterations=3), side, 0)
    return out


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice of two boolean arrays; 0 when both are empty."""
    n = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / n if n else 0.0


def networks(precision: str = "full", threads: int = THREADS) -> tuple[network.Network, network.Network]:
    """The whole-head and the thalamus network with the packaged weights."""
    return (
        network.load(WEIGHTS / "head.xml", precision, threads),
        network.load(WEIGHTS / "roi.xml", precision, threads),
    )
