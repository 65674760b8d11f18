"""The network: probabilities, the same each time, loaded once; and no word to anybody at the import."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

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


@pytest.mark.parametrize("name", ["roi", "head"])
def test_folded_upsampling_is_the_network_as_it_was_trained(name: str) -> None:
    stored = network.openvino().Core().read_model(WEIGHTS / f"{name}.xml")
    image = np.random.default_rng(2).random((1, 1, 32, 24, 16), dtype=np.float32)
    stored.reshape(list(image.shape))
    expected = network.compiled(stored.clone(), threads=1)([image])[0]
    folded = network.with_folded_upsampling(stored)
    kinds = [op.get_type_name() for op in folded.get_ordered_ops()]
    assert kinds.count("ConvolutionBackpropData") == 3 and "Interpolate" not in kinds
    np.testing.assert_allclose(network.compiled(folded, threads=1)([image])[0], expected, atol=2e-4)


@pytest.mark.parametrize("sides", [(2, 2, 2), (2, 2, 1), (1, 2, 2)])
def test_two_convolutions_folded_into_one(sides: tuple[int, int, int]) -> None:
    """Against both, one after the other, in plain scipy."""
    random = np.random.default_rng(3)
    up, weight = random.normal(size=(2, 3, *sides)), random.normal(size=(4, 3, 3, 3, 3))
    low = random.normal(size=(2, 3, 4, 5))
    middle = np.stack([sum(np.kron(low[i], up[i, m]) for i in range(2)) for m in range(3)])
    expected = [sum(ndimage.correlate(middle[m], weight[o, m], mode="constant") for m in range(3)) for o in range(4)]
    both = network.folded(up, weight)
    result = np.zeros((4, *(np.array(middle.shape[1:]) + 2)))
    for place in np.ndindex(*low.shape[1:]):
        start = np.array(place) * sides
        part = tuple(slice(a, a + n) for a, n in zip(start, both.shape[2:], strict=True))
        result[(slice(None), *part)] += np.einsum("i,ioxyz->oxyz", low[(slice(None), *place)], both)
    np.testing.assert_allclose(result[:, 1:-1, 1:-1, 1:-1], expected, atol=1e-4)
