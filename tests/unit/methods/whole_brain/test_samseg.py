"""SAMSEG as a method: what a session gets of it, run here or read from results that exist."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests import standins
from tests.unit.tools.conftest import scan
from thalbids.engine.step import StepResult
from thalbids.errors import ImageError, ThalbidsError
from thalbids.files import write_json
from thalbids.image.io import load_image, save_image
from thalbids.methods.whole_brain.samseg import Samseg
from thalbids.participant.session import SessionPlan
from thalbids.participant.stages.session import label_maps
from thalbids.settings import Settings, load
from thalbids.types import InputImage, Session

METHOD = Samseg()


def planned(folder: Path, settings: Settings, alone: bool = True) -> SessionPlan:
    """A session with a T1w, in an output folder with a space in its name."""
    raw = folder / "raw data" / "sub-01_T1w.nii.gz"
    raw.parent.mkdir(parents=True, exist_ok=True)
    save_image(np.asarray(scan().dataobj), scan().affine, raw)
    session = Session("01", "1", {"T1w": InputImage(raw, "bids:raw:sub-01_T1w.nii.gz", "T1w")})
    plan = SessionPlan(session, folder / "out put", settings, runnable=("samseg",), alone=alone)
    plan.images["T1w"], plan.segmentable["T1w"] = "anatomy", plan.t1w
    plan.t1w.parent.mkdir(parents=True, exist_ok=True)
    save_image(np.asarray(scan().dataobj), scan().affine, plan.t1w)
    write_json(plan.t1w.with_name(plan.t1w.name.replace(".nii.gz", ".json")), {"ThalamiCentreMm": [3, -5, 7]})
    save_image((np.asarray(scan().dataobj) > 0).astype(np.uint8), scan().affine, plan.brain)
    return plan


def made(plan: SessionPlan) -> tuple[dict[str, Path], dict[str, Any], Any]:
    """The step of label maps, carried out."""
    label_maps.add_label_maps(plan, METHOD, ["T1w"])
    step = plan.steps[-1]
    outputs = {key: Path(path) for key, path in step.outputs.items()}
    done = label_maps.label_maps(step.inputs, outputs, step.params, {"anatomy": StepResult("anatomy", "ok")})
    return outputs, dict(done.sidecars), step.params


def with_results(folder: Path, image: nib.Nifti1Image | None = None, name: str = "sub-01_ses-1") -> Settings:
    """Settings with a folder of results, of the session's own scan unless another is given."""
    (folder / "my results" / name).mkdir(parents=True)
    standins.samseg_results([image or scan()], folder / "my results" / name, words=["--save-posteriors"])
    return load(None, {"tools": {"samseg": {"results_dir": str(folder / "my results")}}})


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = standins.install(tmp_path / "bin", "run_samseg")
    monkeypatch.setenv("PATH", os.pathsep.join([str(path.parent), os.environ["PATH"]]))
    monkeypatch.setenv("THALBIDS_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("program")
def test_a_run_gives_the_label_map_the_posterior_lesions_and_the_volume_of_the_skull(tmp_path: Path) -> None:
    settings = load(None, {"tools": {"samseg": {"lesion": True}}})
    plan = planned(tmp_path, settings)
    outputs, told, params = made(plan)
    names = {path.name.removeprefix("sub-01_ses-1_space-T1w_") for path in outputs.values() if path.exists()}
    assert names == {
        "seg-samseg_desc-T1w_dseg.nii.gz", "seg-samseg_desc-T1w_dseg.tsv",
        "label-thalamus_desc-samsegT1w_probseg.nii.gz", "label-lesion_desc-samsegT1w_mask.nii.gz",
    }  # fmt: skip
    assert params.method["Lesion"] is True
    probability = np.asarray(load_image(outputs["T1w probability"]).dataobj)
    assert probability.max() == pytest.approx(0.9)
    voxel = abs(np.linalg.det(scan().affine[:3, :3]))
    assert told["T1w"]["SoftVolumeMm3"] == pytest.approx(probability.sum() * voxel, rel=1e-3)
    assert told["T1w"]["IntracranialVolumeMm3"] == pytest.approx(1.1 * (scan().get_fdata() > 0).sum() * voxel)
    assert told["T1w lesions"]["Description"].startswith("White-matter lesions")
    path = tmp_path / "told.json"
    write_json(path, told["T1w"])
    assert METHOD.icv_mm3(path) == told["T1w"]["IntracranialVolumeMm3"]


def test_results_that_exist_are_read_in_place_of_a_run(tmp_path: Path) -> None:
    plan = planned(tmp_path, with_results(tmp_path))
    outputs, told, params = made(plan)
    assert outputs["T1w probability"].exists() and outputs["T1w"].exists()
    assert params.sources["T1w"][1] == "bids:samseg:sub-01_ses-1"
    assert told["T1w"]["CorrelationWithT1w"] > 0.99 and told["T1w"]["GivenResults"]
    assert "existing results" in plan.origins["samseg"]


@pytest.mark.parametrize(("name", "alone", "found"), [("sub-01", True, True), ("sub-01", False, False)])
def test_a_folder_of_a_person_is_that_of_the_only_session(tmp_path: Path, name: str, alone: bool, found: bool) -> None:
    settings = with_results(tmp_path, name=name)
    assert label_maps.has_results(planned(tmp_path, settings, alone=alone), METHOD) is found


@pytest.mark.parametrize("gone", ["seg.mgz", "samseg.stats"])
def test_results_that_were_not_written_to_their_end_are_refused(tmp_path: Path, gone: str) -> None:
    settings = with_results(tmp_path)
    (tmp_path / "my results" / "sub-01_ses-1" / gone).unlink()
    with pytest.raises(ThalbidsError, match=f"no {gone}"):
        label_maps.has_results(planned(tmp_path, settings), METHOD)


def test_results_of_another_head_in_the_same_place_are_refused(tmp_path: Path) -> None:
    other = scan()
    noise = np.random.default_rng(3).random(other.shape, dtype=np.float32) + 1
    other = nib.Nifti1Image(noise * (np.asarray(other.dataobj) > 0), other.affine)
    with pytest.raises(ImageError, match="is not this T1w"):
        made(planned(tmp_path, with_results(tmp_path, other)))


def test_results_elsewhere_in_the_world_are_refused(tmp_path: Path) -> None:
    moved = scan().affine.copy()
    moved[:3, 3] += 300
    with pytest.raises(ThalbidsError, match="lies nowhere in the T1w"):
        made(planned(tmp_path, with_results(tmp_path, nib.Nifti1Image(np.asarray(scan().dataobj), moved))))


def test_results_of_several_images_are_not_those_of_the_t1w(tmp_path: Path) -> None:
    settings = with_results(tmp_path)
    standins.samseg_results([scan(), scan()], tmp_path / "my results" / "sub-01_ses-1")
    with pytest.raises(ImageError, match="several images together"):
        made(planned(tmp_path, settings))


def test_a_damaged_file_of_results_is_told(tmp_path: Path) -> None:
    settings = with_results(tmp_path)
    path = tmp_path / "my results" / "sub-01_ses-1" / "seg.mgz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ThalbidsError, match=r"seg\.mgz cannot be read"):
        made(planned(tmp_path, settings))
