"""SAMSEG on several images, and on all visits of a person: what is planned, and what is missing."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import rotation_matrix
from tests.unit.participant.planning import Fixed, no_weights
from tests.unit.tools.conftest import scan
from thalbids.engine.step import check_plan
from thalbids.errors import ImageError
from thalbids.image.io import save_image
from thalbids.methods.base import Request
from thalbids.methods.whole_brain.samseg_images import WithFlair, WithFlairAndR1, WithT2
from thalbids.methods.whole_brain.samseg_long import SamsegLong, between
from thalbids.participant.plan import plan, steps_of
from thalbids.registration.ants_rigid import AntsRigid
from thalbids.settings import Settings, load
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
    subjects = plan([both], tmp_path / "out", methods, Settings())
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


def test_all_visits_of_a_person_are_one_run(tmp_path: Path) -> None:
    visits = [session(tmp_path, ("T1w",), label) for label in ("1", "2")]
    subjects = plan(visits, tmp_path / "out", [SamsegLong(), Fixed()], Settings())
    steps = steps_of(subjects)
    check_plan(steps)
    (maps,) = [step for step in steps if step.name == "sub-01 samsegLong label maps"]
    assert {"sub-01_ses-1 brain", "sub-01_ses-2 brain"} <= set(maps.inputs)
    assert "sub-01_ses-2 probability" in maps.outputs
    named = load(None, {"methods": {"names": ["samsegLong", "synthal"]}})
    alone = plan(visits[:1], tmp_path / "out2", [SamsegLong(), Fixed()], named)
    (lacking,) = [mask for mask in alone[0].sessions[0].masks if mask.desc == "samsegLong"]
    assert "there are not two" in lacking.reason


def head(seed: int, matrix: np.ndarray) -> nib.Nifti1Image:
    """A brain of smooth blobs, turned and shifted by its header."""
    random = np.random.default_rng(seed)
    from scipy import ndimage

    data = ndimage.gaussian_filter(random.normal(size=(48, 48, 48)), 3) * 40 + 10
    grid = np.indices((48, 48, 48)) - 23.5
    data[(grid**2).sum(0) > 20**2] = 0
    return nib.Nifti1Image(np.maximum(data, 0).astype(np.float32), matrix @ np.diag([3.0, 3, 3, 1]))


def request(folder: Path, name: str, image: nib.Nifti1Image) -> Request:
    path = folder / f"{name}.nii.gz"
    save_image((np.asarray(image.dataobj) > 0).astype(np.uint8), image.affine, path)
    return Request("T1w", image, path, (0, 0, 0), {}, folder)


def test_the_space_between_two_visits_is_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = rotation_matrix(0, 0, 4, centre=(70, 70, 70))
    answers = iter([moved, np.linalg.inv(moved), np.eye(4), np.eye(4)])
    monkeypatch.setattr(AntsRigid, "estimate", lambda *given: next(answers))
    first, second = head(1, np.eye(4)), head(1, moved)
    there, back = between([request(tmp_path, "a", first), request(tmp_path, "b", second)])
    np.testing.assert_allclose(back @ np.linalg.inv(there), moved, atol=1e-6)
    np.testing.assert_allclose(there @ back, np.eye(4) @ back @ there, atol=1e-6)
    with pytest.raises(ImageError, match="do not show the same brain"):
        between([request(tmp_path, "a", first), request(tmp_path, "c", head(2, np.eye(4)))])
