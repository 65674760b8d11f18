"""nnU-Net version 1 (Isensee et al. 2021) without its own program: plans, weights, preprocessing and prediction.

What a training left is read as data (:mod:`thalbids.inference.checkpoint`): ``fold_N/model_final_checkpoint.model``
with the weights, beside it ``.model.pkl`` with the plans. Prediction is that of nnU-Net 1.7.1 on a processor: windows
half a window apart at most, probabilities averaged over mirrorings, weighted by a Gaussian, added over windows and
folds; the class with the largest sum. Image and plans have voxels of 1 mm, so that nothing is resampled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from thalbids.errors import ImageError, MissingToolError
from thalbids.image.grids import bounding_box
from thalbids.inference import checkpoint, windows
from thalbids.inference.network import compiled
from thalbids.inference.unet import Layer, UNet, Up
from thalbids.inference.windows import Box, Shape

WEIGHTS = "model_final_checkpoint.model"
TABLE = "state_dict"
TRAINER = "nnUNetTrainerV2"
MOST_FEATURES = 320
AFTERWARDS = "postprocessing.json"  # beside the folds
MOST_VOXELS = 2**24  # of a window; DBSegment's have 2 ** 21
MOST_CONVOLUTIONS = 8
SIGMA = 1 / 8  # of the Gaussian, in sides of the window
_UPSTREAM = 'Name the folder of DBSegment\'s own models, or compute with its program: engine = "upstream".'


@dataclass(frozen=True)
class Plans:
    """What the training planned.

    Attributes
    ----------
    window : its sides, in the order of the network's axes
    pools, kernels : per level the stride to the next one, and the kernel of its convolutions
    features : of the first level; doubled at each, up to 320
    convolutions : of each block
    classes : with the background
    axes : where the network's axes lie among those of an array in the order z, y, x
    scheme : ``nonCT`` (z-scores) or ``CT`` (cut and scaled by the training's intensities)
    masked : intensities are normalised inside what is not 0, and 0 outside
    intensities : of the training, for ``CT``: mean, sd, percentile_00_5, percentile_99_5
    """

    window: Shape
    pools: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]
    features: int
    convolutions: int
    classes: int
    axes: tuple[int, ...]
    scheme: str
    masked: bool
    intensities: tuple[float, ...] = ()


def plans(fold: Path) -> Plans:
    """The plans beside the weights of a fold.

    Raises
    ------
    MissingToolError
        They are missing, damaged, or ask for what is not computed here.
    """
    path = fold / f"{WEIGHTS}.pkl"
    info = checkpoint.plain(path)
    try:
        return _plans(info, path)
    except MissingToolError:
        raise
    except Exception as error:  # damaged plans raise nearly anything
        problem = f"these are no plans of nnU-Net version 1 ({type(error).__name__}: {error})."
        raise MissingToolError(problem, _UPSTREAM, path) from error


def _plans(info: Any, path: Path) -> Plans:
    said = info["plans"]
    stages, stage = said["plans_per_stage"], info["init"][5]
    planned = stages[next(iter(stages)) if stage is None else stage]
    scheme, spacing = said["normalization_schemes"][0], _values(planned["current_spacing"])
    name, preprocessor = str(info["name"]), str(said.get("preprocessor_name", "GenericPreprocessor"))
    needs = {
        f"the trainer {name:.80}": name == TRAINER,
        f"the preprocessor {preprocessor:.80}": preprocessor in ("None", "GenericPreprocessor"),
        f"voxels of {spacing} mm": bool(np.allclose(spacing, 1, atol=1e-3)),
        f"{said['num_modalities']!s:.20} images": said["num_modalities"] == 1,
        f"a window of {len(_values(planned['patch_size']))} axes": len(_values(planned["patch_size"])) == 3,
        f"the normalisation {scheme!s:.20}": scheme in ("nonCT", "CT"),
    }
    other = next((name for name, usual in needs.items() if not usual), None)
    if other is not None:
        raise MissingToolError(f"these plans ask for {other}, which thalbids does not compute.", _UPSTREAM, path)
    x, y, z = (int(n) for n in _values(planned["patch_size"]))
    names = ("mean", "sd", "percentile_00_5", "percentile_99_5")
    seen = said["dataset_properties"]["intensityproperties"] if scheme == "CT" else None
    return _sound(
        Plans(
            window=(x, y, z),
            pools=_triples(planned["pool_op_kernel_sizes"]),
            kernels=_triples(planned["conv_kernel_sizes"]),
            features=int(said["base_num_features"]),
            convolutions=int(said.get("conv_per_stage", 2)),
            classes=int(said["num_classes"]) + 1,
            axes=tuple(int(axis) for axis in _values(said.get("transpose_forward") or (0, 1, 2))),
            scheme=scheme,
            masked=bool(said["use_mask_for_norm"][0]),
            intensities=() if seen is None else tuple(float(seen[0][name]) for name in names),
        )
    )


def _sound(planned: Plans) -> Plans:
    """The plans, where a network can be built of them; ValueError otherwise."""
    pooled = np.prod(np.array(planned.pools or [(1, 1, 1)]), 0)
    rules = {
        "one kernel more than pools": len(planned.kernels) == len(planned.pools) + 1,
        "pools of 1 or 2": all(len(one) == 3 and set(one) <= {1, 2} for one in planned.pools),
        "kernels of 1 or 3": all(len(one) == 3 and set(one) <= {1, 3} for one in planned.kernels),
        "axes 0, 1 and 2": sorted(planned.axes) == [0, 1, 2],
        "convolutions": 1 <= planned.convolutions <= MOST_CONVOLUTIONS,
        "features": 1 <= planned.features <= MOST_FEATURES,
        "classes": 2 <= planned.classes <= MOST_FEATURES,
        "a window that the pools divide": min(planned.window) > 0 and not (np.array(planned.window) % pooled).any(),
        "a window of ordinary size": np.prod(planned.window, dtype=np.float64) <= MOST_VOXELS,
    }
    for rule, kept in rules.items():
        if not kept:
            raise ValueError(f"not {rule}")
    return planned


def _values(numbers: Any) -> tuple[float, ...]:
    return tuple(numbers.values.tolist() if isinstance(numbers, checkpoint.Array) else numbers)


def _triples(rows: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(n) for n in _values(one)) for one in _values(rows))


def features(planned: Plans) -> list[int]:
    """Of each level, from the finest to the coarsest."""
    return [min(planned.features << level, MOST_FEATURES) for level in range(len(planned.pools) + 1)]


def blocks(planned: Plans) -> list[list[str]]:
    """Names of the layers of each block: those on the way down, then those on the way up."""
    levels, many = len(planned.pools), planned.convolutions
    down = [[f"conv_blocks_context.{level}.blocks.{i}" for i in range(many)] for level in range(levels)]
    parted = [f"conv_blocks_context.{levels}", *(f"conv_blocks_localization.{level}" for level in range(levels))]
    both = [[*(f"{name}.0.blocks.{i}" for i in range(many - 1)), f"{name}.1.blocks.0"] for name in parted]
    return [*down, *both]


def shapes(planned: Plans) -> dict[str, tuple[int, ...]]:
    """The entries of a checkpoint that the network needs, and their shapes."""
    levels, many = len(planned.pools), features(planned)
    sizes = [*zip([1, *many[:-1]], many, planned.kernels, strict=True)]
    sizes += [(2 * n, n, kernel) for n, kernel in zip(many[-2::-1], planned.kernels[:0:-1], strict=True)]
    out: dict[str, tuple[int, ...]] = {}
    for names, (before, after, kernel) in zip(blocks(planned), sizes, strict=True):
        for i, name in enumerate(names):
            out[f"{name}.conv.weight"] = (after, after if i else before, *kernel)
            out |= {f"{name}.instnorm.{one}": (after,) for one in ("weight", "bias")}
    for i, pool in enumerate(planned.pools[::-1]):
        out[f"tu.{i}.weight"] = (many[levels - i], many[levels - 1 - i], *pool)
    out[f"seg_outputs.{levels - 1}.weight"] = (planned.classes, many[0], 1, 1, 1)
    return out


def check_layout(fold: Path) -> Plans:
    """The plans of a fold, of which the weights were looked at too.

    Raises
    ------
    MissingToolError
        As :func:`plans`; or the weights are missing, damaged (:func:`thalbids.inference.checkpoint.layout`), or of
        another network.
    """
    planned, path = plans(fold), fold / WEIGHTS
    layout = {name.removeprefix("module."): shape for name, shape in checkpoint.layout(path, TABLE).items()}
    for name, shape in shapes(planned).items():
        if layout.get(name) != shape:
            told = f"its {name} has the shape {layout[name]}, not {shape}" if name in layout else f"it has no {name}"
            raise MissingToolError(f"the checkpoint is not of the network of its plans: {told}.", _UPSTREAM, path)
    return planned


def unet(planned: Plans, tensors: Mapping[str, np.ndarray]) -> UNet:
    """The network of the tensors of a checkpoint."""
    levels = len(planned.pools)

    def block(names: Sequence[str], stride: tuple[int, ...] = (1, 1, 1)) -> tuple[Layer, ...]:
        return tuple(
            Layer(
                tensors[f"{name}.conv.weight"],
                (1, 1, 1) if i else stride,
                tensors[f"{name}.instnorm.weight"],
                tensors[f"{name}.instnorm.bias"],
            )
            for i, name in enumerate(names)
        )

    names = blocks(planned)
    strides = [(1, 1, 1), *planned.pools]
    down = tuple(block(one, stride) for one, stride in zip(names[: levels + 1], strides, strict=True))
    up = tuple(Up(tensors[f"tu.{i}.weight"], block(one)) for i, one in enumerate(names[levels + 1 :]))
    head = tensors[f"seg_outputs.{levels - 1}.weight"]
    return UNet(down, up, head, np.zeros(len(head), np.float32))


class Ensemble:
    """The networks of several folds: a window of normalised intensities to the sum over them of the probabilities
    (class, x, y, z), each the mean over mirrorings.

    Raises
    ------
    MissingToolError
        As :func:`check_layout`, or the folds have different plans.
    """

    def __init__(self, folds: Sequence[Path], precision: str = "full", threads: int = 1, *, mirrored: bool = False):
        planned = [check_layout(fold) for fold in folds]
        other = next((fold for fold, one in zip(folds, planned, strict=True) if one != planned[0]), None)
        if other is not None:
            raise MissingToolError(f"its plans are not those of {folds[0].name}.", _UPSTREAM, other)
        self.plans = planned[0]
        self._axes = [*chain.from_iterable(combinations(range(3), n) for n in range(4 if mirrored else 1))]
        self._nets = [self._net(fold, precision, threads) for fold in folds]

    def _net(self, fold: Path, precision: str, threads: int) -> Any:
        tensors = {
            name.removeprefix("module."): values for name, values in checkpoint.read(fold / WEIGHTS, TABLE).items()
        }
        model = unet(self.plans, tensors).model(self.plans.window, probabilities=True)
        return compiled(model, precision, threads)

    def __call__(self, window: np.ndarray) -> np.ndarray:
        total, share = np.zeros((self.plans.classes, *window.shape), np.float32), np.float32(1 / len(self._axes))
        for net in self._nets:
            for axes in self._axes:
                seen = np.ascontiguousarray(np.flip(window, axes)[None, None], np.float32)
                probabilities = net([seen], share_outputs=True)[0][0]
                total += np.flip(probabilities, [axis + 1 for axis in axes]) * share
            if len(self._nets) > 1:  # the memory of one network at a time
                net.release_memory()
        return total

    def rest(self) -> None:
        """Give back the memory of the last window; the networks stay."""
        for net in self._nets:
            net.release_memory()


@lru_cache(maxsize=1)
def load(
    folds: tuple[Path, ...], changed_ns: tuple[int, ...], precision: str, threads: int, mirrored: bool
) -> Ensemble:
    """The networks of these folds, made once a process unless their files change (``changed_ns``)."""
    return Ensemble(folds, precision, threads, mirrored=mirrored)


def starts(length: int, side: int) -> list[int]:
    """Where windows begin along an axis that is at least as long as a window: as few as lie half a window apart or
    less, at even distances.

    Examples
    --------
    >>> starts(110, 64)
    [0, 23, 46]
    """
    more = int(np.ceil((length - side) / (side * 0.5)))
    return [int(np.round((length - side) / more * i)) for i in range(more + 1)] if more else [0]


@lru_cache(maxsize=1)
def weights(side: Shape) -> np.ndarray:
    """Of a window's voxels (float32, x, y, z): a Gaussian around its middle, 1 at most; where it is 0 its smallest
    other value.
    """
    lines = []
    for n in side:
        middle = np.zeros(n)
        middle[n // 2] = 1
        lines.append(ndimage.gaussian_filter1d(middle, n * SIGMA, mode="constant"))
    gaussian = (lines[0][:, None] * lines[1])[:, :, None] * lines[2]
    out: np.ndarray = (gaussian / gaussian.max()).astype(np.float32)
    out[out == 0] = out[out > 0].min()
    return out


TILING = windows.Tiling(starts, weights)


def normalise(image: np.ndarray, mask: np.ndarray, planned: Plans) -> np.ndarray:
    """Intensities (float32) as the network wants them; ``mask``: what is not 0, holes filled."""
    out = image.copy()
    if planned.scheme == "CT":
        mean, sd, low, high = planned.intensities
        out = ((np.clip(out, low, high) - np.float32(mean)) / np.float32(sd)).astype(np.float32)
    elif planned.masked:
        out[mask] = (out[mask] - out[mask].mean()) / (out[mask].std() + np.float32(1e-8))
    else:
        out = (out - out.mean()) / (out.std() + np.float32(1e-8))
    if planned.masked:
        out[~mask] = 0
    return out


def segment(image: np.ndarray, net: Any, around: Box | None = None) -> np.ndarray:
    """The classes of an image with voxels of 1 mm.

    Parameters
    ----------
    image : (x, y, z)
    net : an :class:`Ensemble`
    around : only this box is labelled, the rest is 0; None: everything

    Returns
    -------
    uint8 (x, y, z)

    Raises
    ------
    ImageError
        The image is 0 everywhere.
    """
    planned: Plans = net.plans
    volume = np.asarray(image, np.float32).T  # z, y, x, as SimpleITK hands it to nnU-Net
    if not volume.any():
        raise ImageError("every voxel of the image is 0.", "Look at the image: there is nothing to segment.")
    filled = ndimage.binary_fill_holes(volume != 0)
    box = bounding_box(volume != 0)
    seen, mask = (np.ascontiguousarray(one[box]).transpose(planned.axes) for one in (volume, filled))
    asked = box if around is None else _common(box, around[::-1])
    out = np.zeros(volume.shape, np.uint8)
    if asked is not None:
        inside = [slice(p.start - q.start, p.stop - q.start) for p, q in zip(asked, box, strict=True)]
        x, y, z = (inside[axis] for axis in planned.axes)
        classes = windows.labels(
            net, planned.classes, normalise(seen, mask, planned), planned.window, (x, y, z), TILING
        )
        out[asked] = classes.transpose(np.argsort(planned.axes))
    return np.ascontiguousarray(out.T)


def _common(a: Box, b: Sequence[slice]) -> Box | None:
    x, y, z = (slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return (x, y, z) if all(part.start < part.stop for part in (x, y, z)) else None


def largest_only(model: Path) -> tuple[tuple[int, ...], ...]:
    """Sets of classes of which ``postprocessing.json`` beside the folds keeps the largest component alone.

    Raises
    ------
    MissingToolError
        The file is damaged, or asks for what is not computed here (smallest sizes).
    """
    path = model / AFTERWARDS
    if not path.is_file():
        return ()
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        sets = said["for_which_classes"]
        sizes = said.get("min_valid_object_sizes", "None")
        kept = tuple(tuple(int(n) for n in (one if isinstance(one, list) else [one])) for one in sets)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MissingToolError(f"nnU-Net's post-processing cannot be read ({error}).", _UPSTREAM, path) from error
    if kept and str(sizes) not in ("None", "{}"):
        raise MissingToolError("nnU-Net's post-processing has smallest sizes, which are not computed.", _UPSTREAM, path)
    return kept


def keep_largest(labels: np.ndarray, sets: Sequence[Sequence[int]]) -> np.ndarray:
    """Labels without what does not hang together, face to face, with the largest part of its set of classes; parts of
    the same size stay.
    """
    out = labels.copy()
    for classes in sets:
        parts, n = ndimage.label(np.isin(out, classes))
        if n > 1:
            sizes = np.bincount(parts.ravel())
            sizes[0] = sizes[1:].max()
            out[sizes[parts] < sizes[0]] = 0
    return out
