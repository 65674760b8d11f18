"""Checkpoints as ``torch.save`` writes them, written without torch: a zip file with a pickle and the numbers."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.inference import mindglide, nnunet

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


def nnunet_fold(folder: Path, plans: dict[str, Any], tensors: Mapping[str, np.ndarray], **other: Any) -> Path:
    """A fold of nnU-Net version 1: the checkpoint with its table among other things, and the plans beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = write(folder / nnunet.WEIGHTS, tensors)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    losses = pickle.dumps(([np.float64(-0.5)], None), 2)[2:-1]
    whole = b"\x80\x02}(" + text("epoch") + number(3) + text("plot_stuff") + losses + text("state_dict")
    files["archive/data.pkl"] = whole + files["archive/data.pkl"][2:-1] + b"u."
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    info = {"init": ("plans.pkl", 0, None, None, True, 0, True, False, True), "name": nnunet.TRAINER, "plans": plans}
    with (folder / f"{nnunet.WEIGHTS}.pkl").open("wb") as file:
        pickle.dump(OrderedDict(info | other), file)
    return folder


def nnunet_plans(**other: Any) -> dict[str, Any]:
    """Plans of a small network with 32 classes; ``other``: entries that differ, those of the stage included."""
    stage = {
        "patch_size": np.array([16, 12, 8]), "current_spacing": np.array([1.0, 1.0, 1.0]),
        "pool_op_kernel_sizes": [[2, 2, 2], [2, 2, 1]], "conv_kernel_sizes": [[3, 3, 1], [3, 3, 3], [3, 3, 3]],
    }  # fmt: skip
    plans = {
        "num_modalities": 1, "normalization_schemes": OrderedDict({0: "nonCT"}), "num_classes": 31,
        "base_num_features": 2, "use_mask_for_norm": OrderedDict({0: np.bool_(False)}), "transpose_forward": [0, 1, 2],
        "dataset_properties": {"intensityproperties": None, "all_spacings": [np.float64(1)]},
    }  # fmt: skip
    stage |= {name: other.pop(name) for name in tuple(other) if name in stage}
    return plans | {"plans_per_stage": {0: stage}} | other


def random_nnunet(folder: Path, seed: int, plans: dict[str, Any] | None = None, **other: Any) -> Path:
    """A fold with random weights."""
    plans, random = plans or nnunet_plans(), np.random.default_rng(seed)
    nnunet_fold(folder, plans, {"none": np.zeros(1, np.float32)}, **other)
    tensors = {}
    for name, shape in nnunet.shapes(nnunet.plans(folder)).items():
        spread = 3 if name.startswith("seg") else np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
        tensors[name] = (random.normal(0, spread, shape) + name.endswith("norm.weight")).astype(np.float32)
    return nnunet_fold(folder, plans, tensors, **other)
