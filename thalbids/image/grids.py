"""Voxel grids in the world: are two the same, how large is a voxel, and resampling from one to another."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np
from scipy import ndimage

from thalbids.errors import ImageError

SAME_GRID_MM = 0.05  # rounding of headers (float32, quaternions) stays below, the smallest real shift of interest above


def same_grid(a: nib.Nifti1Image, b: nib.Nifti1Image, tol: float = SAME_GRID_MM) -> bool:
    """True when both images have the same shape and every voxel in the same place (largest distance at a corner <=
    ``tol`` mm).
    """
    if a.shape[:3] != b.shape[:3]:
        return False
    corners = _corners(a.shape[:3])
    return bool(np.linalg.norm((a.affine - b.affine)[:3] @ corners, axis=0).max() <= tol)


def voxel_volume(affine: np.ndarray) -> float:
    """Volume of a voxel in mm^3: the absolute determinant of the affine, right for oblique and sheared grids too."""
    return float(abs(np.linalg.det(np.asarray(affine, dtype=np.float64)[:3, :3])))


def zooms(affine: np.ndarray) -> tuple[float, float, float]:
    """Voxel sizes (mm) along the three voxel axes."""
    x, y, z = np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)
    return float(x), float(y), float(z)


def resample_to(
    img: nib.Nifti1Image,
    reference: nib.Nifti1Image,
    order: int = 1,
    fill: float = 0.0,
    matrix: np.ndarray | None = None,
) -> nib.Nifti1Image:
    """Sample an image at the voxel centres of a reference grid, through world space, in one interpolation.

    The field of view of ``img`` is the box of its voxels, half a voxel beyond the outermost centres: there the
    outermost value holds, beyond it ``fill``. Nothing is smoothed: going to a much coarser grid aliases, smooth before
    if that matters.

    Parameters
    ----------
    img : 3-D image
    reference : 3-D image; only its shape and affine are used
    order : 0 nearest neighbour (keeps the data type), 1 linear, 3 cubic B-spline (interpolating; may overshoot)
    fill : value outside the field of view of ``img``
    matrix : (4, 4) maps RAS+ mm of the reference to RAS+ mm of ``img``; identity when absent

    Returns
    -------
    Image with exactly the shape and affine of ``reference``; float32 for order 1 and 3.
    """
    if order not in (0, 1, 3):
        raise ValueError(f"order is 0, 1 or 3, not {order}")
    data = np.asanyarray(img.dataobj)
    if order > 0 or data.dtype == bool:
        data = data.astype(np.float32 if order > 0 else np.uint8)
    index = voxel_mapping(img, reference, matrix)
    shape = reference.shape[:3]
    if img.shape == shape and np.abs(index - np.eye(4)).max() < 1e-9:
        return nib.Nifti1Image(data.copy(), reference.affine)
    # mode "constant" would lose the outermost half voxel, and whole planes to rounding: clamp, then cut at the box
    if order == 0 and fill == 0:  # masks are 0 nearly everywhere
        part = _reached(data, index, shape)
        values = np.zeros(shape, data.dtype)
        values[part] = _nearest(data, index, part)
    else:
        values = ndimage.affine_transform(
            data, index[:3, :3], index[:3, 3], output_shape=shape, order=order, mode="nearest"
        )
    inside = coverage(img, reference, matrix)
    if not inside.all():
        values[~inside] = fill
    return nib.Nifti1Image(values, reference.affine)


def _reached(data: np.ndarray, index: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Which part of a grid of ``shape``, brought to voxels by ``index``, can meet what is not 0 or the voxel beside."""
    if not data.any():
        return (slice(0, 0),) * 3
    corners = [(s.start - 1.0, float(s.stop)) for s in bounding_box(data != 0)]
    ends = np.array(np.meshgrid(*corners, indexing="ij")).reshape(3, -1)
    back = np.linalg.inv(index)
    reached = back[:3, :3] @ ends + back[:3, 3:]
    low = np.clip(np.floor(reached.min(1)), 0, shape).astype(int)
    high = np.clip(np.ceil(reached.max(1)) + 1, low, shape).astype(int)
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def _nearest(data: np.ndarray, index: np.ndarray, part: tuple[slice, ...]) -> np.ndarray:
    """The nearest voxels to those of a part of a grid that ``index`` brings to voxels of ``data``."""
    size = tuple(s.stop - s.start for s in part)
    if 0 in size:
        return np.zeros(size, data.dtype)
    start = index[:3, 3] + index[:3, :3] @ [s.start for s in part]
    return np.asarray(ndimage.affine_transform(data, index[:3, :3], start, output_shape=size, order=0, mode="nearest"))


def upright(img: nib.Nifti1Image) -> nib.Nifti1Image:
    """An empty 1 mm RAS grid over the box of an image."""
    return _grid_1mm(*_box(img, np.eye(4)))


def shared(images: Sequence[nib.Nifti1Image], matrices: Sequence[np.ndarray]) -> nib.Nifti1Image:
    """An empty 1 mm RAS grid over what the boxes of several images share in a space of their own.

    Parameters
    ----------
    images : in any order
    matrices : (4, 4) RAS+ mm of the space to that of each image

    Raises
    ------
    ImageError
        They share nothing.
    """
    boxes = [_box(image, np.linalg.inv(matrix)) for image, matrix in zip(images, matrices, strict=True)]
    low, high = np.max([box[0] for box in boxes], axis=0), np.min([box[1] for box in boxes], axis=0)
    if not (high > low).all():
        raise ImageError("the images do not overlap where they were brought together.", "Look at all of them.")
    return _grid_1mm(low, high)


def _box(img: nib.Nifti1Image, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner (mm) of the upright box around an image; ``matrix``: its RAS+ mm to those of the box."""
    corners = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in img.shape[:3]], indexing="ij")).reshape(3, -1)
    placed = matrix @ img.affine
    world = placed[:3, :3] @ corners + placed[:3, 3:]
    return world.min(axis=1), world.max(axis=1)


def _grid_1mm(low: np.ndarray, high: np.ndarray) -> nib.Nifti1Image:
    affine = np.eye(4)
    affine[:3, 3] = low + 0.5
    return nib.Nifti1Image(np.zeros(np.ceil(high - low).astype(int), dtype=np.uint8), affine)


def coverage(img: nib.Nifti1Image, reference: nib.Nifti1Image, matrix: np.ndarray | None = None) -> np.ndarray:
    """Boolean array on the reference grid: True where its voxel centre lies in the field of view (voxel box) of
    ``img``.
    """
    index = voxel_mapping(img, reference, matrix)
    x, y, z = np.ogrid[tuple(slice(n) for n in reference.shape[:3])]
    # along z the voxels inside lie between two ends, so that only these are computed for every x and y
    first, last = np.full((*reference.shape[:2], 1), -1.0), np.full((*reference.shape[:2], 1), float(z.size))
    for row, n in zip(index[:3], img.shape[:3], strict=True):
        position = row[0] * x + row[1] * y + row[3]
        with np.errstate(divide="ignore"):
            ends = (-0.5 - 1e-6 - position) / row[2], (n - 0.5 + 1e-6 - position) / row[2]
        first, last = np.maximum(first, np.minimum(*ends)), np.minimum(last, np.maximum(*ends))
    z = z.astype(np.int32)
    first, last = (np.clip(end, -1, z.size).astype(np.int32) for end in (np.ceil(first), np.floor(last)))
    return np.asarray((z >= first) & (z <= last))


def voxel_mapping(img: nib.Nifti1Image, reference: nib.Nifti1Image, matrix: np.ndarray | None = None) -> np.ndarray:
    """(4, 4) from voxel indices of the reference to voxel indices of ``img``; ``matrix`` as in :func:`resample_to`."""
    world = np.eye(4) if matrix is None else np.asarray(matrix, dtype=np.float64)
    mapping: np.ndarray = np.linalg.inv(img.affine) @ world @ reference.affine
    return mapping


def bounding_box(mask: np.ndarray, margin: int = 0) -> tuple[slice, slice, slice]:
    """Slices of the smallest box around a mask, widened by ``margin`` voxels within the array; ValueError for an empty
    mask.
    """
    mask = np.asarray(mask) > 0
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        raise ValueError("the mask is empty")
    x, y, z = (
        slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(boxes[0], mask.shape, strict=True)
    )
    return x, y, z


def _corners(shape: tuple[int, ...]) -> np.ndarray:
    """Homogeneous voxel indices (4, 8) of the corners."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij"), dtype=np.float64).reshape(3, -1)
    return np.vstack([corners, np.ones(8)])
