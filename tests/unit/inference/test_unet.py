"""The U-Net that OpenVINO computes, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.inference.network import compiled
from thalbids.inference.unet import Layer, UNet, Up

SHAPE = (8, 8, 4)


def layer(
    random: np.random.Generator, before: int, after: int, stride: tuple[int, int, int] = (1, 1, 1), affine: bool = False
) -> Layer:
    weight, scale, shift = random.normal(0, 0.3, (after, before, 3, 3, 3)), None, None
    if affine:
        scale, shift = random.normal(1, 0.3, after), random.normal(0, 0.3, after)
    return Layer(weight, stride, scale, shift)


def small(random: np.random.Generator, affine: bool = False) -> UNet:
    """Three levels; the last stride leaves the third axis, as MindGlide's does."""
    down = (
        (layer(random, 1, 3, affine=affine), layer(random, 3, 3, affine=affine)),
        (layer(random, 3, 4, (2, 2, 2)), layer(random, 4, 4)),
        (layer(random, 4, 5, (2, 2, 1)), layer(random, 5, 5)),
    )
    up = (
        Up(random.normal(0, 0.5, (5, 4, 2, 2, 1)), (layer(random, 8, 4), layer(random, 4, 4))),
        Up(random.normal(0, 0.5, (4, 3, 2, 2, 2)), (layer(random, 6, 3), layer(random, 3, 3, affine=affine))),
    )
    return UNet(down, up, random.normal(0, 1, (4, 3, 1, 1, 1)), random.normal(0, 1, 4))


def convolved(x: np.ndarray, weight: np.ndarray, stride: tuple[int, ...]) -> np.ndarray:
    """Sum over the neighbours, with zeros around the image."""
    padded = np.pad(x, ((0, 0), *[(n // 2, n // 2) for n in weight.shape[2:]]))
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
        if one.scale is not None and one.shift is not None:
            x = x * one.scale.reshape(-1, 1, 1, 1) + one.shift.reshape(-1, 1, 1, 1)
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


@pytest.mark.parametrize("shape", [SHAPE, (8, 12, 22), (28, 4, 4)])
@pytest.mark.parametrize("affine", [False, True])
def test_probabilities_are_those_of_plain_numpy(shape: tuple[int, int, int], affine: bool) -> None:
    """Also with sides that no block of 8 divides, and with scale and shift after the normalisation."""
    random = np.random.default_rng(7)
    net, image = small(random, affine), random.normal(0, 1, shape).astype(np.float32)
    found = compiled(net.model(shape, probabilities=True), "full", 1)([image[None, None]])[0][0]
    scores = expected(net, image)
    wanted = np.exp(scores - scores.max(0))
    np.testing.assert_allclose(found, wanted / wanted.sum(0), atol=1e-3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_scores_are_those_of_plain_numpy(seed: int) -> None:
    random = np.random.default_rng(seed)
    net, image = small(random), random.normal(0, 1, SHAPE).astype(np.float32)
    scores = compiled(net.model(SHAPE), "full", 1)([image[None, None]])[0][0]
    wanted = expected(net, image)
    assert scores.shape == (4, *SHAPE)
    np.testing.assert_allclose(scores, wanted, atol=2e-4 * np.abs(wanted).max())
