"""What is left of a network's answer."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.inference.parts import clean


def test_clean_drops_specks_and_keeps_soft_edges() -> None:
    p = np.zeros((2, 30, 30, 30), np.float32)
    p[0, 5:15, 5:15, 5:15], p[0, 15, 5:15, 5:15], p[0, 27:29, 27:29, 27:29] = 0.9, 0.3, 0.9
    out = clean(p)
    assert out[0, 28, 28, 28] == 0 and out[0, 15, 8, 8] == pytest.approx(0.3) and not out[1].any()
