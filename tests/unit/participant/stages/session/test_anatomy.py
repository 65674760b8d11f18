"""The first step of a session: the T1w in order, and what the whole-head network saw."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import affine_of, rotation_matrix
from thalbids.errors import ImageError
from thalbids.image.io import load_image
from thalbids.image.orientation import to_ras
from thalbids.inference.synthal import OrientedBox
from thalbids.methods import synthal
from thalbids.participant.stages.session.anatomy import CUT_OFF, LEFT_BY_STRIPPING, AnatomyParams, anatomy

SHAPE = (10, 12, 14)


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, told: object = None, **seen: Any) -> dict[str, Any]:
    affine = seen.pop("affine", affine_of("LPS", SHAPE))
    looked = seen.pop("looked", [])
    data = seen.pop("data", np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE))
    nib.save(nib.Nifti1Image(data, affine), folder / "raw.nii.gz")
    head = {"centre": np.array([1.0, 2.0, 3.0]), "brain": np.ones(SHAPE, np.uint8), "stripped": False, "cut_off": False,
            "icv_mm3": 1.5e6, "places": {}, "cut_mm2": 0.0, "tilt": 4.0}  # fmt: skip
    at_rest = seen.pop("at_rest", True)

    def head_of(image: nib.Nifti1Image, precision: str, boxes: dict[bytes, OrientedBox]) -> SimpleNamespace:
        looked.append(image.affine)
        boxes[np.array([1.0, 2.0, 3.0]).tobytes()] = OrientedBox(np.array([1.5, 2.5, 1 / 3]), settled=at_rest)
        return SimpleNamespace(**(head | seen))

    monkeypatch.setattr(synthal, "head_of", head_of)
    params = AnatomyParams("bids:raw:x", "bids::y", told, "full", "none")
    outputs = {"T1w": folder / "t1w.nii.gz", "brain": folder / "brain.nii.gz"}
    return dict(anatomy({"T1w": folder / "raw.nii.gz"}, outputs, params, {}).sidecars)


def test_axes_are_put_in_order_without_resampling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run(tmp_path, monkeypatch)
    made, raw = nib.load(tmp_path / "t1w.nii.gz"), nib.load(tmp_path / "raw.nii.gz")
    assert nib.aff2axcodes(made.affine) == ("R", "A", "S")
    np.testing.assert_array_equal(np.asarray(made.dataobj), np.asarray(raw.dataobj)[::-1, ::-1])
    assert told["T1w"]["ThalamiCentreMm"] == [1.0, 2.0, 3.0] and told["T1w"]["IntracranialVolumeMm3"] == 1.5e6
    assert told["T1w"]["SkullStripped"] is False and told["brain"]["Type"] == "Brain"


def test_scattered_nan_are_filled_and_counted_in_the_brain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.full(SHAPE, 50, np.float32)
    data[3, 4, 5] = data[6, 4, 5] = np.nan
    data[0] = 7
    brain = np.zeros(SHAPE, np.uint8)
    brain[-1 - 3, 4:8, 2:12] = 1  # 40 voxels in RAS order, one of them the first NaN: both first axes are turned round
    told = run(tmp_path, monkeypatch, data=data, brain=brain)["T1w"]
    assert told["FilledShare"] == 1 / 40
    assert "2 NaN or infinite voxels were filled with the mean of their neighbours" in told["Notes"]
    assert set(np.unique(nib.load(tmp_path / "t1w.nii.gz").get_fdata())) == {7, 50}


def test_the_head_is_looked_at_where_the_saved_image_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oblique axes that are turned round end at an offset that is no float32, which is what a file holds."""
    looked: list[np.ndarray] = []
    run(tmp_path, monkeypatch, affine=rotation_matrix(12, -9, 17) @ affine_of("LPS", SHAPE), looked=looked)
    assert np.array_equal(looked[0], load_image(tmp_path / "t1w.nii.gz").affine)
    assert not np.array_equal(looked[0], to_ras(load_image(tmp_path / "raw.nii.gz"))[0].affine)


def test_the_box_that_came_to_rest_is_told_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.loads(json.dumps(run(tmp_path, monkeypatch)["T1w"]["ThalamiBox"]))
    box = synthal.box_of(told)
    assert box is not None and box.seen is None and not box.settled
    assert box.centre.tolist() == [1.5, 2.5, 1 / 3] and np.array_equal(box.axes, np.eye(3))
    assert run(tmp_path, monkeypatch, at_rest=False)["T1w"]["ThalamiBox"] is None
    assert run(tmp_path, monkeypatch, centre=np.zeros(3))["T1w"]["ThalamiBox"] is None  # of another look at the head
    assert synthal.box_of(None) is None


def test_a_head_that_is_cut_off_has_no_intracranial_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run(tmp_path, monkeypatch, cut_off=True)
    assert told["T1w"]["IntracranialVolumeMm3"] is None and CUT_OFF in told["T1w"]["Notes"]
    assert told["brain"]["Description"].endswith(CUT_OFF)


@pytest.mark.parametrize(("said", "seen", "answer"), [(None, True, True), (False, True, False), ("yes", False, False)])
def test_the_sidecar_wins_over_what_was_seen(
    said: object, seen: bool, answer: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = run(tmp_path, monkeypatch, said, stripped=seen)
    assert told["T1w"]["SkullStripped"] is answer
    assert told["brain"]["Description"].startswith(LEFT_BY_STRIPPING) == seen


def test_an_image_without_a_head_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, monkeypatch)

    def nothing(image: object, precision: str, boxes: object) -> None:
        raise ImageError("no head.", "Look.")

    monkeypatch.setattr(synthal, "head_of", nothing)
    params = AnatomyParams("a", "b", None, "full", "none")
    outputs = {"T1w": tmp_path / "other.nii.gz", "brain": tmp_path / "other_brain.nii.gz"}
    with pytest.raises(ImageError) as caught:
        anatomy({"T1w": tmp_path / "raw.nii.gz"}, outputs, params, {})
    assert caught.value.path == tmp_path / "raw.nii.gz" and not outputs["T1w"].exists()
