"""The work folder of a step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thalbids.participant.step_io import of_both, scan_facts, work_folder
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


def test_a_lost_slice_is_counted_also_where_filling_has_grown_into_it() -> None:
    data = np.random.default_rng(1).uniform(50, 100, SHAPE)
    lost = np.zeros(SHAPE, dtype=bool)
    lost[:, :, 12] = True
    brain = np.ones(SHAPE, dtype=np.uint8)
    facts = scan_facts(data, brain, (1.0, 1.0, 1.0), lost)
    assert facts["EmptySlices"] == 1 and facts["FilledShare"] == pytest.approx(1 / 24)
    assert scan_facts(data, brain, (1.0, 1.0, 1.0))["EmptySlices"] == 0


def test_brightness_counts_from_the_offset_of_a_scan() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:10, 6:18, 6:18], labels[14:20, 6:18, 6:18] = 10, 49
    scan = np.random.default_rng(1).uniform(50, 150, SHAPE).astype(np.float32) * (labels != 0)
    scan[labels == 10] *= 0.5
    (plain,) = of_both(scan, labels).values()
    assert plain == pytest.approx(-2 / 3, abs=0.03)
    assert of_both(scan - 1000, labels) == {"brightness_asymmetry": pytest.approx(plain, abs=1e-4)}
    assert of_both(scan, 0 * labels) == {}
