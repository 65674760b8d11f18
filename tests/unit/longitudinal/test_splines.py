"""Splines, against their definition by differences and by numerical integration."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.longitudinal import splines

SHAPE = (12, 9, 10)


@pytest.fixture
def lattice() -> splines.Lattice:
    return splines.lattice(SHAPE, 4.0, 1.0)


def test_splines_add_up_to_one(lattice: splines.Lattice) -> None:
    ones = np.ones((1, *lattice.shape), np.float32)
    assert splines.along(ones, lattice.values) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("derivative", [1, 2])
def test_derivatives(derivative: int) -> None:
    t = np.linspace(-2.5, 2.5, 41) + 0.01
    step = 1e-5
    below, above = (splines.cubic(t + s, derivative - 1) for s in (-step, step))
    assert splines.cubic(t, derivative) == pytest.approx((above - below) / (2 * step), abs=1e-4)


def test_adjoint(lattice: splines.Lattice) -> None:
    rng = np.random.default_rng(1)
    c, field = rng.normal(size=(2, *lattice.shape)), rng.normal(size=(2, *SHAPE))
    there = (splines.along(c, lattice.values) * field).sum()
    assert there == pytest.approx((c * splines.transposed(field, lattice.values)).sum(), rel=1e-5)


def test_bending_spares_affine_fields_and_measures_curvature(lattice: splines.Lattice) -> None:
    knots = [4.0 * np.arange(n) for n in lattice.shape]
    affine = (2 * knots[0][:, None, None] - knots[1][:, None] + 0.5 * knots[2])[None]
    assert (affine * splines.energy(lattice, affine, 1.0, 0.0)).sum() == pytest.approx(0, abs=1e-2)
    # u = x^2 / 2 has the second derivative 1 everywhere: its energy is the volume of the box
    curved = np.broadcast_to((knots[0] ** 2 / 2)[:, None, None], lattice.shape)[None]
    volume = np.prod(np.array(SHAPE) - 1)
    assert (curved * splines.energy(lattice, curved, 1.0, 0.0)).sum() == pytest.approx(volume, rel=0.15)


def test_diagonal(lattice: splines.Lattice) -> None:
    diagonal = splines.energy_diagonal(lattice, 2.0, 3.0)
    for where in [(0, 0, 0), (2, 1, 3), (1, 3, 2)]:
        unit = np.zeros((1, *lattice.shape), np.float32)
        unit[(0, *where)] = 1
        assert splines.energy(lattice, unit, 2.0, 3.0)[(0, *where)] == pytest.approx(diagonal[where], rel=1e-4)
