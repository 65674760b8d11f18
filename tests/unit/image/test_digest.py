"""One number of an image's voxels: the same for the same voxels, another for any other."""

from __future__ import annotations

import numpy as np

from thalbids.image.digest import digest

DATA = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])


def test_storage_does_not_matter() -> None:
    first = digest(DATA, AFFINE, np.float32)
    assert len(first) == 64
    assert digest(np.asfortranarray(DATA), AFFINE, "<f4") == first
    assert digest(DATA.astype(">f4"), AFFINE, np.float32) == first
    assert digest(DATA.astype(np.float64), AFFINE + 1e-5, np.float32) == first
    assert digest(DATA, np.where(AFFINE == 0, -0.0, AFFINE), np.float32) == first


def test_voxels_shape_place_and_type_do() -> None:
    changed = DATA.copy()
    changed[0, 0, 0] += 1
    others = [
        digest(DATA, AFFINE, np.float32), digest(changed, AFFINE, np.float32),
        digest(DATA.reshape(3, 2, 4), AFFINE, np.float32),
        digest(DATA, AFFINE + 0.01, np.float32), digest(DATA, AFFINE, np.uint8),
    ]  # fmt: skip
    assert len(set(others)) == len(others)
