"""FastSurfer, SynthSeg and HIPS-THOMAS: what is called, what is read, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests import standins
from tests.unit.tools.conftest import scan
from thalbids import families
from thalbids.errors import ThalbidsError
from thalbids.image.io import save_image
from thalbids.methods.base import Request, own_settings
from thalbids.methods.whole_brain.fastsurfer import FastSurfer
from thalbids.methods.whole_brain.labelled import Existing
from thalbids.methods.whole_brain.synthseg import SynthSeg
from thalbids.methods.whole_brain.thomas import Thomas
from thalbids.participant.stages.session.icv import measuring
from thalbids.settings import MethodSettings, load
from thalbids.tools.runner import ToolError
from thalbids.types import Session

IMAGE = scan()
THALAMI = standins.thalami(IMAGE, 10, 49)
ONE = Session("01", "1", {})


def leave(folder: Path, family: str, labels: np.ndarray = THALAMI) -> None:
    """Results of a program in the folder of a session."""
    if family == "fastsurfer":
        standins.save(labels.astype(np.int32), IMAGE.affine, folder / "mri" / "aparc.DKTatlas+aseg.deep.mgz")
        standins.save(np.asarray(IMAGE.dataobj, np.float32), IMAGE.affine, folder / "mri" / "orig.mgz")
    elif family == "synthseg":
        standins.save(labels.astype(np.int32), IMAGE.affine, folder / "T1w_synthseg.nii.gz")
        (folder / "vol.csv").write_text("subject,total intracranial,left thalamus\nT1w.nii.gz,1500000.5,7000\n")
    else:
        for side, label in (("left", 10), ("right", 49)):
            where = labels == label
            standins.save(where.astype(np.uint8), IMAGE.affine, folder / side / "1-THALAMUS.nii.gz")
            place = np.argwhere(where)
            nucleus = np.zeros(where.shape, np.uint8)
            nucleus[tuple(place[: len(place) // 3].T)] = 1
            standins.save(nucleus, IMAGE.affine, folder / side / "8-Pul.nii.gz")
            # the mammillothalamic tract, the sum of several nuclei, and what newer versions segment besides
            for name in ("14-MTT", "4567-VL", "27-Cau"):
                standins.save(np.ones(where.shape, np.uint8), IMAGE.affine, folder / side / f"{name}.nii.gz")


METHODS: list[Existing] = [FastSurfer(), SynthSeg(), Thomas()]


def given(folder: Path, method: Existing) -> MethodSettings:
    return settings_of(method, results_dir=str(folder / "my results"))


def settings_of(method: Existing, **values: object) -> MethodSettings:
    (table,) = method.tables.values()
    settings = load(None, {"tools": {method.family: values}})
    assert settings.of(table) != table()
    return own_settings(method, settings)


def request(folder: Path, method: Existing, image: nib.Nifti1Image = IMAGE) -> Request:
    save_image((np.asarray(image.dataobj) > 0).astype(np.uint8), image.affine, folder / "brain.nii.gz")
    place = method.results(given(folder, method), ONE, alone=True)
    files = {} if place is None else {key: path for key, path in method.files(place).items() if path}
    return Request("T1w", image, folder / "brain.nii.gz", (3, -5, 7), {}, folder / "work", files=files)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.family)
@pytest.mark.parametrize("name", ["sub-01_ses-1", "sub-01/ses-1", "sub-01"])
def test_results_that_exist_are_read(tmp_path: Path, method: Existing, name: str) -> None:
    leave(tmp_path / "my results" / name, method.family)
    own = request(tmp_path, method)
    made, failed = method.label_maps({"T1w": own})  # type: ignore[attr-defined]
    assert not failed
    told = made["T1w"]
    labels = method.segment(
        Request("T1w", IMAGE, own.brain, own.centre, {}, tmp_path, labels=told.labels, told=told.metadata)
    )
    np.testing.assert_array_equal(labels.labels, THALAMI)
    assert labels.metadata["GivenResults"] and labels.metadata["InBrainFraction"] == 1
    assert told.metadata.get("IntracranialVolumeMm3") == (1500000.5 if method.family == "synthseg" else None)
    if method.family == "thomas":
        assert told.names == {10: "left thalamus", 49: "right thalamus", 108: "left Pul", 208: "right Pul"}
        assert set(np.unique(told.labels)) == {0, 10, 49, 108, 208}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.family)
def test_half_results_and_those_of_other_places_are_refused(tmp_path: Path, method: Existing) -> None:
    (tmp_path / "my results" / "sub-01").mkdir(parents=True)
    with pytest.raises(ToolError, match="has no"):
        method.results(given(tmp_path, method), ONE, alone=True)
    assert method.results(given(tmp_path, method), ONE, alone=False) is None  # of any session
    leave(tmp_path / "my results" / "sub-01_ses-1", method.family)
    moved = IMAGE.affine.copy()
    moved[:3, 3] += 300
    with pytest.raises(ThalbidsError, match="lies nowhere in the T1w"):
        method.label_maps(  # type: ignore[attr-defined]
            {"T1w": request(tmp_path, method, nib.Nifti1Image(np.asarray(IMAGE.dataobj), moved))}
        )


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.family)
def test_what_is_not_installed_says_how_to_get_it(method: Existing) -> None:
    assert re.search(f"--{method.family}-dir", method.blocked(settings_of(method, command=["/no/such/program"])) or "")


def test_the_intracranial_volume_of_synthseg_is_a_source() -> None:
    sources = families.icv_sources()
    assert "synthseg" in sources and "fastsurfer" not in sources
    assert "synthseg" in measuring()  # so that the table of intracranial volumes reads it
