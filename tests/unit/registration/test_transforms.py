from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import affine_of, ramp, rotation_matrix, world_coordinates, world_image
from thalbids.errors import ImageError, OutputError
from thalbids.image.grids import resample_to
from thalbids.registration.transforms import (
    displacement,
    nearest_rigid,
    read_itk,
    rotation_degrees,
    write_itk,
)

HEAD = "#Insight Transform File V1.0\n"
MATRIX = rotation_matrix(5, -8, 11, centre=(2, -4, 6))
MATRIX[:3, 3] += (1.5, -2.5, 0.75)


def test_what_is_written_is_read_to_the_last_bit(tmp_path):
    path = write_itk(MATRIX, tmp_path / "new" / "x.txt")
    np.testing.assert_array_equal(read_itk(path), MATRIX)
    assert write_itk(MATRIX, tmp_path / "y.txt").read_bytes() == path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "y.txt"]


def test_a_shift_to_the_right_is_negative_in_lps(tmp_path):
    shift = np.eye(4)
    shift[:3, 3] = (3, 4, 5)
    text = write_itk(shift, tmp_path / "x.txt").read_text()
    assert "Parameters: 1.0 0.0 0.0 0.0 1.0 0.0 0.0 0.0 1.0 -3.0 -4.0 5.0\n" in text


def test_nitransforms_reads_the_same_transform(tmp_path):
    linear = pytest.importorskip("nitransforms.linear")
    theirs = linear.Affine.from_filename(write_itk(MATRIX, tmp_path / "x.txt"), fmt="itk")
    np.testing.assert_allclose(theirs.matrix, MATRIX, atol=1e-12)
    linear.Affine(MATRIX).to_filename(tmp_path / "theirs.txt", fmt="itk")
    np.testing.assert_allclose(read_itk(tmp_path / "theirs.txt"), MATRIX, atol=1e-5)  # they write six decimals


@pytest.mark.parametrize("target", ["RAS", "LPS", "oblique"])
def test_ants_applies_the_same_transform(tmp_path, orientation, target):
    ants = pytest.importorskip("ants")
    moving = world_image(orientation, (30, 32, 28))
    shape = (6, 7, 8)
    reference = nib.Nifti1Image(np.zeros(shape, np.float32), affine_of(target, shape))
    nib.save(moving, tmp_path / "moving.nii.gz")
    nib.save(reference, tmp_path / "fixed.nii.gz")
    path = write_itk(MATRIX, tmp_path / "x.txt")
    theirs = ants.apply_transforms(
        ants.image_read(str(tmp_path / "fixed.nii.gz")),
        ants.image_read(str(tmp_path / "moving.nii.gz")),
        [str(path)],
        interpolator="linear",
    )
    world = world_coordinates(reference.affine, shape)
    moved = np.einsum("ij,jxyz->ixyz", MATRIX[:3, :3], world) + MATRIX[:3, 3][:, None, None, None]
    np.testing.assert_allclose(theirs.numpy(), ramp(moved), atol=0.01)
    np.testing.assert_allclose(resample_to(moving, reference, matrix=MATRIX).get_fdata(), theirs.numpy(), atol=0.01)


def test_a_centre_of_rotation_is_understood(tmp_path):
    (tmp_path / "x.txt").write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: MatrixOffsetTransformBase_double_3_3\n"
        "Parameters: 0 -1 0 1 0 0 0 0 1 0.5 0 0\nFixedParameters: 10 20 30\n"
    )
    matrix = read_itk(tmp_path / "x.txt")
    np.testing.assert_allclose(matrix @ [-10, -20, 30, 1], [-10.5, -20, 30, 1])  # the centre only moves by t
    np.testing.assert_allclose(matrix @ [-11, -20, 30, 1], [-10.5, -21, 30, 1])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        HEAD + "Transform: BSplineTransform_double_3_3\nParameters: 1\nFixedParameters: 0\n",
        HEAD + "Transform: AffineTransform_double_3_3\nParameters: 1 0 0\nFixedParameters: 0 0 0\n",
        HEAD + "Transform: AffineTransform_double_3_3\nParameters: a b\nFixedParameters: 0 0 0\n",
        HEAD + "Transform: AffineTransform_double_3_3\nFixedParameters: 0 0 0\n",
        HEAD + "Transform: AffineTransform_double_3_3\nParameters: 1 0 0 0 1 0 0 0 0 0 0 0\nFixedParameters: 0 0 0\n",
        HEAD + "Transform: AffineTransform_double_3_3\n" * 2,
    ],
)
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "x.txt"
    path.write_text(text)
    with pytest.raises(ImageError) as caught:
        read_itk(path)
    assert caught.value.path == path and caught.value.mend


def test_missing_and_unwritable(tmp_path):
    with pytest.raises(ImageError, match="cannot be read"):
        read_itk(tmp_path / "x.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_itk(MATRIX, tmp_path / "file" / "x.txt")


def test_nearest_rigid_and_angle():
    np.testing.assert_allclose(nearest_rigid(MATRIX), MATRIX, atol=1e-12)
    stretched = MATRIX.copy()
    stretched[:3, :3] = 1.02 * stretched[:3, :3] + np.diag([0.01, -0.01, 0])
    rigid = nearest_rigid(stretched)
    np.testing.assert_allclose(rigid[:3, :3] @ rigid[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rigid) == pytest.approx(1)
    np.testing.assert_allclose(rigid[:3, :3], MATRIX[:3, :3], atol=0.02)
    for degrees in (0, 0.5, 30, 179):
        assert rotation_degrees(rotation_matrix(y=degrees)) == pytest.approx(degrees, abs=1e-4)


def test_displacement():
    shift = np.eye(4)
    shift[:3, 3] = (3, 4, 0)
    np.testing.assert_allclose(displacement(shift @ MATRIX, MATRIX, np.random.default_rng(0).random((9, 3)) * 100), 5)
    turned = rotation_matrix(z=90)
    np.testing.assert_allclose(displacement(turned, np.eye(4), np.array([[10.0, 0, 3]])), 10 * np.sqrt(2))
