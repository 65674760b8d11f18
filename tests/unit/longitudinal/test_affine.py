"""Change of two bodies of which the true volumes are known, in a surrounding with texture."""

from __future__ import annotations

import math
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from thalbids.errors import ImageError, RegistrationError
from thalbids.longitudinal.affine import LabelledVisit, measure, outwards
from thalbids.longitudinal.space import exponential

SHAPE = (72, 56, 56)
CENTRES = {10: np.array([24.0, 27.5, 27.5]), 49: np.array([47.0, 27.5, 27.5])}
LENGTHS = np.array([8.0, 10.0, 8.0])  # half axes, mm


def seen(
    factors: tuple[float, float], seed: int, *, noise: float = 0.01, gain: float = 0.0, matrix: np.ndarray | None = None
) -> LabelledVisit:
    """Two ellipsoids of 1 in 1.4 with a soft edge and a brighter lower half, each scaled in length by its factor; the
    pose is that of ``matrix`` (mean space to visit).
    """
    matrix = np.eye(4) if matrix is None else matrix
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in SHAPE], indexing="ij"))
    back = np.linalg.inv(matrix)
    points = np.tensordot(back[:3, :3], grid, 1) + back[:3, 3].reshape(3, 1, 1, 1)
    labels = np.zeros(SHAPE, np.uint8)
    values = np.full(SHAPE, 1.4)
    for (label, centre), factor in zip(CENTRES.items(), factors, strict=True):
        place = (points - centre.reshape(3, 1, 1, 1)) / (factor * LENGTHS.reshape(3, 1, 1, 1))
        away = 8.0 * factor * (np.sqrt((place**2).sum(0)) - 1)
        labels[away < 0] = label
        values -= 0.4 / (1 + np.exp(2 * away)) * (1 + 0.1 * np.tanh(place[2]))
    rng = np.random.default_rng(seed)
    values = values * np.exp(gain * (grid[0] - 36) / 36) + rng.normal(0, noise, SHAPE)
    return LabelledVisit(nib.Nifti1Image(values.astype(np.float32), np.eye(4)), labels, matrix)


POSE = exponential(np.array([0.02, 0.01, 0, 0.4, 0, 1]))


def test_swapped_visits_give_the_negative() -> None:
    first, second = seen((1.0, 1.0), 1), seen((0.98, 1.0), 2, gain=0.05, matrix=POSE)
    forth, back = measure(first, second), measure(second, first)
    for side in ("both", "left", "right"):
        assert getattr(forth, side) == pytest.approx(-getattr(back, side), rel=1e-9)


@pytest.mark.parametrize("factors", [(1.0, 1.0), (0.99, 0.98)])
def test_known_change_of_each_side_under_a_bias_field(factors: tuple[float, float]) -> None:
    """A factor of the lengths f is 3 ln f of the volume; noise of 1 % moves the mean of two pairs by little."""
    pairs = [measure(seen((1.0, 1.0), n), seen(factors, n + 1, gain=0.06, matrix=POSE)) for n in (1, 11)]
    assert sum(pair.left for pair in pairs) / 2 == pytest.approx(3 * math.log(factors[0]), abs=0.006)
    assert sum(pair.right for pair in pairs) / 2 == pytest.approx(3 * math.log(factors[1]), abs=0.006)
    for pair in pairs:
        assert pair.both == pytest.approx((pair.left + pair.right) / 2, abs=2e-4)


@pytest.mark.parametrize("apart", [20.0, 12.0])
def test_where_bodies_touch_no_border_moves(apart: float) -> None:
    """Two balls of radius r, d apart, have the volume of both less that of the lens in which they overlap,
    pi (4 r + d) (2 r - d)^2 / 12. When each grows about its own centre, dV is that of the outer surface alone.
    """

    def volume(radius: float) -> float:
        lens = math.pi * (4 * radius + apart) * max(2 * radius - apart, 0) ** 2 / 12
        return 2 * 4 / 3 * math.pi * radius**3 - lens

    points = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in (48, 32, 32)], indexing="ij"))
    places = [points - np.array([23.5 + x, 15.5, 15.5]).reshape(3, 1, 1, 1) for x in (-apart / 2, apart / 2)]
    away = [np.linalg.norm(place, axis=0) - 8 for place in places]
    left = away[0] < away[1]
    inside = np.clip(0.5 - np.minimum(*away), 0, 1)
    sides = [np.where(of_side, inside, 0) for of_side in (left, ~left)]
    growth = [np.where(of_side, 0.01 * place, 0) for of_side, place in zip((left, ~left), places, strict=True)]
    both, of_left, of_right = (part.sum() for part in outwards(sides, growth))
    assert both == pytest.approx(volume(8.08) / volume(8) - 1, rel=0.03)
    assert of_left == pytest.approx(of_right, rel=1e-9)
    assert both == pytest.approx((of_left + of_right) / 2, rel=1e-9)


def with_vessel(visit: LabelledVisit, brighter: float = 0.1) -> LabelledVisit:
    """A bright tube along the top of the left body, as a vein with a contrast agent."""
    values = np.asarray(visit.image.dataobj).copy()
    x, y, z = np.indices(SHAPE)
    values[(np.hypot(x - 24, z - 36) < 1.5) & (np.abs(y - 27) < 4)] += brighter
    return replace(visit, image=nib.Nifti1Image(values, visit.image.affine))


def test_what_one_visit_alone_shows_at_the_border_is_counted() -> None:
    first, second = seen((1.0, 1.0), 1), seen((0.98, 1.0), 2, gain=0.05, matrix=POSE)
    assert measure(first, second).odd < 0.001
    odd = measure(first, with_vessel(second)).odd
    assert odd > 0.003
    assert measure(with_vessel(second), first).odd == pytest.approx(odd, rel=1e-6)


def test_one_image_twice_did_not_change_and_shows_nothing_odd() -> None:
    first = seen((1.0, 1.0), 1)
    change = measure(first, with_vessel(first, 1e-5))  # as much as rounding makes, in a part of the border
    assert max(map(abs, (change.both, change.left, change.right))) < 1e-5
    assert change.odd == 0


def test_noise_of_the_change_follows_that_of_the_images() -> None:
    """Errors of pairs without change over what least squares tell of each: near the factor of the change table, be the
    noise small or large.
    """
    for noise in (0.005, 0.02):
        pairs = [
            measure(seen((1.0, 1.0), 2 * n, noise=noise), seen((1.0, 1.0), 2 * n + 1, noise=noise, matrix=POSE))
            for n in range(6)
        ]
        shares = [pair.both / pair.noise for pair in pairs]
        assert 2.0 < math.sqrt(sum(share**2 for share in shares) / len(shares)) < 6.0
        assert sum(pair.noise for pair in pairs) / len(pairs) == pytest.approx(0.25 * noise, rel=0.15)


def test_noise_is_the_same_when_visits_are_swapped() -> None:
    first, second = seen((1.0, 1.0), 1), seen((0.98, 1.0), 2, gain=0.05, matrix=POSE)
    assert measure(first, second).noise == pytest.approx(measure(second, first).noise, rel=1e-6)


def test_a_registration_that_missed_a_little_is_mended() -> None:
    off = POSE @ exponential(np.array([0.005, -0.004, 0.003, 0.3, -0.2, 0.2]))
    first, second = seen((1.0, 1.0), 1), seen((0.99, 0.99), 2, matrix=POSE)
    mended, change = measure(first, replace(second, matrix=off)), measure(first, second)
    for name in ("both", "left", "right", "noise"):
        assert getattr(mended, name) == pytest.approx(getattr(change, name), rel=1e-5)


def test_a_visit_without_one_side_is_refused() -> None:
    whole = seen((1.0, 1.0), 1)
    with pytest.raises(ImageError, match="no mask of both"):
        measure(whole, replace(whole, labels=np.where(whole.labels == 10, 10, 0)))


def test_a_field_of_view_that_ends_at_the_thalami_is_refused() -> None:
    whole = seen((1.0, 1.0), 1)
    low = nib.Nifti1Image(
        np.asarray(whole.image.dataobj)[:, :, 20:], whole.image.affine @ exponential(np.array([0, 0, 0, 0, 0, 20.0]))
    )
    with pytest.raises(ImageError, match="field of view"):
        measure(whole, LabelledVisit(low, whole.labels[:, :, 20:], whole.matrix))


@pytest.mark.parametrize("shift", [22.0, 21.7])
def test_masks_that_do_not_overlap_are_told(shift: float) -> None:
    whole = seen((1.0, 1.0), 1)
    off = exponential(np.array([0, 0, 0, 0, shift, 0]))
    with pytest.raises(RegistrationError, match="do not overlap"):
        measure(whole, replace(whole, matrix=off))


def test_values_that_are_no_numbers_are_refused() -> None:
    whole = seen((1.0, 1.0), 1)
    values = np.asarray(whole.image.dataobj).copy()
    values[24, 27, 36] = np.nan
    with pytest.raises(RegistrationError, match="cannot be computed"):
        measure(whole, replace(whole, image=nib.Nifti1Image(values, np.eye(4))))
