"""Which slices are shown, and where edges are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from thalbids.errors import ImageError
from thalbids.reports import views
from thalbids.reports.palette import Style
from thalbids.reports.views import Mask, Volume

AFFINE = np.array([[-2.0, 0, 0, 60], [0, 2.0, 0, -50], [0, 0, 2.0, -40], [0, 0, 0, 1]])
T1W = Volume(np.ones((60, 60, 60), np.float32), AFFINE)


def mask(box: tuple[slice, slice, slice], distrusted: bool = False) -> Mask:
    data = np.zeros((60, 60, 60), np.uint8)
    data[box] = 1
    return Mask(Volume(data, AFFINE), "T1w", Style("#000000"), "k", "M", distrusted)


GOOD = mask((np.s_[20:40], np.s_[20:30], np.s_[10:20]))  # x 20 to -18, y -10 to 8, z -20 to -2


def test_slices_go_through_the_masks_that_are_trusted() -> None:
    wrong = mask((np.s_[0:5], np.s_[50:60], np.s_[50:60]), distrusted=True)
    focus = views.choose_focus([wrong, GOOD], None, T1W)
    assert focus.positions["sagittal"][1] == pytest.approx(1.0)
    assert focus.positions["coronal"][1] == pytest.approx(-1.0) and focus.positions["axial"][1] == pytest.approx(-11.0)
    assert focus.positions["sagittal"][0] < 1 < focus.positions["sagittal"][2]
    assert [one.label for one, _ in views.far_masks([wrong, GOOD], focus)] == ["M"]


def test_without_masks_the_middle_of_the_scan_is_shown() -> None:
    focus = views.choose_focus([], None, T1W)
    np.testing.assert_allclose(focus.centre, (AFFINE @ [29.5, 29.5, 29.5, 1])[:3])


def test_a_mask_is_read_with_its_box_alone_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.nii.gz"
    nib.save(nib.Nifti1Image(GOOD.volume.data, AFFINE), path)
    read = views.read_mask(path)
    assert read.data.shape < GOOD.volume.data.shape and read.data.sum() == GOOD.volume.data.sum()
    values = np.arange(60**3, dtype=float).reshape(60, 60, 60)
    inside = views.inside(Volume(values, AFFINE), read)
    assert sorted(inside) == sorted(values[GOOD.volume.data != 0])
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ImageError, match="Delete it"):
        views.read(path)


def test_the_edge_of_a_disc_is_a_ring() -> None:
    y, x = np.indices((64, 64)) - 31.5
    radius = np.hypot(x, y)
    found = views.edges((radius < 20).astype(float), 1.5)
    assert found.any() and np.abs(radius[found] - 20).max() < 2.5
    assert not views.edges(np.ones((16, 16)), 1.0).any()
    assert not (views.edges((radius < 20).astype(float), 1.5, x > 0) & (x <= 0)).any()


def test_grey_leaves_zero_and_extremes_out() -> None:
    values = np.concatenate([np.zeros(1000), np.linspace(1, 2, 1000), [1e6]])
    low, high = views.grey_range([[values]])
    assert 1 <= low < 1.05 and 1.95 < high <= 2.1
    assert views.grey_range([[np.zeros(3)]]) == (0.0, 1.0)


def test_the_local_range_tells_thalamus_and_capsule_apart() -> None:
    data = np.full((40, 40, 40), 100.0)  # white matter
    data[:, :, :8] = 10.0  # fluid, far away
    data[10:20, 10:30, 15:25] = 80.0  # a thalamus
    image = Volume(data, np.eye(4))
    mask = Mask(Volume((data == 80.0).astype(np.uint8), np.eye(4)), "T1w", Style("#000000"), "k", "M", False)
    low, high = views.local_range(image, [mask])  # type: ignore[misc]
    assert (low, high) == pytest.approx((80 - 26, 80 + 26))
    assert views.local_range(image, [replace(mask, distrusted=True)]) is None
    assert views.local_range(image, []) is None
    flat = Volume(np.full((40, 40, 40), 5.0), np.eye(4))
    assert views.local_range(flat, [mask]) is None


@pytest.mark.parametrize("flip", [1, -1])
def test_pictures_of_thick_slices_lie_on_them(flip: int) -> None:
    affine = np.diag([1.0, 1.0, 3.0 * flip, 1.0])
    affine[2, 3] = 2.0
    image = Volume(np.zeros((10, 10, 10)), affine)
    assert views.on_slices("axial", (5.4, 6.6, 9.1), image) == pytest.approx((5.0, 8.0, 8.0))
    assert views.on_slices("coronal", (5.4, 6.6, 9.1), image) == (5.4, 6.6, 9.1)
    thin = Volume(np.zeros((10, 10, 10)), np.eye(4))
    assert views.on_slices("axial", (5.4, 6.6, 9.1), thin) == (5.4, 6.6, 9.1)


def test_the_outline_of_a_mask_with_thick_slices_is_that_of_its_voxels() -> None:
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    data = np.zeros((40, 40, 10), np.uint8)
    data[10:30, 10:30, 5] = 1  # one slice: 18 to 22 mm
    plane = views.crop_plane("coronal", 20.0, (20.0, 20.0, 20.0), 60.0)
    drawn = views._sample_mask(Volume(data, affine), plane) > 0.5
    assert drawn.any(axis=1).sum() * plane.step == pytest.approx(4.0, abs=plane.step)
