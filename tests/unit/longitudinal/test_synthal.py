"""Visits of a person seen in the same way, with a stand-in network whose answer is known: bright ellipsoids."""

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.unit.inference.test_synthal import MIDDLE, TRUE_MM3, head, position_net
from thalbids.longitudinal.synthal import missing_blur, see_visits, spread_of


def posed(orientation: str, angles: tuple[float, ...], shift: tuple[float, ...]) -> tuple[nib.Nifti1Image, np.ndarray]:
    """The head in another pose, and the middle of its thalami."""
    image, pose = head(orientation), np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    pose[:3, 3] = shift
    return nib.Nifti1Image(np.asarray(image.dataobj), pose @ image.affine), pose[:3, :3] @ MIDDLE + shift


def test_one_head_in_other_poses_and_orders_has_one_volume() -> None:
    visits = [
        posed("RAS", (0, 0, 0), (0, 0, 0)),
        posed("LPS", (9, -5, 6), (4, -3, 8)),
        posed("oblique", (0, 4, 0), (0, 9, 0)),
    ]
    images, centres = [v[0] for v in visits], [v[1] for v in visits]
    seen = see_visits(images, centres, position_net)
    volumes = [
        (t.labels() > 0).sum() * abs(np.linalg.det(image.affine[:3, :3])) for t, image in zip(seen, images, strict=True)
    ]
    assert volumes == pytest.approx([TRUE_MM3] * 3, rel=0.02)
    assert max(volumes) / min(volumes) < 1.01
    again = see_visits(images[::-1], centres[::-1], position_net)[::-1]
    for one, other in zip(seen, again, strict=True):
        assert np.array_equal(one.left, other.left) and np.array_equal(one.right, other.right)


def test_blur_brings_every_visit_to_the_coarsest_in_each_direction() -> None:
    fine, thick, wide = np.diag([0.2, 0.2, 0.2]), np.diag([0.2, 0.2, 4.0]), np.diag([2.0, 0.2, 0.2])
    turn = Rotation.from_euler("y", 30, degrees=True).as_matrix()
    assert missing_blur([fine, fine]) == pytest.approx(np.zeros((2, 3, 3)))
    alone = missing_blur([fine, turn @ thick @ turn.T])
    assert alone[0] == pytest.approx(turn @ np.diag([0, 0, 3.8]) @ turn.T) and alone[1] == pytest.approx(
        np.zeros((3, 3))
    )
    both = missing_blur([thick, wide])
    assert thick + both[0] == pytest.approx(np.diag([2.0, 0.2, 4.0])) and wide + both[1] == pytest.approx(
        thick + both[0]
    )


def test_a_slice_is_wide_along_its_own_direction() -> None:
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.diag([1.0, 1.0, 5.0, 1.0]))
    assert spread_of(image, np.eye(3)) == pytest.approx(np.diag([0.42**2, 0.42**2, 2.1**2]))
    turn = Rotation.from_euler("x", 90, degrees=True).as_matrix()
    assert np.diag(spread_of(image, turn)) == pytest.approx([0.42**2, 2.1**2, 0.42**2])
