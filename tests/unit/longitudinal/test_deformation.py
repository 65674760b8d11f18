"""The deformation between two visits: a known shift is found, its negative when they are swapped."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from thalbids.longitudinal.deformation import Tuning, deform
from thalbids.longitudinal.visits import Box, Visit, prepare

SHAPE = (32, 30, 28)
BOX = Box((20, 18, 16), 1.0, np.array([6.0, 6.0, 6.0]))
QUICK = Tuning(iterations=3, steps=25, spacing=6.0)


def texture(shift: float) -> Visit:
    """Smooth noise about 1, moved along x by ``shift`` mm."""
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=SHAPE), 2.0)
    values = 1 + 0.3 * noise / noise.std()
    return prepare(
        nib.Nifti1Image(ndimage.shift(values, (shift, 0, 0), order=3, mode="nearest"), np.eye(4)), np.eye(4), 0, 1
    )


def test_a_shift_is_found_and_turned_round_when_swapped() -> None:
    window = np.ones(BOX.shape)
    first, second = texture(0.0), texture(0.6)
    forth, back = deform(first, second, BOX, window, QUICK), deform(second, first, BOX, window, QUICK)
    inner = forth.displacement()[:, 5:-5, 5:-5, 5:-5]
    assert inner[0].mean() == pytest.approx(0.6, abs=0.08)
    assert np.abs(inner[1:]).mean() < 0.1
    np.testing.assert_allclose(forth.coefficients, -back.coefficients, atol=1e-4)


def test_a_gain_is_no_shift() -> None:
    first = texture(0.0)
    brighter = Visit(first.coefficients * 1.1, first.index)
    found = deform(first, brighter, BOX, np.ones(BOX.shape), QUICK)
    assert np.abs(found.displacement()).max() < 0.05
