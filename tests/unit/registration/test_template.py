"""Templates: which file, where points go, and that a registration finds a known transform."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from tests.conftest import affine_of, rotation_matrix, world_coordinates
from thalbids.errors import MissingToolError, UsageError
from thalbids.registration import template as tp
from thalbids.registration.transforms import write_itk


def test_a_template_of_templateflow_is_never_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    folder = tmp_path / "tpl-MNI152NLin2009cAsym"
    with pytest.raises(MissingToolError, match="thalbids fetch template:MNI152NLin2009cAsym") as caught:
        tp.find_template("MNI152NLin2009cAsym")
    assert caught.value.exit_code == 69
    folder.mkdir()
    for name in ("T1w", "desc-brain_mask"):
        (folder / f"tpl-MNI152NLin2009cAsym_res-01_{name}.nii.gz").touch()  # TemplateFlow's empty placeholders
    with pytest.raises(MissingToolError):
        tp.find_template("MNI152NLin2009cAsym")
    for path in folder.iterdir():
        path.write_bytes(b"x")
    found = tp.find_template("MNI152NLin2009cAsym")
    assert found.name == "MNI152NLin2009cAsym"
    assert found.brain is not None and found.brain.name.endswith("desc-brain_mask.nii.gz")


@pytest.mark.parametrize(
    ("file", "wanted", "name"),
    [
        ("tpl-Own_res-01_T1w.nii.gz", "{}", "Own"),
        ("my-average.nii.gz", "{}", "myaverage"),
        ("average.nii", "Cohort={}", "Cohort"),
    ],
)
def test_a_template_of_a_file(tmp_path: Path, file: str, wanted: str, name: str) -> None:
    (tmp_path / file).write_bytes(b"x")
    found = tp.find_template(wanted.format(tmp_path / file))
    assert (found.name, found.image, found.brain) == (name, tmp_path / file, None)
    (tmp_path / "tpl-Own_res-01_desc-brain_mask.nii.gz").write_bytes(b"x")
    assert (tp.find_template(wanted.format(tmp_path / file)).brain is not None) == file.startswith("tpl-Own")


@pytest.mark.parametrize("file", ["average.nii", "average.nii.gz", "average.mgz", "average.hdr", "Average.IMG.gz"])
def test_the_name_of_an_image_is_no_template_of_templateflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="the template is not there"):
        tp.find_template(file)
    (tmp_path / file).write_bytes(b"x")
    assert tp.find_template(file).image == tmp_path / file


@pytest.mark.parametrize("wanted", ["no/such.nii.gz", "Two words", "A b={}", "-={}", ""])
def test_no_template(tmp_path: Path, wanted: str) -> None:
    (tmp_path / "x.nii").write_bytes(b"x")
    with pytest.raises(UsageError):
        tp.find_template(wanted.format(tmp_path / "x.nii"))


def test_points_of_an_affine_transform(tmp_path: Path, orientation: str) -> None:
    shape = (9, 10, 11)
    affine = affine_of(orientation, shape)
    matrix = rotation_matrix(10, -5, 20, (3, 4, 5)) @ np.diag([1.1, 0.9, 1.05, 1])
    matrix[:3, 3] += [7, -3, 2]
    transform = tp.read_transform(write_itk(matrix, tmp_path / "x.txt"))
    world = world_coordinates(affine, shape).reshape(3, -1)
    expected = (matrix[:3, :3] @ world + matrix[:3, 3:]).T
    np.testing.assert_allclose(tp.map_points(transform, shape, affine), expected, atol=1e-6)


def test_points_of_a_composite_with_a_displacement_field(tmp_path: Path) -> None:
    """ITK applies the last transform of a composite first: the field, then the affine."""
    shape, affine = (9, 10, 11), affine_of("RAS", (9, 10, 11))
    image = sitk.GetImageFromArray(np.full((20, 20, 20, 3), (1.5, -2.0, 0.5)), isVector=True)  # LPS
    image.SetOrigin((-20.0, -20.0, -10.0))
    image.SetSpacing((2.0, 2.0, 2.0))
    move = sitk.AffineTransform(3)
    move.SetMatrix((2.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    composite = sitk.CompositeTransform([move, sitk.DisplacementFieldTransform(image)])
    sitk.WriteTransform(composite, str(tmp_path / "x.h5"))
    found = tp.map_points(tp.read_transform(tmp_path / "x.h5"), shape, affine)
    world = world_coordinates(affine, shape).reshape(3, -1).T
    np.testing.assert_allclose(found, (world + [-1.5, 2.0, 0.5]) * [2, 1, 1], atol=1e-6)


def head(resolution: int) -> nib.Nifti1Image:
    nilearn = pytest.importorskip("nilearn.datasets")
    image = nilearn.load_mni152_template(resolution=resolution)
    data = image.get_fdata(dtype=np.float32)
    return nib.Nifti1Image(np.where(data > 0.01, data, 0), image.affine)  # resampling leaves traces around the brain


@pytest.mark.slow
@pytest.mark.parametrize("kind", tp.KINDS)
def test_a_known_transform_is_found(tmp_path: Path, kind: str) -> None:
    """The MNI152 average at 2 mm, turned, scaled and moved by 30 mm: points come back within a millimetre."""
    image = head(2)
    nib.save(image, tmp_path / "tpl-MNI_T1w.nii.gz")
    truth = rotation_matrix(8, -6, 10) @ np.diag([1.08, 0.94, 1.05, 1])
    truth[:3, 3] += [30, -12, 8]
    t1w = nib.Nifti1Image(image.get_fdata(dtype=np.float32), truth @ image.affine)
    brain = nib.Nifti1Image((image.get_fdata() > 0).astype(np.uint8), t1w.affine)
    output = tmp_path / f"x{tp.EXTENSION[kind]}"
    found = tp.estimate(t1w, brain, tp.find_template(str(tmp_path / "tpl-MNI_T1w.nii.gz")), kind, output)
    assert found["BrainDice"] > 0.97
    points = tp.map_points(tp.read_transform(output), image.shape, image.affine)
    inside = (image.get_fdata() > 0).ravel()
    world = world_coordinates(image.affine, image.shape).reshape(3, -1)
    expected = (truth[:3, :3] @ world + truth[:3, 3:]).T
    assert np.linalg.norm(points - expected, axis=1)[inside].mean() < 1.0
    assert not list(tmp_path.glob(".tmp*"))


@pytest.mark.slow
def test_a_failed_registration_leaves_no_transform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = head(4)
    nib.save(image, tmp_path / "tpl-MNI_T1w.nii.gz")
    brain = nib.Nifti1Image((image.get_fdata() > 0).astype(np.uint8), image.affine)
    apart = {"parameters": [1, 0, 0, 0, 1, 0, 0, 0, 1, 60, 0, 0], "centre": [0, 0, 0]}
    monkeypatch.setattr(tp, "run_ants", lambda job: apart)
    found = tp.find_template(str(tmp_path / "tpl-MNI_T1w.nii.gz"))
    with pytest.raises(tp.RegistrationError, match="do not meet"):
        tp.estimate(image, brain, found, "affine", tmp_path / "x.txt")
    assert not (tmp_path / "x.txt").exists()
