"""Masks as lists of voxels: a thalamus fills a thousandth of a head, so little is left to do after decompression."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thalbids.errors import ImageError
from thalbids.image.grids import SAME_GRID_MM, voxel_volume
from thalbids.image.io import MORE_BYTES, data_end, load_labels, read_header
from thalbids.image.orientation import axcodes, geometry_from_header
from thalbids.image.overlap import Counts

_CHUNK = 1 << 18  # bytes inflated at a time: they stay in the processor's cache, and the whole image needs no memory
_PIECE = 1 << 16  # bytes of the compressed file fed at a time


@dataclass(frozen=True)
class SparseMask:
    """A mask on a grid.

    Attributes
    ----------
    index : flat indices of its voxels in Fortran order (the order of NIfTI files), sorted, int64
    shape : shape of the grid
    affine : (4, 4) voxel to RAS+ mm
    notes : what had to be repaired when the file was read
    """

    index: np.ndarray
    shape: tuple[int, int, int]
    affine: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return int(self.index.size)

    @property
    def volume_mm3(self) -> float:
        """Voxels x voxel volume."""
        return self.voxels * voxel_volume(self.affine)

    @property
    def points(self) -> np.ndarray:
        """Voxel indices, (n, 3)."""
        return np.stack(np.unravel_index(self.index, self.shape, order="F"), axis=1)

    @property
    def grid(self) -> str:
        """The grid in words: ``208 x 300 x 320 voxels, RAS``."""
        return f"{' x '.join(str(n) for n in self.shape)} voxels, {axcodes(self.affine)}"

    def dense(self) -> np.ndarray:
        """Boolean array of the grid's shape."""
        flat = np.zeros(int(np.prod(self.shape)), dtype=bool)
        flat[self.index] = True
        return flat.reshape(self.shape, order="F")

    def same_grid(self, other: SparseMask, tol: float = SAME_GRID_MM) -> bool:
        """Same shape, and every voxel in the same place (within ``tol`` mm at the corners)."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1)
        moved = (self.affine - other.affine)[:3] @ np.vstack([corners, np.ones(8)])
        return bool(np.linalg.norm(moved, axis=0).max() <= tol)


def from_array(data: np.ndarray, affine: np.ndarray, notes: tuple[str, ...] = ()) -> SparseMask:
    """The voxels of a 3-D array that are not 0."""
    x, y, z = data.shape
    return SparseMask(np.flatnonzero(np.ravel(data, order="F")), (x, y, z), np.asarray(affine, dtype=np.float64), notes)


def load_mask(path: Path | str) -> SparseMask:
    """Read a mask; every value but 0 belongs to it.

    A gzipped NIfTI of integers is inflated piece by piece and never held whole: half the time of inflating it at once.
    Everything else goes through :func:`thalbids.image.io.load_labels`. Both apply the same rules of geometry.

    Raises
    ------
    ImageError
        As :func:`~thalbids.image.io.load_labels`.
    """
    path = Path(path)
    mask = _stream(path)
    if mask is not None:
        return mask
    image = load_labels(path)
    return from_array(np.asarray(image.dataobj), image.affine, tuple(image.extra["notes"]))


def pair_counts(masks: Sequence[SparseMask]) -> np.ndarray:
    """Voxels in common of every pair of masks on one grid, (n, n) int64; the diagonal holds the masks' sizes."""
    if any(not mask.same_grid(masks[0]) for mask in masks[1:]):
        raise ValueError("masks are on different grids")
    bits = _bit_rows([mask.index for mask in masks])
    common = np.empty((len(masks), len(masks)), dtype=np.int64)
    for i, row in enumerate(bits):
        common[i] = np.bitwise_count(bits & row).sum(axis=1)
    return common


def counts(reference: SparseMask, prediction: SparseMask) -> Counts:
    """Voxels in both, only predicted, only in the reference; masks on one grid."""
    common = pair_counts([reference, prediction])
    return Counts(int(common[0, 1]), int(common[1, 1] - common[0, 1]), int(common[0, 0] - common[0, 1]))


def onto(mask: SparseMask, shape: tuple[int, int, int], affine: np.ndarray) -> tuple[SparseMask, float]:
    """The mask on another grid, by nearest neighbour through world space.

    A change of the voxel order alone (flips, permutations, another crop) is exact.

    Returns
    -------
    The mask on the grid, and the share of its voxels whose centres lie outside that grid's field of view.
    """
    affine = np.asarray(affine, dtype=np.float64)
    empty = SparseMask(np.zeros(0, dtype=np.int64), shape, affine, mask.notes)
    if mask.voxels == 0:
        return empty, 0.0
    points = mask.points
    forward = np.linalg.inv(affine) @ mask.affine
    arrived = points @ forward[:3, :3].T + forward[:3, 3]
    outside = float(((arrived < -0.5) | (arrived >= np.array(shape) - 0.5)).any(axis=1).mean())
    # a target voxel is filled when its centre lies in a voxel of the mask: candidates are those around the mask's box
    low, high = points.min(axis=0), points.max(axis=0)
    reach = np.abs(forward[:3, :3]).sum(axis=1) / 2
    box = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1).T
    corners = box @ forward[:3, :3].T + forward[:3, 3]
    start = np.maximum(np.ceil(corners.min(axis=0) - reach - 1e-6), 0).astype(np.int64)
    stop = np.minimum(np.floor(corners.max(axis=0) + reach + 1e-6) + 1, shape).astype(np.int64)
    if (stop <= start).any():
        return empty, outside
    dense = np.zeros(high - low + 1, dtype=bool)
    dense[tuple((points - low).T)] = True
    target = np.indices(stop - start).reshape(3, -1).T + start
    back = np.linalg.inv(forward)
    source = np.floor(target @ back[:3, :3].T + back[:3, 3] + 0.5 + 1e-9).astype(np.int64) - low
    inside = ((source >= 0) & (source <= high - low)).all(axis=1)
    target, source = target[inside], source[inside]
    hit = target[dense[tuple(source.T)]]
    return SparseMask(np.sort(np.ravel_multi_index(tuple(hit.T), shape, order="F")), shape, affine, mask.notes), outside


def _bit_rows(indices: Sequence[np.ndarray]) -> np.ndarray:
    """Lists of voxels as rows of 64-bit words, (n, words), over the words that any of them uses."""
    packed = []
    for index in indices:
        word = index >> 6
        first = np.flatnonzero(np.diff(word, prepend=-1))
        bit = np.left_shift(np.uint64(1), (index & 63).astype(np.uint64))
        packed.append((word[first], np.bitwise_or.reduceat(bit, first) if index.size else bit))
    words = np.unique(np.concatenate([word for word, _ in packed]))
    rows = np.zeros((len(packed), words.size), dtype=np.uint64)
    for row, (word, bits) in zip(rows, packed, strict=True):
        row[np.searchsorted(words, word)] = bits
    return rows


def _stream(path: Path) -> SparseMask | None:
    """The mask of a gzipped NIfTI of integers without an offset of its values; None when the file is anything else, or
    is damaged (the careful reader says how).
    """
    if not path.name.endswith(".nii.gz") or not path.is_file():
        return None
    try:
        chunks = _inflated(path)
        head = next(chunks, b"")
        header, unchecked = read_header(head, path)
        shape = header.get_data_shape()
        dtype, offset = header.get_data_dtype(), int(header.get_data_offset())
        intercept = header.get_slope_inter()[1]
        plain = dtype.kind in "iu" and len(shape) == 3 and min(shape) >= 8 and intercept in (None, 0)
        if not plain or offset > len(head):
            return None
        affine, notes = geometry_from_header(unchecked, shape)
        chunks = _at_most(data_end(header) + MORE_BYTES, chunks)
        index, end = _nonzero(head, chunks, offset, dtype.itemsize)
    except (ImageError, zlib.error, OSError, ValueError):
        return None
    size = int(np.prod(shape))
    if end < offset + size * dtype.itemsize or (index.size and index[-1] >= size):
        return None
    return SparseMask(index, (int(shape[0]), int(shape[1]), int(shape[2])), affine, notes)


def _inflated(path: Path) -> Iterator[bytes]:
    """The content of a gzip file of one member, in chunks; its checksum is checked. Raises zlib.error."""
    inflate = zlib.decompressobj(wbits=31)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            while piece and not inflate.eof:
                out = inflate.decompress(piece, _CHUNK)
                piece = inflate.unconsumed_tail
                if out:
                    yield out
            if inflate.eof and (piece or inflate.unused_data).strip(b"\0"):
                raise zlib.error("more than one member")
    while not inflate.eof:
        out = inflate.decompress(b"", _CHUNK)
        if not out and not inflate.eof:
            raise zlib.error("cut off")
        if out:
            yield out


def _at_most(size: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks, as long as they are together no more than ``size`` bytes. Raises ImageError."""
    for chunk in chunks:
        size -= len(chunk)
        if size < 0:
            raise ImageError("The file holds more than its header speaks of.")
        yield chunk


def _nonzero(head: bytes, chunks: Iterator[bytes], offset: int, itemsize: int) -> tuple[np.ndarray, int]:
    """Indices of the values that are not 0, and where the file ends."""
    positions, position = [], 0
    for chunk in itertools.chain([head], chunks):
        values = np.frombuffer(chunk, dtype=np.uint8)
        if position < offset:
            values = values[offset:]
        if values.any():
            positions.append(np.flatnonzero(values) + (max(position, offset) - offset))
        position += len(chunk)
    index = np.concatenate(positions) if positions else np.zeros(0, dtype=np.int64)
    if itemsize > 1:
        index = index // itemsize
        index = index[np.diff(index, prepend=-1) != 0]
    return index.astype(np.int64), position
