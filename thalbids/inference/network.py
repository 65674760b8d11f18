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
        self._compiled = compiled(openvino().Core().read_model(path), precision, threads)

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
