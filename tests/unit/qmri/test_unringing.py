"""Gibbs ringing of a truncated phantom."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from thalbids.errors import MissingToolError
from thalbids.qmri.unringing import unring


def ringing(n: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A box, and what the lowest n frequencies of a finer image of it leave, on n x n x 8 voxels."""
    fine = np.zeros((4 * n, 4 * n))
    fine[n : 3 * n, n + 20 : 3 * n - 20] = 1
    spectrum = np.fft.fftshift(np.fft.fft2(fine))
    middle = slice(2 * n - n // 2, 2 * n + n // 2)
    measured = np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum[middle, middle]))) / 16
    return fine[::4, ::4], np.repeat(measured[..., None], 8, axis=2)


def test_ringing_of_a_box_is_taken_out() -> None:
    pytest.importorskip("dipy.denoise.gibbs", reason="the extra qmri is not installed")
    truth, measured = ringing()
    mended = unring(measured.astype(np.float32))
    middle = np.s_[24:40, 26:38, 4]  # inside the box, away from its edges
    assert mended.dtype == np.float32
    assert np.std(mended[middle]) < 0.5 * np.std(measured[middle])
    assert mended[middle].mean() == pytest.approx(truth[24:40, 26:38].mean(), abs=0.01)


def test_without_dipy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dipy.denoise.gibbs", None)
    with pytest.raises(MissingToolError, match="needs the package DIPY"):
        unring(np.ones((8, 8, 8)))
