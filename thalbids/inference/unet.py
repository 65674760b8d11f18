"""U-Nets of the nnU-Net family (Isensee et al. 2021), built for OpenVINO from their weights.

A block is convolution, instance normalisation (of each channel over the image; 1e-5 is added to the variance) and
leaky ReLU (slope 0.01), several times. A bias of such a convolution is not computed: the normalisation removes it. On
the way down the first convolution of a block has a stride; on the way up a transposed convolution, whose kernel is its
stride, is put before what the same level had on the way down. A 1 x 1 x 1 convolution gives the scores of the classes.
Heads of deep supervision serve training alone and are not built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalbids.inference.network import constant, convolved_after_upsampling, openvino

EPSILON, SLOPE = 1e-5, 0.01
BLOCK = 8  # voxels at most along each axis of the blocks of which means are taken first


@dataclass(frozen=True)
class Layer:
    """Convolution, instance normalisation and leaky ReLU.

    Attributes
    ----------
    weight : (out, in, x, y, z), odd kernels; the image is padded with zeros so that it keeps its size at stride 1
    stride : per axis
    scale, shift : (out,), of the normalised channels; None: 1 and 0
    """

    weight: np.ndarray
    stride: tuple[int, ...] = (1, 1, 1)
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None


@dataclass(frozen=True)
class Up:
    """One level on the way up: ``weight`` (in, out, x, y, z) of the transposed convolution, then layers."""

    weight: np.ndarray
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class UNet:
    """``down``: the blocks from the finest to the coarsest; ``up``: from the coarsest to the finest; ``head``: weight
    (class, in, 1, 1, 1) and ``bias`` (class,) of the last convolution.
    """

    down: tuple[tuple[Layer, ...], ...]
    up: tuple[Up, ...]
    head: np.ndarray
    bias: np.ndarray

    def model(self, shape: Sequence[int], *, probabilities: bool = False) -> Any:
        """The ``openvino.Model`` from an image (1, 1, x, y, z) of this shape to scores (1, class, x, y, z), or to
        probabilities, their softmax.
        """
        ov, ops = openvino(), openvino().opset13
        image = ops.parameter((1, 1, *shape), np.float32)
        x, kept = image, []
        for block in self.down:
            x = _block(ops, x, block)
            kept.append(x)
        for up, beside in zip(self.up, reversed(kept[:-1]), strict=True):
            first, *others = up.layers
            x = convolved_after_upsampling(ops, x, beside, up.weight, first.weight)
            x = _block(ops, _normalised(ops, x, first), others)
        x = _convolution(ops, x, self.head, (1, 1, 1))
        scores = ops.add(x, constant(ops, self.bias.reshape(1, -1, 1, 1, 1)))
        return ov.Model([ops.softmax(scores, 1) if probabilities else scores], [image])


def _block(ops: Any, x: Any, layers: Sequence[Layer]) -> Any:
    for layer in layers:
        x = _normalised(ops, _convolution(ops, x, layer.weight, layer.stride), layer)
    return x


def _normalised(ops: Any, x: Any, layer: Layer) -> Any:
    """Instance normalisation and leaky ReLU."""
    away = ops.subtract(x, _mean(ops, x))
    variance = _mean(ops, ops.multiply(away, away))
    factor = ops.power(ops.add(variance, np.float32(EPSILON)), np.float32(-0.5))
    if layer.scale is not None:
        factor = ops.multiply(factor, constant(ops, layer.scale.reshape(1, -1, 1, 1, 1)))
    x = ops.multiply(away, factor)
    if layer.shift is not None:
        x = ops.add(x, constant(ops, layer.shift.reshape(1, -1, 1, 1, 1)))
    return ops.prelu(x, ops.constant(np.array([SLOPE], np.float32)))


def _mean(ops: Any, x: Any) -> Any:
    """Of each channel over the image, of the means of small blocks.

    OpenVINO adds float32 one after the other, also in its own normalisation (``mvn``): over a million voxels that loses
    digits, and labels of MindGlide's network changed by it (docs/tools.md).
    """
    sides = [int(n) for n in list(x.get_output_shape(0))[2:]]
    block = [next(n for n in range(min(BLOCK, side), 0, -1) if side % n == 0) for side in sides]
    zeros = [0, 0, 0]
    return ops.reduce_mean(ops.avg_pool(x, block, zeros, zeros, block, False), np.array([2, 3, 4], np.int64), True)


def _convolution(ops: Any, x: Any, weight: np.ndarray, stride: Sequence[int]) -> Any:
    around = [n // 2 for n in weight.shape[2:]]
    return ops.convolution(
        x, constant(ops, weight), strides=list(stride), pads_begin=around, pads_end=around, dilations=[1, 1, 1]
    )
