"""Brain masks: what is taken, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thalbids.errors import ImageError
from thalbids.image.io import save_image
from thalbids.methods.freesurfer import FreeSurfer
from thalbids.participant.stages.session import brain as stage

SHAPE = (24, 24, 24)


def ball(radius: float, shift: int = 0) -> np.ndarray:
    grid = np.indices(SHAPE) - 11.5
    grid[0] -= shift
    return (grid**2).sum(0) <= radius**2


def brain(tmp_path: Path, mask: np.ndarray) -> Any:
    random = np.random.default_rng(1).random(SHAPE, dtype=np.float32)
    for name, data in (("t1w", random), ("seen", ball(9)), ("mask", mask)):
        save_image(data, np.eye(4), tmp_path / f"{name}.nii.gz")
    inputs = {name: tmp_path / f"{name}.nii.gz" for name in ("seen", "mask")}
    inputs |= {"T1w": tmp_path / "t1w.nii.gz", "raw": tmp_path / "t1w.nii.gz"}
    params = stage.BrainParams("given", "bids::sub-01/anat/sub-01_desc-reoriented_T1w.nii.gz", ("bids:brain:x",))
    return stage.brain(inputs, {"brain": tmp_path / "brain.nii.gz"}, params, {})


def test_a_given_brain_mask_is_taken_when_it_lies_on_the_brain(tmp_path: Path) -> None:
    told = brain(tmp_path, ball(8)).sidecars["brain"]
    shared, smaller = ball(9).sum(), ball(8).sum()
    assert told["DiceWithSynthal"] == pytest.approx(2 * smaller / (shared + smaller))
    assert told["BrainSource"] == "given"
    with pytest.raises(ImageError, match="is not on the brain of this T1w"):
        brain(tmp_path, ball(8, shift=9))


def test_freesurfers_brain_has_no_holes_and_reaches_the_edge_of_its_labels() -> None:
    labels = np.where(ball(9), 2, 0)
    labels[11:13, 11:13, 11:13] = 0  # fluid without a label
    labels[:, 12, 12] = np.where(ball(9)[:, 12, 12], 0, labels[:, 12, 12])  # a sulcus
    found = FreeSurfer().brain(labels, np.diag([1.0, 1.0, 2.0, 1.0]))
    assert (ball(9) & ~found).sum() <= 2  # the mouths of the sulcus
    assert (found & ~ball(9)).sum() < 0.02 * ball(9).sum()
