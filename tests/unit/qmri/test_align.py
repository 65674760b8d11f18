"""How far a contrast moved, by hand."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import rotation_matrix
from thalbids.qmri.align import motion


def test_a_shift_and_a_turn_about_the_middle() -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    image = nib.Nifti1Image(np.zeros((11, 21, 31), np.uint8), affine)
    middle = (10.0, 20.0, 30.0)
    assert motion(np.eye(4), image) == (0.0, 0.0)
    turn = rotation_matrix(0, 0, 5, centre=middle)
    assert motion(turn, image) == (pytest.approx(0.0, abs=1e-9), pytest.approx(5.0))
    turn[:3, 3] += (3, 0, 4)
    assert motion(turn, image) == (pytest.approx(5.0), pytest.approx(5.0))
