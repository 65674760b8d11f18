"""SAMSEG on several images together: what is planned, and what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.unit.participant.planning import Fixed, no_weights
from tests.unit.tools.conftest import scan
from thalbids.engine.step import check_plan
from thalbids.image.io import save_image
from thalbids.methods.base import Request
from thalbids.methods.whole_brain.samseg_images import WithFlair, WithFlairAndR1, WithT2
from thalbids.participant.plan import plan, steps_of
from thalbids.settings import Settings
from thalbids.types import InputImage, Session

__all__ = ["no_weights"]


def session(folder: Path, images: tuple[str, ...], label: str = "1") -> Session:
    found = {}
    for name in images:
        path = folder / f"sub-01_ses-{label}_{name}.nii.gz"
        save_image(np.asarray(scan().dataobj), scan().affine, path)
        found[name] = InputImage(path, f"bids:raw:{path.name}", name)
    return Session("01", label, found)


def test_one_run_for_all_images_and_one_mask(tmp_path: Path) -> None:
    both = session(tmp_path, ("T1w", "FLAIR", "T2w"))
    methods = [WithFlair(), WithT2(), WithFlairAndR1(), Fixed()]
    subjects = list(plan([both], tmp_path / "out", methods, Settings()))
    steps = {step.name.removeprefix("sub-01_ses-1 "): step for step in steps_of(subjects)}
    check_plan(list(steps.values()))
    maps = steps["samsegT1withFLAIR label maps"]
    assert {"T1w", "FLAIR"} <= set(maps.inputs) and maps.params.method["PallidumSeparate"]
    assert sorted(maps.outputs) == ["T1w", "T1w probability", "T1w table"]
    assert maps.outputs["T1w probability"].name == (
        "sub-01_ses-1_space-T1w_label-thalamus_desc-samsegT1withFLAIR_probseg.nii.gz"
    )
    assert "register T2w" in steps and maps.memory_gb >= 6.5
    masks = {mask.desc: mask for mask in subjects[0].sessions[0].masks}
    assert masks["samsegT1withT2"].step and masks["samsegT1withT2"].image == "several"
    assert masks["samsegT1withFLAIRandR1"].reason == "the session has no R1map image"


def test_an_image_that_could_not_be_registered_is_told(tmp_path: Path) -> None:
    request = Request("T1w", scan(), tmp_path / "brain.nii.gz", (3, -5, 7), {}, tmp_path)
    made, failed = WithFlair().label_maps({"T1w": request})
    assert not made and failed == {"T1w": "there is no FLAIR on the grid of the T1w."}
