"""What the functions of several steps share: their inputs, a work folder, masks as files, and the refusal."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.bids.results.dictionaries import LABEL_TABLE, LABEL_TABLE_COLUMNS
from thalbids.bids.results.outputs import write_table
from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.errors import ImageError, ThalbidsError
from thalbids.image.content import brightness_asymmetry, clipped_share, empty_slices, grey_values, smoothness
from thalbids.image.io import load_labels, save_image
from thalbids.image.noise import noise_share
from thalbids.inference.boxes import offset_of
from thalbids.qc.measures import asymmetry_index
from thalbids.scratch import scratch
from thalbids.types import LEFT_THALAMUS, RIGHT_THALAMUS

ASYMMETRY = "AsymmetryIndex"  # of the sidecar of left and right thalamus, for the person's other visits


SCANNED = "ScannedVoxelSize"  # of the sidecar of an image: mm, before it was brought onto the T1w grid
OF_SCAN = {  # what is measured of a scan before it is resampled: in rules, in the sidecar of the image
    "noise_share": "NoiseShare", "empty_slices": "EmptySlices", "grey_values": "GreyValues",
    "clipped_share": "ClippedShare", "smoothness": "Smoothness", "filled_share": "FilledShare",
}  # fmt: skip


def scan_facts(
    data: np.ndarray, brain: np.ndarray, zooms: Sequence[float], filled: np.ndarray | None = None
) -> dict[str, float | None]:
    """What the sidecar of an image tells of the scan (x, y, z; zooms in mm), by a brain mask on its grid.

    ``filled`` (x, y, z): where voxels without a value were filled when it was read.
    """
    scanned = data if filled is None else np.where(filled, 0, data)  # filling may grow from voxels in a lost slice
    told = (
        noise_share(data, brain),
        empty_slices(scanned, brain),
        grey_values(data, brain),
        clipped_share(data, brain),
        smoothness(data, brain, zooms),
        0.0 if filled is None or not np.any(brain) else float(filled[brain != 0].mean()),
    )
    return dict(zip(OF_SCAN.values(), told, strict=True))


def of_both(data: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """What rules ask of a scan (x, y, z) and a mask on its grid together."""
    asymmetry = brightness_asymmetry(data - np.float32(offset_of(data)), labels)
    return {} if asymmetry is None else {"brightness_asymmetry": asymmetry}


@dataclass(frozen=True)
class RefusalParams(Params):
    """Why something cannot be had, and how to fix that."""

    kind = "refusal"
    problem: str
    mend: str = ""


@recorded_as("thalbids.pipeline.steps.refuse")
def refuse(inputs: Inputs, outputs: Outputs, params: RefusalParams, upstream: Upstream) -> Done:
    """The step in place of one that cannot be done: says why."""
    raise ImageError(params.problem, params.mend)


def image_of(uri: str) -> str:
    """Which image a file of ours is, by the end of its name.

    Examples
    --------
    >>> image_of("bids::sub-01/anat/sub-01_desc-reoriented_T1w.nii.gz")
    'T1w'
    """
    return uri.rpartition("_")[2].partition(".")[0]


def given(inputs: Inputs, key: str) -> Path:
    """An input that the plan has made sure of."""
    path = inputs[key]
    if path is None:
        raise ValueError(f"the plan gave no {key}")
    return path


def there(inputs: Inputs, key: str) -> Path | None:
    """An input that may be missing."""
    path = inputs.get(key)
    return path if path is not None and path.exists() else None


def labels_of(inputs: Inputs, key: str) -> np.ndarray:
    """A mask among the inputs, as an array."""
    return np.asarray(load_labels(given(inputs, key)).dataobj).astype(np.uint8)


@contextmanager
def work_folder(work_dir: Path | None) -> Iterator[Path]:
    """An empty folder that is removed afterwards; errors that leave it do not name it, as it differs in every run."""
    if work_dir is not None:
        work_dir.mkdir(parents=True, exist_ok=True)
    with scratch("step", work_dir) as folder:
        try:
            yield folder
        except ThalbidsError as error:
            inside = error.path is not None and error.path.is_relative_to(folder)
            problem, mend = (text.replace(f"{folder}{os.sep}", "") for text in (error.problem, error.mend))
            raise type(error)(problem, mend, None if inside else error.path) from None


def write_masks(
    labels: np.ndarray, affine: np.ndarray, outputs: Outputs, common: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    """Left/right labels with their table, and the binary mask; gives their sidecars."""
    save_image(labels, affine, outputs["dseg"], dtype=np.uint8)
    write_table(outputs["table"], LABEL_TABLE, LABEL_TABLE_COLUMNS)
    save_image((labels != 0).astype(np.uint8), affine, outputs["mask"], dtype=np.uint8)
    balance = asymmetry_index(*(float(np.count_nonzero(labels == side)) for side in (LEFT_THALAMUS, RIGHT_THALAMUS)))
    return {"mask": {**common, "Type": "ROI"}, "dseg": {**common, ASYMMETRY: balance}}
