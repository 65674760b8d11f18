"""The U-Net that OpenVINO computes, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.inference.network import compiled
from thalbids.inference.unet import Layer, UNet, Up

SHAPE = (8, 8, 4)


def layer(random: np.random.Generator, before: int, after: int, stride: tuple[int, int, int] = (1, 1, 1)) -> Layer:
    return Layer(random.normal(0, 0.3, (after, before, 3, 3, 3)), stride)


def small(random: np.random.Generator) -> UNet:
    """Three levels; the last stride leaves the third axis, as MindGlide's does."""
    down = (
        (layer(random, 1, 3), layer(random, 3, 3)),
        (layer(random, 3, 4, (2, 2, 2)), layer(random, 4, 4)),
        (layer(random, 4, 5, (2, 2, 1)), layer(random, 5, 5)),
    )
    up = (
        Up(random.normal(0, 0.5, (5, 4, 2, 2, 1)), (layer(random, 8, 4), layer(random, 4, 4))),
        Up(random.normal(0, 0.5, (4, 3, 2, 2, 2)), (layer(random, 6, 3), layer(random, 3, 3))),
    )
    return UNet(down, up, random.normal(0, 1, (4, 3, 1, 1, 1)), random.normal(0, 1, 4))


def convolved(x: np.ndarray, weight: np.ndarray, stride: tuple[int, ...]) -> np.ndarray:
    """Sum over the neighbours, with zeros around the image."""
    reach = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), *[(reach, reach)] * 3))
    out = np.zeros((len(weight), *x.shape[1:]))
    for i, j, k in np.ndindex(*weight.shape[2:]):
        part = padded[:, i : i + x.shape[1], j : j + x.shape[2], k : k + x.shape[3]]
        out += np.einsum("oc,cxyz->oxyz", weight[:, :, i, j, k], part)
    return out[:, :: stride[0], :: stride[1], :: stride[2]]


def through(x: np.ndarray, layers: tuple[Layer, ...]) -> np.ndarray:
    for one in layers:
        x = convolved(x, one.weight, one.stride)
        mean, variance = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
        x = (x - mean) / np.sqrt(variance + 1e-5)
        x = np.where(x < 0, 0.01 * x, x)
    return x


def expected(net: UNet, image: np.ndarray) -> np.ndarray:
    x, kept = image[None].astype(np.float64), []
    for block in net.down:
        x = through(x, block)
        kept.append(x)
    for up, beside in zip(net.up, kept[-2::-1], strict=True):
        x = sum(np.kron(x[i][None], weight) for i, weight in enumerate(up.weight))  # each voxel becomes a block
        x = through(np.concatenate([x, beside]), up.layers)
    return convolved(x, net.head, (1, 1, 1)) + net.bias.reshape(-1, 1, 1, 1)


def test_sides_that_do_not_fall_into_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="no multiples of 8"):
        small(np.random.default_rng(1)).model((8, 8, 20))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_scores_are_those_of_plain_numpy(seed: int) -> None:
    random = np.random.default_rng(seed)
    net, image = small(random), random.normal(0, 1, SHAPE).astype(np.float32)
    scores = compiled(net.model(SHAPE), "full", 1)([image[None, None]])[0][0]
    wanted = expected(net, image)
    assert scores.shape == (4, *SHAPE)
    np.testing.assert_allclose(scores, wanted, atol=2e-4 * np.abs(wanted).max())
