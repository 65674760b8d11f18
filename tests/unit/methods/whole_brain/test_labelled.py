"""What methods with FreeSurfer's numbers share: the thalami of a label map, and results that are whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from thalbids.methods.base import Request
from thalbids.methods.whole_brain.labelled import ICV, Existing
from thalbids.settings import MethodSettings
from thalbids.tools.runner import ToolError
from thalbids.types import Session


class Mine(Existing):
    shown, protocol = "Mine", "as Mine draws it"
    wanted: Mapping[str, str] = {"labels": "seg.mgz", "soft": "posteriors/*left*.mgz"}
    finished = ("done.txt",)

    def __init__(self, root: Path):
        self.root = root

    def own(self, settings: MethodSettings) -> SimpleNamespace:  # type: ignore[override]
        return SimpleNamespace(results_dir=self.root)


def test_only_the_thalami_are_kept_with_what_the_map_told(tmp_path: Path) -> None:
    labels = np.array([[[0, 10, 49, 2, 1010]]])
    image = nib.Nifti1Image(np.zeros(labels.shape, np.float32), np.eye(4))
    request = Request("T1w", image, tmp_path, (0, 0, 0), {}, tmp_path, labels=labels, told={ICV: 1.5e6, "Other": 1})
    found = Mine(tmp_path).segment(request)
    assert found.labels.dtype == np.uint8 and found.labels.tolist() == [[[0, 10, 49, 0, 0]]]
    assert found.metadata == {"Protocol": "as Mine draws it", ICV: 1.5e6}


def test_results_are_taken_when_they_are_whole(tmp_path: Path) -> None:
    method, session = Mine(tmp_path), Session("01", "1", {})
    assert method.results(MethodSettings(), session, alone=True) is None
    folder = tmp_path / "sub-01_ses-1"
    (folder / "posteriors").mkdir(parents=True)
    with pytest.raises(ToolError, match=r"no seg\.mgz and no done\.txt"):
        method.results(MethodSettings(), session, alone=True)
    for name in ("seg.mgz", "done.txt", "posteriors/x_left_2.mgz", "posteriors/x_left_1.mgz"):
        (folder / name).touch()
    assert method.results(MethodSettings(), session, alone=False) == folder
    assert method.files(folder) == {"labels": folder / "seg.mgz", "soft": folder / "posteriors" / "x_left_1.mgz"}
