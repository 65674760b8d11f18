"""R1 scaled to 0 - 1000 inside the brain mask, and a step for it only where R1 is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, planned_session, session
from thalbids.files import write_json
from thalbids.image.io import load_image, save_image
from thalbids.participant.stages.session.r1 import ScalingParams, scale_r1
from thalbids.settings import load


def test_only_a_session_with_r1_has_the_step() -> None:
    for images in (("T1w", "FLAIR"), ("T1w", "R1map")):
        made = planned_session(session(images), OUT, (Fixed(),), load(None, {}))
        steps = {step.name.removeprefix("sub-01_ses-1 ") for step in made.steps}
        assert ("scale R1map" in steps) == ("R1map" in images) == ("R1map" in made.segmentable)


def test_values_by_hand(tmp_path: Path) -> None:
    r1 = np.zeros((10, 10, 10), np.float32)
    brain = np.zeros(r1.shape, np.uint8)
    brain[:5] = 1
    r1[:5] = 0.5
    r1[0, 0, 0], r1[7] = -1.0, 9.0  # negative in the brain; bright outside
    for name, data in (("r1", r1), ("brain", brain)):
        save_image(data, np.eye(4), tmp_path / f"{name}.nii.gz", dtype=data.dtype)
    write_json(tmp_path / "r1.json", {})
    inputs = {"R1map": tmp_path / "r1.nii.gz", "brain": tmp_path / "brain.nii.gz"}
    done = scale_r1(inputs, {"image": tmp_path / "out.nii.gz"}, ScalingParams("r", "b", "synthal", "t"), {})
    scaled = np.asarray(load_image(tmp_path / "out.nii.gz").dataobj)
    assert scaled[0, 0, 0] == 0 and (scaled[5:] == 0).all()
    np.testing.assert_allclose(scaled[1:5], 1000, rtol=1e-5)
    told = done.sidecars["image"]
    assert told["Sources"] == ["r", "b"] and told["Scaling"]["NegativeVoxels"] == 1 and told["BrainSource"] == "synthal"
