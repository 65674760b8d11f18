"""Change of two bodies in a textured surrounding, of which the true volumes are known."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from thalbids.errors import ImageError
from thalbids.longitudinal.change import Seen, measure
from thalbids.longitudinal.deformation import Tuning
from thalbids.longitudinal.space import exponential

SHAPE = (60, 50, 50)
QUICK = Tuning(iterations=2, steps=25)
CENTRES = {10: np.array([20.0, 24.5, 24.5]), 49: np.array([39.0, 24.5, 24.5])}


def seen(radius: float, seed: int, *, noise: float = 0.01, gain: float = 0.0, matrix: np.ndarray | None = None) -> Seen:
    """Two balls of 1 in 1.4 with a soft edge, at the pose that `matrix` (mean space to visit) gives."""
    matrix = np.eye(4) if matrix is None else matrix
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in SHAPE], indexing="ij"))
    back = np.linalg.inv(matrix)
    points = np.tensordot(back[:3, :3], grid, 1) + back[:3, 3].reshape(3, 1, 1, 1)
    labels = np.zeros(SHAPE, np.uint8)
    values = np.full(SHAPE, 1.4)
    for label, centre in CENTRES.items():
        away = np.sqrt(((points - centre.reshape(3, 1, 1, 1)) ** 2).sum(0)) - radius
        labels[away < 0] = label
        values -= 0.4 / (1 + np.exp(2 * away))
    rng = np.random.default_rng(seed)
    values *= np.exp(gain * (grid[0] - 30) / 30)
    values += ndimage.gaussian_filter(rng.normal(0, noise, SHAPE), 0.3)
    return Seen(nib.Nifti1Image(values.astype(np.float32), np.eye(4)), labels, matrix)


def test_swapped_visits_give_the_negative() -> None:
    first, second = seen(7.0, 1), seen(6.9, 2, gain=0.05, matrix=exponential(np.array([0.02, 0.01, 0, 0.4, 0, 1])))
    forth, back = measure(first, second, QUICK), measure(second, first, QUICK)
    for side in ("both", "left", "right"):
        there, again = getattr(forth, side), getattr(back, side)
        assert there.log_ratio == pytest.approx(-again.log_ratio, rel=1e-6)
        assert there.se == pytest.approx(again.se, rel=1e-6)


@pytest.mark.parametrize("after", [7.0, 6.86])
def test_known_change_under_a_bias_field(after: float) -> None:
    change = measure(seen(7.0, 1), seen(after, 2, gain=0.06), QUICK)
    true = 3 * np.log(after / 7.0)
    assert change.both.log_ratio == pytest.approx(true, abs=0.008)
    assert change.both.log_ratio == pytest.approx((change.left.log_ratio + change.right.log_ratio) / 2, abs=2e-3)
    assert 0 < change.both.se < change.left.se


def test_the_same_scan_twice_has_not_changed() -> None:
    one = seen(7.0, 1)
    assert measure(one, one, replace(QUICK, iterations=1)).both.log_ratio == 0


def test_no_mask() -> None:
    one = seen(7.0, 1)
    with pytest.raises(ImageError, match="no mask"):
        measure(one, replace(one, labels=np.zeros(SHAPE, np.uint8)), QUICK)


def test_field_of_view() -> None:
    one = seen(7.0, 1)
    cut = nib.Nifti1Image(np.asarray(one.image.dataobj)[:, :, :32], np.eye(4))
    with pytest.raises(ImageError, match="field of view"):
        measure(one, replace(one, image=cut, labels=one.labels[:, :, :32]), QUICK)
