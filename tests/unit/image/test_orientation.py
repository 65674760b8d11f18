from __future__ import annotations

import itertools
import json
import re

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import affine_of, ramp, rotation_matrix, with_header, world_coordinates, world_image
from thalbids.errors import ImageError
from thalbids.image.io import load_image
from thalbids.image.orientation import MIRRORED, axcodes, is_rotation_and_zooms, repair_geometry, to_ras

ALL_48 = [
    "".join(pair[sign] for pair, sign in zip(order, signs, strict=True))
    for order in itertools.permutations(("RL", "AP", "SI"))
    for signs in itertools.product((0, 1), repeat=3)
]


@pytest.mark.parametrize("codes", ALL_48)
def test_to_ras_moves_no_voxel_and_is_undone_exactly(codes):
    image = world_image(codes, (5, 6, 7))
    ras, change = to_ras(image)
    assert axcodes(ras.affine) == "RAS"
    np.testing.assert_array_equal(ras.get_fdata(), ramp(world_coordinates(ras.affine, ras.shape)).astype(np.float32))
    back = change.invert(ras)
    np.testing.assert_array_equal(np.asanyarray(back.dataobj), np.asanyarray(image.dataobj))
    np.testing.assert_array_equal(back.affine, image.affine)
    assert change.source == codes


def test_to_ras_over_header_kinds(tmp_path, orientation, header_kind):
    nib.save(with_header(world_image(orientation), header_kind), tmp_path / "x.nii.gz")
    ras, _ = to_ras(load_image(tmp_path / "x.nii.gz"))
    np.testing.assert_allclose(ras.get_fdata(), ramp(world_coordinates(ras.affine, ras.shape)), atol=2e-3)
    assert np.diag(ras.affine)[:3].min() > 0


@pytest.mark.parametrize("angle", [44.9, 45.0, 45.1, 89.0])
def test_to_ras_of_steep_rotations(angle):
    image = world_image("LPS")
    turned = nib.Nifti1Image(np.asanyarray(image.dataobj), rotation_matrix(angle, angle / 3, 0) @ image.affine)
    ras, change = to_ras(turned)
    np.testing.assert_array_equal(change.invert(ras).get_fdata(), image.get_fdata())
    np.testing.assert_array_equal(change.invert(ras).affine, turned.affine)
    assert np.linalg.det(ras.affine[:3, :3]) > 0


def test_to_ras_turns_what_was_filled_too():
    filled = np.zeros((3, 4, 5), bool)
    filled[0, 1, 2] = True
    image = nib.Nifti1Image(filled.astype(np.float32), np.diag([-1.0, 1, -1, 1]), extra={"filled": filled})
    ras = to_ras(image)[0]
    np.testing.assert_array_equal(ras.extra["filled"], np.asarray(ras.dataobj) > 0)
    assert ras.extra["filled"][2, 1, 2]


def test_orientation_carries_masks_back():
    image = world_image("PIR")
    ras, change = to_ras(image)
    described = json.loads(json.dumps(change.to_json()))
    assert (described["from"], described["to"], described["shape"]) == ("PIR", "RAS", list(image.shape))
    np.testing.assert_array_equal(described["affine"], image.affine)
    mask = nib.Nifti1Image((ras.get_fdata() > 100).astype(np.uint8), ras.affine)
    np.testing.assert_array_equal(np.asanyarray(change.invert(mask).dataobj), image.get_fdata() > 100)
    np.testing.assert_array_equal(change.invert(mask).affine, image.affine)


def test_invert_refuses_another_grid():
    ras, change = to_ras(world_image("LPS", (5, 6, 7)))
    with pytest.raises(ValueError, match="not on the reoriented grid"):
        change.invert(nib.Nifti1Image(np.zeros((6, 5, 7)), ras.affine))
    moved = ras.affine.copy()
    moved[0, 3] += 1
    with pytest.raises(ValueError, match="not on the reoriented grid"):
        change.invert(nib.Nifti1Image(np.zeros((5, 6, 7)), moved))


def _image(sform, sform_code, qform, qform_code, zooms=None, shape=(10, 12, 14)):
    image = nib.Nifti1Image(np.random.default_rng(0).random(shape).astype(np.float32), np.eye(4))
    image.set_qform(qform, code=qform_code)
    image.set_sform(sform, code=sform_code)
    if zooms is not None:
        image.header["pixdim"][1:4] = zooms
    return image


A = affine_of("anisotropic-LPS", (10, 12, 14))
MOVED = np.array([[0, 0, 0, 5], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]) + A


@pytest.mark.parametrize(
    ("image", "expected", "note"),
    [
        (_image(A, 1, MOVED, 0), A, ""),
        (_image(MOVED, 0, A, 1), A, ""),
        (_image(A, 1, A, 1), A, ""),
        (_image(A, 2, MOVED, 1), A, "disagree by up to 5.00 mm: the sform was used"),
        (_image(np.diag([0, 1, 1, 1]), 1, A, 1), A, "sform is singular: the qform was used"),
        (_image(np.diag([1.2, 1.2, 1.2, 1]) @ A, 4, A, 1), A, "contradicts the voxel sizes: the qform was used"),
        (_image(np.eye(4)[[0, 1, 2, 3]] + np.eye(4, k=1) * 0.2, 4, A, 1), A, "sheared: the qform was used"),
        (_image(A, 1, MOVED, 0, zooms=(1, 1, 1)), A, r"pixdim \(1 x 1 x 1 mm\) contradicts the sform"),
    ],
)
def test_rules(tmp_path, image, expected, note):
    repaired, notes = repair_geometry(image)
    np.testing.assert_allclose(repaired.affine, expected, atol=1e-4)
    np.testing.assert_allclose(repaired.get_sform(), repaired.get_qform(), atol=1e-3)
    assert (len(notes) == 1) == bool(note)
    if note:
        assert re.search(note, notes[0])
    nib.save(image, tmp_path / "x.nii.gz")
    loaded = load_image(tmp_path / "x.nii.gz")
    np.testing.assert_allclose(loaded.affine, expected, atol=1e-4)
    assert loaded.extra["notes"] == notes
    assert repair_geometry(loaded)[1] == notes  # applied before: the same notes, not twice


def test_damaged_quaternion(tmp_path):
    image = _image(A, 1, A, 1)
    image.header["quatern_b"] = image.header["quatern_c"] = 0.9
    nib.save(image, tmp_path / "both.nii.gz")
    loaded = load_image(tmp_path / "both.nii.gz")
    np.testing.assert_allclose(loaded.affine, A, atol=1e-5)
    assert "qform is damaged" in loaded.extra["notes"][0]


def test_damaged_quaternion_alone(tmp_path):
    image = _image(A, 1, A, 1)
    raw = bytearray(image.to_bytes())
    raw[254:256] = b"\0\0"  # sform_code 0
    raw[256:264] = np.array([0.9, 0.9], "<f4").tobytes()  # quatern_b, quatern_c
    (tmp_path / "x.nii").write_bytes(raw)
    with pytest.raises(ImageError):
        load_image(tmp_path / "x.nii")


def test_both_codes_zero_with_plausible_zooms(tmp_path):
    image = _image(A, 0, A, 0, zooms=(0.8, 1.0, 3.0))
    nib.save(image, tmp_path / "x.nii.gz")
    loaded = load_image(tmp_path / "x.nii.gz")
    assert axcodes(loaded.affine) == "LAS"
    np.testing.assert_allclose(np.linalg.norm(loaded.affine[:3, :3], axis=0), (0.8, 1.0, 3.0), rtol=1e-6)
    centre = loaded.affine @ [4.5, 5.5, 6.5, 1]
    np.testing.assert_allclose(centre[:3], 0, atol=1e-5)
    assert "left and right" in loaded.extra["notes"][0]


@pytest.mark.parametrize("zooms", [(0, 1, 1), (1000, 1000, 1000), (1e-3, 1e-3, 1e-3), (np.nan, 1, 1), (1, 1, 0)])
def test_both_codes_zero_with_implausible_zooms(tmp_path, zooms):
    image = _image(A, 0, A, 0)
    raw = bytearray(image.to_bytes())
    raw[252:256] = b"\0\0\0\0"
    raw[80:92] = np.array(zooms, "<f4").tobytes()
    (tmp_path / "x.nii").write_bytes(raw)
    with pytest.raises(ImageError, match="both 0 and the voxel sizes") as caught:
        load_image(tmp_path / "x.nii")
    assert caught.value.mend


def test_field_of_view_of_metres(tmp_path):
    nib.save(_image(np.diag([19, 19, 19, 1]), 1, np.eye(4), 0, shape=(60, 60, 60)), tmp_path / "x.nii.gz")
    with pytest.raises(ImageError, match="1140 mm wide"):
        load_image(tmp_path / "x.nii.gz")


def test_is_rotation_and_zooms(orientation):
    affine = affine_of(orientation, (5, 5, 5))
    assert is_rotation_and_zooms(affine)
    sheared = affine.copy()
    sheared[:3, 0] += 0.05 * affine[:3, 1]
    assert not is_rotation_and_zooms(sheared)


@pytest.mark.parametrize("name", ["sform", "qform"])
def test_mirror_images_are_told(name: str) -> None:
    image = world_image("RAS")
    plain = image.affine.copy()
    flipped = plain @ np.diag([-1.0, 1, 1, 1])
    flipped[:3, 3] = plain[:3, 3] + plain[:3, 0] * (image.shape[0] - 1)  # the same box
    image.set_sform(flipped if name == "sform" else plain, code=1)
    image.set_qform(flipped if name == "qform" else plain, code=1)
    repaired, notes = repair_geometry(image)
    assert np.allclose(repaired.affine, image.get_sform())
    assert notes[1] == MIRRORED


def test_a_sheared_sform_as_the_only_geometry_is_told() -> None:
    image = world_image("RAS")
    sheared = image.affine.copy()
    sheared[:3, 0] += 0.3 * image.affine[:3, 1]
    image.set_sform(sheared, code=1)
    image.set_qform(None, code=0)
    image.header.set_zooms(np.linalg.norm(sheared[:3, :3], axis=0))
    repaired, notes = repair_geometry(image)
    assert np.allclose(repaired.affine, sheared)
    assert notes == ("the sform, the only geometry, is sheared (axes 73 degrees apart)",)  # arctan(1 / 0.3)
