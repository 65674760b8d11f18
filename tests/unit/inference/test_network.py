"""The network: probabilities, the same each time, loaded once; and no word to anybody at the import."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from thalbids.errors import MissingToolError
from thalbids.inference import network
from thalbids.inference.synthal import WEIGHTS


def test_probabilities_add_up_and_come_again() -> None:
    net = network.load(WEIGHTS / "roi.xml", "full", 1)
    assert network.load(WEIGHTS / "roi.xml", "full", 1) is net
    image = np.random.default_rng(1).random((64, 56, 48), dtype=np.float32)
    first = net(image)
    assert first.dtype == np.float32 and first.shape[1:] == image.shape and first.shape[0] > 1
    np.testing.assert_allclose(first.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(net(image), first)
    assert sys.modules["openvino_telemetry"] is None


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingToolError, match="Install thalbids again"):
        network.Network(tmp_path / "no.xml")
