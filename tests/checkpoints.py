"""Checkpoints as ``torch.save`` writes them, written without torch: a zip file with a pickle and the numbers."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from thalbids.inference import mindglide

STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage"}
EMPTY = b"ccollections\nOrderedDict\n)R"
# what Module.state_dict() sets besides: BUILD with {"_metadata": {"": {"version": 1}}}
VERSIONS = b"}(X\x09\x00\x00\x00_metadata" + EMPTY + b"(X\x00\x00\x00\x00}(X\x07\x00\x00\x00versionK\x01uuub"


def write(path: Path, tensors: Mapping[str, np.ndarray], same: Mapping[str, str] | None = None) -> Path:
    """A table of tensors; ``same``: further names of tensors that are there already, which share their numbers."""
    kinds = {name: STORAGES[values.dtype.str[1:]] for name, values in tensors.items()}
    keys = {name: str(i) for i, name in enumerate(tensors)}
    names = {name: name for name in tensors} | dict(same or {})
    entries = [(name, kinds[of], keys[of], tensors[of].shape) for name, of in names.items()]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", table(entries))
        archive.writestr("archive/byteorder", "little")
        for name, values in tensors.items():
            archive.writestr(f"archive/data/{keys[name]}", np.ascontiguousarray(values).tobytes())
        archive.writestr("archive/version", "3\n")
    return path


def table(entries: list[tuple[str, str, str, tuple[int, ...]]]) -> bytes:
    """The pickle: per tensor its name, kind of storage, key and shape."""
    out = b"\x80\x02" + EMPTY + b"("
    for name, kind, key, shape in entries:
        size = int(np.prod(shape))
        strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
        stored = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(size) + b"tQ"
        out += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + stored + number(0) + numbers(shape)
        out += numbers(strides) + b"\x89" + EMPTY + b"tR"
    return out + b"u" + VERSIONS + b"."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def numbers(values: tuple[int, ...] | list[int]) -> bytes:
    return b"(" + b"".join(number(int(value)) for value in values) + b"t"


def mindglide_layout(path: Path, **other: tuple[int, ...]) -> Path:
    """A checkpoint with the names and shapes of MindGlide's and without its numbers; ``other``: shapes that differ
    (double underscores stand for dots; an empty shape leaves the tensor out).
    """
    shapes = mindglide.shapes() | {name.replace("__", "."): shape for name, shape in other.items()}
    entries = [(name, "FloatStorage", str(i), shape) for i, (name, shape) in enumerate(shapes.items()) if shape]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", table(entries))
    return path


def random_mindglide(path: Path, seed: int) -> Path:
    """Random weights in the layout of MindGlide's checkpoint, of a size that keeps values near 1 through the layers."""
    random = np.random.default_rng(seed)
    tensors = {}
    for name, shape in mindglide.shapes().items():
        spread = np.sqrt(2 / np.prod(shape[1:]))
        tensors[name] = random.normal(0, spread, shape).astype(np.float32)
    return write(path, tensors)
