"""The predictor of the thalamic centre on real heads; the figures stand in docs/qc.md and set the limits."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from thalbids.qc import MaskInput, build

pytestmark = [pytest.mark.data, pytest.mark.slow]

HEADS = [f"training_seg_{number:02d}" for number in range(1, 21)]


def judge(labels: np.ndarray, brain: np.ndarray, affine: np.ndarray) -> dict:
    thalami = np.where((labels == 10) | (labels == 49), labels, 0)
    masks = {"manual": MaskInput(thalami, "manual", ("T1w",))}
    return build(subject="01", session=None, affine=affine, masks=masks, brain=brain)


@pytest.mark.parametrize("head", HEADS)
def test_manual_thalami_of_label_maps_are_plausible(head, data_root: Path):
    image = nib.load(data_root / "synthseg_labels" / "data" / "training_label_maps" / f"{head}.nii.gz")
    labels = np.asanyarray(image.dataobj).astype(np.int16)
    brain = ndimage.binary_fill_holes((labels >= 1) & (labels <= 99) & (labels != 24))
    document = judge(labels, brain, image.affine)
    assert document["Flags"] == []
    measures = document["Masks"]["manual"]["measures"]
    assert measures["centre_distance_mm"] < 4.2
    assert max(measures["centre_distance_left_mm"], measures["centre_distance_right_mm"]) < 5.8
    assert 21 < measures["separation_mm"] < 29.5


@pytest.mark.parametrize("head", ["freesurfer6/sub-01", "freesurfer6/sub-06", "freesurfer7_bert"])
def test_freesurfer_thalami_are_plausible_with_freesurfers_brain_mask(head, data_root: Path):
    folder = data_root / head / "mri"
    image = nib.load(folder / "aseg.mgz")
    brain = np.asanyarray(nib.load(folder / "brainmask.mgz").dataobj) > 0
    document = judge(np.asanyarray(image.dataobj), brain, image.affine)
    assert document["Flags"] == []
    assert document["Masks"]["manual"]["measures"]["centre_distance_mm"] < 3.5
