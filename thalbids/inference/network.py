"""A convolutional network on OpenVINO: load once, run on 3-D arrays."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.errors import MissingToolError

PRECISIONS = {"full": "f32", "fast": "bf16"}


class Network:
    """A network stored as OpenVINO IR (``.xml`` and ``.bin``): (x, y, z) intensities to (class, x, y, z) probabilities.

    Parameters
    ----------
    path : the ``.xml`` file; its weights lie beside it
    precision : ``full`` computes in float32 on every machine; ``fast`` lets the processor use bfloat16 where it can,
        with other masks on other machines
    threads : processor threads, 0 for OpenVINO's choice
    """

    def __init__(self, path: Path, precision: str = "full", threads: int = 0):
        if not path.exists():
            raise MissingToolError("the network's weights are missing.", "Install thalbids again.", path)
        self._compiled = compiled(with_folded_upsampling(openvino().Core().read_model(path)), precision, threads)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Class probabilities (float32) of a normalised image whose sides are multiples of 8."""
        logits = self._compiled([np.ascontiguousarray(image[None, None], np.float32)])[0][0]
        logits -= logits.max(0)
        np.exp(logits, out=logits)
        logits /= logits.sum(0)
        return np.asarray(logits)


def compiled(model: Any, precision: str = "full", threads: int = 0) -> Any:
    """An ``openvino.Model`` made ready for the processor; arguments as those of :class:`Network`."""
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    return openvino().Core().compile_model(model, "CPU", options)


def with_folded_upsampling(model: Any) -> Any:
    """The same ``openvino.Model`` with fewer products: where an image of half the resolution is repeated (nearest
    neighbour, 2 x 2 x 2), put before another and convolved, its part of the convolution is computed by :func:`folded`.
    """
    ops = openvino().opset13
    for old in model.get_ordered_ops():
        both = old.input_value(0).get_node() if old.get_type_name() == "Convolution" else None
        if both is None or both.get_type_name() != "Concat":
            continue
        repeated, beside = both.input_values()
        if repeated.get_node().get_type_name() != "Interpolate":
            continue
        weight, n = _values(old.input_value(1).get_node()), int(repeated.get_partial_shape()[1].get_length())
        same = np.eye(n, dtype=np.float32)[..., None, None, None] * np.ones((2, 2, 2), np.float32)
        new = convolved_after_upsampling(ops, repeated.get_node().input_value(0), beside, same, weight)
        for after in old.output(0).get_target_inputs():
            after.replace_source_output(new.output(0))
    model.validate_nodes_and_infer_types()
    return model


def _values(node: Any) -> np.ndarray:
    """The float32 values of a constant of a model, which may be stored in 16 bits."""
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return np.asarray(node.data, np.float32)


def convolved_after_upsampling(ops: Any, low: Any, beside: Any, up: np.ndarray, weight: np.ndarray) -> Any:
    """Convolution by `weight` of `low`, brought to the grid of `beside` by `up` and put before it.

    Parameters
    ----------
    low, beside : outputs of a model, (1, in, x, y, z) and (1, channels, ...) on a grid finer by the kernel of `up`
    up : (in, middle, ...), a transposed convolution whose stride is its kernel
    weight : (out, middle + channels, ...), odd kernels; the image is padded with zeros so that it keeps its size
    """
    middle, sides = up.shape[1], list(up.shape[2:])
    around = [n // 2 for n in weight.shape[2:]]
    both = folded(up, weight[:, :middle])
    ones = [1, 1, 1]
    from_low = ops.convolution_backprop_data(
        low, constant(ops, both), strides=sides, pads_begin=around, pads_end=around, dilations=ones
    )
    from_beside = ops.convolution(
        beside, constant(ops, weight[:, middle:]), strides=ones, pads_begin=around, pads_end=around, dilations=ones
    )
    return ops.add(from_beside, from_low)


def folded(up: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """One transposed convolution in place of one (in, middle, ...), whose stride is its kernel, and of the convolution
    (out, middle, ...) after it: (in, out, ...), kernels longer by one less.

    Both are linear: a voxel of the fine grid gets what its neighbours got from the coarse one. With kernels 2 and 3
    that takes 8 products where 27 (and those of the first) were.
    """
    kernel = np.array(weight.shape[2:])
    out = np.zeros((len(up), len(weight), *(np.array(up.shape[2:]) + kernel - 1)), np.float32)
    for place in np.ndindex(*kernel):
        start = kernel - 1 - place  # a neighbour in front is one into which a voxel further behind was brought
        x, y, z = (slice(a, a + n) for a, n in zip(start, up.shape[2:], strict=True))
        out[..., x, y, z] += np.moveaxis(np.tensordot(up, weight[(..., *place)], (1, 1)), -1, 1)
    return out


def constant(ops: Any, values: np.ndarray) -> Any:
    """A float32 constant of a model."""
    return ops.constant(np.ascontiguousarray(values, np.float32))


def openvino() -> Any:
    """OpenVINO without its telemetry: its import would report itself to Google and write into the home folder.

    Where the package of the telemetry is not there, OpenVINO goes without.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@lru_cache(maxsize=4)
def load(path: Path, precision: str, threads: int) -> Network:
    """The same network for the same arguments: compiling takes longer than running."""
    return Network(path, precision, threads)
