"""DBSegment's conformed image, and labels near the thalami alone."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from tests.unit.inference.test_nnunet import Levels, planned
from thalbids.inference import dbsegment


def test_the_conformed_image_is_sampled_around_the_middle() -> None:
    """A ramp along each axis of a turned grid: trilinear sampling gives it back, in steps of a 255th of its range."""
    affine = np.array([[0, 1.5, 0, -40], [-2, 0, 0, 30], [0, 0, 1, -20], [0, 0, 0, 1.0]])
    index = np.indices((20, 30, 40)).astype(np.float32)
    data = 10 + 3 * index[0] + 2 * index[1] + index[2]
    found = dbsegment.conform(nib.Nifti1Image(data, affine))
    assert found.shape == (256, 256, 256)
    middle = affine @ [10, 15, 20, 1]
    np.testing.assert_allclose(found.affine[:3, :3], np.eye(3))
    np.testing.assert_allclose(found.affine[:3, 3], middle[:3] - 128)
    step = float(data.max()) / 255
    random = np.random.default_rng(1)
    for _ in range(200):
        at = random.integers((1, 1, 1), (18, 28, 38))
        world = np.rint((affine @ [*at, 1])[:3] - found.affine[:3, 3]).astype(int)
        i, j, k = (np.linalg.inv(affine) @ found.affine @ [*world, 1])[:3]
        if (np.array([i, j, k]) < 0).any() or (np.array([i, j, k]) > (19, 29, 39)).any():
            continue
        assert found.get_fdata()[tuple(world)] == pytest.approx(10 + 3 * i + 2 * j + k, abs=1.01 * step)
    assert found.get_fdata()[0, 0, 0] == 0  # outside


def test_intensities_keep_their_range_in_256_steps() -> None:
    data = np.linspace(0, 3000, 24**3).reshape(24, 24, 24)
    found = dbsegment.conform(nib.Nifti1Image(data.astype(np.float32), np.eye(4))).get_fdata()
    assert found.max() == pytest.approx(3000, rel=1e-3) and len(np.unique(found)) <= 256


def head(middle: float, spread: float) -> nib.Nifti1Image:
    data = np.zeros((256, 256, 256), np.float32)
    data[90:200, 120:170, 120:160] = np.random.default_rng(1).uniform(middle - spread, middle + spread, (110, 50, 40))
    data[100:110, 130:140, 130:140] = 900
    return nib.Nifti1Image(data, np.array([[1, 0, 0, -128], [0, 1, 0, -128], [0, 0, 1, -100], [0, 0, 0, 1.0]]))


@pytest.mark.parametrize(("sides", "everything"), [([(4,)], False), ([(4,), (2, 3)], True), ([(4,), (5,)], True)])
def test_labels_in_the_box_are_those_of_the_head(sides: list[tuple[int, ...]], everything: bool) -> None:
    """Label 4 lies inside the box, 2 and 3 go beyond it, there is no 5: then the whole head is labelled."""
    net, image = Levels(planned(window=(32, 32, 32))), head(100, 10)
    whole, _ = dbsegment.segment(image, net, None, sides)
    many, net.windows = net.windows, 0
    found, told = dbsegment.segment(image, net, (-8.2, 10, 40), sides)
    assert told == everything
    box = dbsegment.around(image.affine, (-8.2, 10, 40))
    assert [part.start for part in box] == [80, 98, 100] and box[0].stop == 161
    assert (found[box] == whole[box]).all()
    if not everything:
        assert net.windows < many and np.count_nonzero(found) == np.count_nonzero(found[box])
    else:
        assert (found == whole).all()
    assert dbsegment.segment(image, net, (-8.2, 10, 40), [(4,)], ((1,),))[1]  # post-processing needs the head
