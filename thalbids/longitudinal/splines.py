"""Cubic B-splines on a regular lattice: fields of many voxels from few coefficients, axis by axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Lattice:
    """Cubic B-splines over a box of voxels.

    Attributes
    ----------
    values : three (voxels, splines) matrices, one for each axis: a spline's value at a voxel
    slopes : the same for its first derivative per mm
    energies : for each axis the Gram matrices of values, first and second derivatives (mm)
    """

    values: tuple[np.ndarray, ...]
    slopes: tuple[np.ndarray, ...]
    energies: tuple[tuple[np.ndarray, ...], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of splines along each axis."""
        return tuple(b.shape[1] for b in self.values)


def lattice(shape: tuple[int, ...], spacing: float, voxel: float) -> Lattice:
    """Splines `spacing` mm apart over a box of `shape` voxels of `voxel` mm, the same to both ends of the box."""
    values, slopes, energies = [], [], []
    for n in shape:
        knots = int(np.ceil((n - 1) * voxel / spacing)) + 3
        first = ((n - 1) * voxel - (knots - 1) * spacing) / 2
        centres = first + spacing * np.arange(knots)
        points = voxel * np.arange(n)
        values.append(cubic((points[:, None] - centres) / spacing, 0))
        slopes.append(cubic((points[:, None] - centres) / spacing, 1) / spacing)
        fine = np.arange(0.125 * spacing, (n - 1) * voxel, 0.25 * spacing)
        bases = [cubic((fine[:, None] - centres) / spacing, d) / spacing**d for d in range(3)]
        energies.append(tuple(0.25 * spacing * b.T @ b for b in bases))

    def single(all_: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        return tuple(m.astype(np.float32) for m in all_)

    return Lattice(single(values), single(slopes), tuple(single(list(e)) for e in energies))


def cubic(t: np.ndarray, derivative: int) -> np.ndarray:
    """The cubic B-spline, or its first or second derivative, at distance `t` (in knots) from its middle."""
    a = np.abs(t)
    near, far = a < 1, (a >= 1) & (a < 2)
    if derivative == 0:
        return np.where(near, 2 / 3 - a**2 + a**3 / 2, np.where(far, (2 - a) ** 3 / 6, 0.0))
    if derivative == 1:
        return np.sign(t) * np.where(near, -2 * a + 1.5 * a**2, np.where(far, -((2 - a) ** 2) / 2, 0.0))
    return np.where(near, 3 * a - 2, np.where(far, 2 - a, 0.0))


def along(coefficients: np.ndarray, matrices: tuple[np.ndarray, ...]) -> np.ndarray:
    """Apply one matrix along each of the last three axes of (components, x, y, z)."""
    out = coefficients @ matrices[2].T
    out = np.matmul(matrices[1], out)
    n = out.shape
    out = np.matmul(matrices[0], out.reshape(n[0], n[1], n[2] * n[3]))
    return out.reshape(n[0], matrices[0].shape[0], n[2], n[3])


def transposed(field: np.ndarray, matrices: tuple[np.ndarray, ...]) -> np.ndarray:
    """The adjoint of :func:`along`."""
    return along(field, tuple(m.T for m in matrices))


def energy(lattice: Lattice, c: np.ndarray, bending: float, membrane: float) -> np.ndarray:
    """Bending and membrane energy's Hessian times coefficients (components, x, y, z)."""
    (a0, a1, a2), (b0, b1, b2), (c0, c1, c2) = lattice.energies
    z0, z1, z2 = (c @ m for m in (c0, c1, c2))
    y00, y10, y20 = (np.matmul(m, z0) for m in (b0, b1, b2))
    y01, y11 = (np.matmul(m, z1) for m in (b0, b1))
    y02 = np.matmul(b0, z2)

    def x(matrix: np.ndarray, field: np.ndarray) -> np.ndarray:
        n = field.shape
        return np.matmul(matrix, field.reshape(n[0], n[1], -1)).reshape(n)

    plain = x(a0, np.float32(bending) * (y20 + y02 + 2 * y11) + np.float32(membrane) * (y10 + y01))
    once = x(a1, np.float32(2 * bending) * (y10 + y01) + np.float32(membrane) * y00)
    return plain + once + np.float32(bending) * x(a2, y00)


def energy_diagonal(lattice: Lattice, bending: float, membrane: float) -> np.ndarray:
    """The diagonal (x, y, z) of what :func:`energy` applies."""
    d = [[np.diag(m) for m in axis] for axis in lattice.energies]

    def outer(a: int, b: int, c: int) -> np.ndarray:
        return np.asarray(d[0][a][:, None, None] * d[1][b][:, None] * d[2][c])

    twice = outer(2, 0, 0) + outer(0, 2, 0) + outer(0, 0, 2)
    mixed = outer(1, 1, 0) + outer(1, 0, 1) + outer(0, 1, 1)
    once = outer(1, 0, 0) + outer(0, 1, 0) + outer(0, 0, 1)
    return np.asarray(bending * (twice + 2 * mixed) + membrane * once, dtype=np.float32)
