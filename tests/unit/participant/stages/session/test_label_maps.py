"""Label maps of tools: images that are not there, and images that fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thalbids.engine.step import Done, StepResult
from thalbids.files import write_json
from thalbids.image.io import save_image
from thalbids.methods.mindglide import MindGlide
from thalbids.participant.stages.session import label_maps
from thalbids.tools.runner import ToolError

SHAPE = (24, 24, 24)


def maps(tmp_path: Path, family: str, image: str, status: Any) -> Done:
    """The label maps of one image whose step ended so."""
    write_json(tmp_path / "seen.json", {"ThalamiCentreMm": [0, 0, 0]})
    random = np.random.default_rng(1).random(SHAPE, dtype=np.float32)
    save_image(random, np.eye(4), tmp_path / "image.nii.gz")
    inputs: dict[str, Any] = {"seen": tmp_path / "seen.json", image: tmp_path / "image.nii.gz", "file aseg": None}
    inputs["brain"] = tmp_path / "image.nii.gz"
    params = label_maps.LabelMapsParams(family, {image: "before"}, {}, "", {})
    return label_maps.label_maps(inputs, {}, params, {"before": StepResult("before", status)})


def test_a_tool_whose_only_image_was_excluded_has_nothing_to_do(tmp_path: Path) -> None:
    assert maps(tmp_path, "mindglide", "FLAIR", "excluded") == Done({"record": {"Failed": {}, "Software": []}})


def test_a_tool_that_fails_on_one_image_is_run_again_in_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for failed, partial in (({"FLAIR": "CUDA out of memory"}, True), ({}, False)):
        monkeypatch.setattr(MindGlide, "label_maps", lambda self, requests, failed=failed: ({}, failed))
        done = maps(tmp_path, "mindglide", "FLAIR", "ok")
        assert done.partial is partial and done.sidecars["record"]["Failed"] == failed


def test_a_freesurfer_folder_without_aseg_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"no mri/aseg.mgz"):
        maps(tmp_path, "freesurfer", "T1w", "ok")
