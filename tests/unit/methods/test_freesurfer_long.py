"""Results of FreeSurfer's longitudinal stream as a method of its own."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, planned_steps, session
from tests.unit.tools.test_freesurfer import result, write_lta
from thalbids.methods.base import Request
from thalbids.methods.freesurfer import FreeSurfer
from thalbids.methods.freesurfer_long import FreeSurferLong
from thalbids.methods.registry import chosen
from thalbids.settings import MethodSettings, Settings, load

LONG = FreeSurferLong()


def given(folder: Path, *names: str) -> Settings:
    return load(None, {"tools": {"freesurfer": {"subjects_dir": str(folder)}}, "methods": {"names": list(names)}})


def part_of(settings: Settings) -> MethodSettings:
    return settings.for_method(LONG.tables.values())


def test_it_is_taken_where_the_folder_holds_longitudinal_results_only(tmp_path: Path) -> None:
    result(tmp_path / "sub-01_ses-1")
    assert "freesurferLong" not in {method.family for method in chosen(given(tmp_path, "auto")).methods}
    result(tmp_path / "sub-01_ses-1.long.template01")
    assert "freesurferLong" in {method.family for method in chosen(given(tmp_path, "auto")).methods}


def test_the_two_streams_are_never_mixed(tmp_path: Path) -> None:
    """A visit that only one stream has is missing in the other one."""
    result(tmp_path / "sub-01_ses-1")
    result(tmp_path / "sub-01_ses-2.long.base01")
    settings = given(tmp_path, "freesurfer", "freesurferLong")
    own, other = session(("T1w",)), session(("T1w",), "2")
    part = part_of(settings)
    assert FreeSurfer().results(part, own, alone=False) == tmp_path / "sub-01_ses-1"
    assert LONG.results(part, own, alone=False) is None
    assert FreeSurfer().results(part, other, alone=False) is None
    assert LONG.results(part, other, alone=False) == tmp_path / "sub-01_ses-2.long.base01"
    planned = planned_steps([own, other], OUT, (FreeSurfer(), LONG, Fixed()), settings, None, {"synthal"})
    names = {step.name for step in planned}
    assert {"sub-01_ses-1 freesurfer", "sub-01_ses-2 freesurferLong"} <= names
    assert not {"sub-01_ses-2 freesurfer", "sub-01_ses-1 freesurferLong"} & names


def test_labels_come_back_from_the_base(tmp_path: Path) -> None:
    """The base lies 3 mm to the right of the session: a label of the base at x lies at x - 3 mm in the session."""
    folder = result(tmp_path / "sub-01_ses-1.long.sub-01")
    affine = np.diag([1.0, 1, 1, 1])
    affine[:3, 3] = -10
    image = nib.Nifti1Image(np.ones((20, 20, 20), np.float32), affine)
    to_base = np.eye(4)
    to_base[0, 3] = 3
    lta = tmp_path / "sub-01" / "mri" / "transforms" / "sub-01_ses-1_to_sub-01.lta"
    write_lta(lta, to_base, 1, image, image)
    brain = tmp_path / "brain.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((20, 20, 20), np.uint8), affine), brain)
    files = {key: path for key, path in LONG.files(folder).items() if path is not None}
    assert files["transform"] == lta
    request = Request("T1w", image, brain, (0.0, 0.0, 0.0), {}, tmp_path, files=files)
    found, failed = LONG.label_maps({"T1w": request})
    assert failed == {}
    np.testing.assert_array_equal(np.argwhere(found["T1w"].labels == 10)[:, 0], [2, 3, 4])
    assert found["T1w"].metadata["EstimatedTotalIntraCranialVolMm3"] == pytest.approx(1764143.062994)


def test_it_never_runs(tmp_path: Path) -> None:
    assert "not run" in (LONG.blocked(MethodSettings()) or "")
    assert not hasattr(LONG, "run")
    (finding,) = LONG.pieces(part_of(given(tmp_path)))
    assert "--fs-subjects-dir" in finding.mend
