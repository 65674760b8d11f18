"""One number that tells whether voxels changed, whatever the file's compression."""

from __future__ import annotations

import hashlib

import numpy as np


def digest(data: np.ndarray, affine: np.ndarray, dtype: np.dtype | type | str) -> str:
    """SHA-256 of the voxels as ``dtype`` (little-endian, x fastest), the shape, and the affine to a micrometre."""
    checksum = hashlib.sha256()
    checksum.update(repr(tuple(data.shape)).encode())
    checksum.update((np.round(np.asarray(affine, dtype=np.float64), 3) + 0.0).astype("<f8").tobytes())
    checksum.update(np.asarray(data).astype(np.dtype(dtype).newbyteorder("<")).tobytes(order="F"))
    return checksum.hexdigest()
