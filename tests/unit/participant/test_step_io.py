"""The work folder of a step."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids.participant.step_io import work_folder
from thalbids.tools.runner import ToolError

SHAPE = (24, 24, 24)


def test_an_error_does_not_name_the_work_folder(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught, work_folder(tmp_path / "work") as folder:
        assert not list(folder.iterdir())
        raise ToolError(f"no {folder}/first.log here.", f"See {folder}/x.", folder / "first.logs")
    assert str(caught.value) == "no first.log here. See x."
    with pytest.raises(ToolError) as caught, work_folder(tmp_path / "work"):
        raise ToolError("bad.", "", tmp_path / "mask.nii.gz")
    assert caught.value.path == tmp_path / "mask.nii.gz"
    assert not list((tmp_path / "work").iterdir())
