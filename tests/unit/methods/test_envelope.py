"""The cut and the numbers that tell how much the envelope decides, against arrays counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.methods import envelope

AFFINE = np.eye(4)


def bar(start: int, stop: int, label: int = 10) -> np.ndarray:
    """One row of voxels along x in an empty array of 20 x 20 x 20."""
    out = np.zeros((20, 20, 20), np.uint8)
    out[start:stop, 10, 10] = label
    return out


def test_the_cut_gives_the_envelopes_labels_where_there_is_grey_matter() -> None:
    outer = bar(2, 8) + bar(8, 14, 49)
    found = envelope.cut(bar(6, 18) != 0, outer)
    assert (found == bar(6, 8) + bar(8, 14, 49)).all()
    assert found.dtype == np.uint8
    with pytest.raises(ValueError, match="one grid"):
        envelope.cut(np.zeros((2, 2, 2), bool), outer)


def test_removed_is_what_lies_outside_within_three_millimetres() -> None:
    """Grey matter from 6 to 17; envelope 2 to 13: inside 8 voxels; 14, 15, 16 are near, 17 is 4 mm away."""
    found = envelope.dependence(bar(6, 18) != 0, bar(2, 14), AFFINE)
    assert found["RemovedFraction"] == pytest.approx(3 / 11)
    assert found["SurfaceFraction"] == 1.0  # every voxel of a row is surface
    assert found["Containment"] == 1.0


def test_distances_are_in_millimetres() -> None:
    """Voxels of 2 mm along x: only the first one outside is within 3 mm."""
    found = envelope.dependence(bar(6, 18) != 0, bar(2, 14), np.diag([2.0, 1, 1, 1]))
    assert found["RemovedFraction"] == pytest.approx(1 / 9)


def test_surface_shares() -> None:
    """A cube of 4 in a cube of 6 that share one face: 16 of its 56 surface voxels are on the other's surface."""
    outer, grey = np.zeros((12, 12, 12), np.uint8), np.zeros((12, 12, 12), bool)
    outer[2:8, 2:8, 2:8] = 10
    grey[2:6, 3:7, 3:7] = True
    assert envelope.surface(grey).sum() == 56
    found = envelope.dependence(grey, outer, AFFINE)
    assert found["SurfaceFraction"] == pytest.approx(16 / 56)
    assert found["RemovedFraction"] == 0.0


def test_nothing_to_share() -> None:
    empty = np.zeros((5, 5, 5), np.uint8)
    assert envelope.dependence(empty == 1, empty, AFFINE)["Containment"] is None
    outer = empty.copy()
    outer[2, 2, 2] = 10
    found = envelope.dependence(empty == 1, outer, AFFINE)
    assert found["Containment"] is found["RemovedFraction"] is found["SurfaceFraction"] is None
