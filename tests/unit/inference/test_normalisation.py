"""Intensities as the network sees them."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.inference.normalisation import normalise


def test_normalise_ignores_background_scale_and_offset_free_zeros() -> None:
    rng = np.random.default_rng(0)
    image = rng.uniform(10, 110, (40, 40, 40)).astype(np.float32)
    image[:10] = 0
    once = normalise(image)
    assert once.min() == 0 and 0.99 < np.quantile(once[10:], 0.99) <= 1.0
    assert normalise(image * 37) == pytest.approx(once, abs=1e-5)
    assert not normalise(np.zeros((4, 4, 4))).any() and not normalise(np.full((4, 4, 4), 7.0)).any()
