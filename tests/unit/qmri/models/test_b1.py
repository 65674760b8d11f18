"""The transmit field from maps and from simulated measurements."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.errors import ImageError, MetadataError
from thalbids.qmri.models.b1 import (
    T1_OF_STE,
    factor_from_map,
    from_actual_flip_angle,
    from_double_angle,
    from_stimulated_echo,
    from_turbo_flash,
    receive_ratio,
    smooth,
)

FIELD = np.linspace(0.6, 1.3, 15)


@pytest.mark.parametrize(
    ("scale", "units"), [(1, None), (100, None), (100, "percent"), (1, "arbitrary"), (100, "p.u.")]
)
def test_unit_of_a_map(scale: float, units: str | None) -> None:
    found, unit = factor_from_map(FIELD * scale, units)
    np.testing.assert_allclose(found, FIELD, rtol=1e-6)
    assert unit == ("factor" if scale == 1 else "percent")


@pytest.mark.parametrize(
    ("values", "units", "error"),
    [
        (FIELD, "percent", ImageError),
        (FIELD * 100, "factor", ImageError),
        (FIELD * 1000, None, ImageError),
        (np.zeros(3), None, ImageError),
        (FIELD, "degrees", MetadataError),
    ],
)
def test_a_map_that_contradicts_its_unit_is_refused(values: np.ndarray, units: str | None, error: type) -> None:
    with pytest.raises(error):
        factor_from_map(values, units)


def test_impossible_values_are_no_number() -> None:
    found, _ = factor_from_map(np.array([0.9, 1.0, 1.1, 0.0, -1.0, np.inf, 50.0]))
    assert np.isnan(found).tolist() == [False] * 3 + [True] * 4


def test_actual_flip_angle_of_simulated_pulses() -> None:
    """Two alternating delays, each longitudinal magnetisation followed to its steady state."""
    short, long, r1 = 0.02, 0.1, 0.9
    cosine = np.cos(np.deg2rad(60) * FIELD)
    first = np.ones_like(FIELD)
    for _ in range(300):
        second = 1 - (1 - first * cosine) * np.exp(-short * r1)
        first = 1 - (1 - second * cosine) * np.exp(-long * r1)
    found = from_actual_flip_angle(first, second, (short, long), 60)
    np.testing.assert_allclose(found, FIELD, rtol=0.01)  # the formula is of first order in TR / T1
    with pytest.raises(ValueError, match="longer"):
        from_actual_flip_angle(first, second, (long, short), 60)


def test_double_angle() -> None:
    angle = np.deg2rad(60) * FIELD
    np.testing.assert_allclose(from_double_angle(np.sin(angle), np.sin(2 * angle), 60), FIELD)


def test_stimulated_echo() -> None:
    angles, mixing = (65, 90, 115), 0.0338
    spin = [np.sin(np.deg2rad(a) * FIELD) ** 3 for a in angles]
    decay = np.exp(-mixing / T1_OF_STE)
    stimulated = [s * np.cos(np.deg2rad(a) * FIELD) * decay for s, a in zip(spin, angles, strict=True)]
    np.testing.assert_allclose(from_stimulated_echo(spin, stimulated, angles, mixing), FIELD)


def test_turbo_flash() -> None:
    np.testing.assert_allclose(from_turbo_flash(FIELD * 80 * 10, 80), FIELD)


def test_smoothing_keeps_a_constant_and_fills_beyond_its_edge() -> None:
    field = np.full((20, 20, 20), np.nan)
    field[5:15, 5:15, 5:15] = 0.9
    smoothed = smooth(field, 8.0, (2.0, 2.0, 4.0))
    assert np.nanmax(np.abs(smoothed - 0.9)) < 1e-12
    assert np.isfinite(smoothed[3:17, 3:17, 4:16]).all()
    assert np.isnan(smoothed[0, 0, 0])
    assert smooth(field, 0.0, (2, 2, 2)) is field


def test_width_of_the_kernel() -> None:
    field = np.zeros((41, 41, 41))
    field[20, 20, 20] = 1.0
    smoothed = smooth(field, 8.0, (1.0, 1.0, 1.0))
    assert smoothed[24, 20, 20] / smoothed[20, 20, 20] == pytest.approx(0.5, abs=1e-6)


def test_receive_ratio_is_that_of_the_coils() -> None:
    tissue = np.random.default_rng(8).uniform(50, 60, (12, 12, 12))
    ratio = receive_ratio(tissue * 2.5, tissue, 8.0, (4, 4, 4))
    np.testing.assert_allclose(ratio, 2.5)
    assert np.isnan(receive_ratio(np.zeros((3, 3, 3)), np.ones((3, 3, 3)), 8.0, (4, 4, 4))).all()
