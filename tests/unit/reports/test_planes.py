"""Slices through volumes of any orientation: every pixel shows the place that it says."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import affine_of, ramp, world_image
from thalbids.reports.planes import Plane, sample, world_box

SHAPE = (24, 26, 22)


@pytest.mark.parametrize("name", ["axial", "coronal", "sagittal"])
def test_pixels_hold_the_value_of_their_place(orientation, name):
    image = world_image(orientation, SHAPE)
    plane = Plane(name, (3.2, -4.7, 7.4), 8.0, 6.0, 0.5)
    values = sample(np.asarray(image.dataobj), image.affine, plane)
    assert values.shape == plane.shape == (12, 16)
    np.testing.assert_allclose(values, ramp(plane.points()), atol=1e-3)


def test_right_is_right_and_up_is_up():
    axial = Plane("axial", (0, 0, 0), 10, 10, 1).points()
    assert axial[0, 0, -1] > axial[0, 0, 0]  # x grows to the right of the picture
    assert axial[1, 0, 0] > axial[1, -1, 0]  # anterior is up
    coronal = Plane("coronal", (0, 5, 0), 10, 10, 1).points()
    assert coronal[0, 0, -1] > coronal[0, 0, 0]
    assert coronal[2, 0, 0] > coronal[2, -1, 0]
    assert np.all(coronal[1] == 5)
    sagittal = Plane("sagittal", (0, 0, 0), 10, 10, 1).points()
    assert sagittal[1, 0, -1] > sagittal[1, 0, 0]  # anterior is at the right
    assert sagittal[2, 0, 0] > sagittal[2, -1, 0]


@pytest.mark.parametrize("name", ["axial", "coronal", "sagittal"])
def test_pixel_is_the_inverse_of_points(name):
    plane = Plane(name, (1.0, 2.0, 3.0), 9.0, 7.0, 0.5)
    points = plane.points()
    column, row = plane.pixel(points[:, 4, 9])
    assert (column, row) == pytest.approx((9.5, 4.5))


def test_outside_the_volume_is_black(orientation):
    image = world_image(orientation, SHAPE)
    far = Plane("axial", (500.0, 0.0, 0.0), 10, 10, 1)
    assert not sample(np.asarray(image.dataobj), image.affine, far).any()


def test_a_ball_is_round_whatever_the_grid(orientation):
    def ball(world):
        return (((world - np.array([3.0, -5, 7]).reshape(3, 1, 1, 1)) ** 2).sum(0) <= 81).astype(float)

    image = world_image(orientation, (40, 40, 40), ball)
    for name in ("axial", "coronal", "sagittal"):
        inside = sample(np.asarray(image.dataobj), image.affine, Plane(name, (3, -5, 7), 30, 30, 0.5)) >= 0.5
        tall, wide = (np.ptp(np.flatnonzero(inside.any(axis=axis))) * 0.5 for axis in (1, 0))
        assert tall == pytest.approx(18, abs=3.1)  # slices of 3 mm
        assert wide == pytest.approx(18, abs=3.1)


def test_world_box_reaches_the_edges_of_the_voxels():
    affine = affine_of("LPS", (10, 20, 30))
    low, high = world_box((10, 20, 30), affine)
    np.testing.assert_allclose(high - low, [10, 20, 30])
    np.testing.assert_allclose((high + low) / 2, [3, -5, 7])
