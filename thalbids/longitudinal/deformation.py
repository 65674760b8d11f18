"""The deformation between two visits, seen from half-way: neither visit is the reference.

A displacement u (mm) of cubic B-splines is sought for which the first visit at x - u/2 and the second at x + u/2 look
the same, but for a smooth gain g (differential bias field), an offset, a curved contrast and a difference in blur. It
minimises

    sum over voxels of window * (second - first - nuisances)^2 / variance
    + bending * |second derivatives of u|^2 + membrane * |first derivatives of u|^2 + gain * |second derivatives of g|^2

by Gauss-Newton with conjugate gradients. The gradient is that of the mean of both visits (as in the "efficient
second-order minimisation" of Malis 2004), so swapping the visits gives exactly -u, operation by operation; and the
noise of the difference is independent of that of the mean, so noise alone pulls to no side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from thalbids.longitudinal import splines
from thalbids.longitudinal.visits import Box, Visit, values_at

BLUR_MM = 0.7
LEAST_NOISE = 1e-3  # of the thalamus' intensity: the same scan twice has none at all
RANK = 1e-6  # of the nuisances: what is smaller is the same thing twice


@dataclass(frozen=True)
class Tuning:
    """What decides between noise and lost change; chosen by response and noise on known change.

    Attributes
    ----------
    spacing : mm between the splines
    bending, membrane : weights of the two energies of the displacement, in mm
    gain : weight of the bending energy of the logarithm of the gain
    smoothing : mm, SD of the Gauss filter on both visits
    iterations, steps : of Gauss-Newton, and of conjugate gradients in each
    """

    spacing: float = 8.0
    bending: float = 10.0
    membrane: float = 0.2
    gain: float = 1000.0
    smoothing: float = 0.0
    iterations: int = 3
    steps: int = 40


@dataclass(frozen=True)
class System:
    """The linear system of one Gauss-Newton step, about coefficients (4, ...) of u and g.

    Attributes
    ----------
    slopes : (4, x, y, z) of the difference by u (mm) and g
    weight : (x, y, z), one over the variance of the difference
    nuisance : (q, x*y*z) what may differ without change, free of charge
    """

    lattice: splines.Lattice
    slopes: np.ndarray
    weight: np.ndarray
    nuisance: np.ndarray
    tuning: Tuning

    @cached_property
    def _orthonormal(self) -> np.ndarray:
        """The nuisances (q, x*y*z) so combined that they are orthonormal under the weights."""
        root = np.sqrt(self.weight.ravel().astype(np.float64))
        whole = self.nuisance * root
        # in double precision: a mean and its square are nearly the same, and rounding would spoil the symmetry
        _, values, rows = np.linalg.svd(whole @ whole.T)
        kept = values > RANK * values[0]
        return np.asarray((rows[kept] / np.sqrt(values[kept])[:, None]) @ self.nuisance, dtype=np.float32)

    def freed(self, difference: np.ndarray) -> np.ndarray:
        """Weighted difference (x, y, z) without what the nuisances explain."""
        shares = self._orthonormal @ (self.weight * difference).ravel()
        rest = difference.ravel() - shares @ self._orthonormal
        return np.asarray(self.weight * rest.reshape(difference.shape))

    def pull(self, difference: np.ndarray) -> np.ndarray:
        """What a difference (x, y, z) says of every coefficient: J' W difference."""
        return splines.transposed(self.slopes * self.freed(difference), self.lattice.values)

    def data(self, c: np.ndarray) -> np.ndarray:
        """J' W J c."""
        return self.pull((self.slopes * splines.along(c, self.lattice.values)).sum(0))

    def prior(self, c: np.ndarray) -> np.ndarray:
        """The energies' Hessian times c."""
        t = self.tuning
        moves = splines.energy(self.lattice, c[:3], t.bending, t.membrane)
        return np.concatenate([moves, splines.energy(self.lattice, c[3:], t.gain, 0.0)])

    def diagonal(self) -> np.ndarray:
        """The diagonal of the whole Hessian, nuisances left aside."""
        t = self.tuning
        squares = tuple(m**2 for m in self.lattice.values)
        moves = splines.energy_diagonal(self.lattice, t.bending, t.membrane)
        gain = splines.energy_diagonal(self.lattice, t.gain, 0.0)
        priors = np.stack([moves, moves, moves, gain])
        return splines.transposed(self.slopes**2 * self.weight, squares) + priors

    def solve(self, wanted: np.ndarray, tolerance: float = 1e-3) -> np.ndarray:
        """Conjugate gradients, preconditioned by the diagonal; at most ``tuning.steps``."""
        diagonal = self.diagonal()
        found, rest = np.zeros_like(wanted), wanted.copy()
        scaled = rest / diagonal
        direction = scaled
        size = start = float((rest * scaled).sum(dtype=np.float64))
        for _ in range(self.tuning.steps):
            if size <= tolerance**2 * start:
                break
            image = self.data(direction) + self.prior(direction)
            step = np.float32(size / float((direction * image).sum(dtype=np.float64)))
            found = found + step * direction
            rest = rest - step * image
            scaled = rest / diagonal
            new = float((rest * scaled).sum(dtype=np.float64))
            direction = scaled + np.float32(new / size) * direction
            size = new
        return found


@dataclass(frozen=True)
class Deformation:
    """What was found between two visits.

    Attributes
    ----------
    coefficients : (4, ...) float32: displacement (mm) from first to second visit, and log of the gain of the second
        over the first
    system : the last linear system, for intervals
    noise : SD of what is left of the difference, relative to the visits' units
    """

    coefficients: np.ndarray
    system: System
    noise: float
    box: Box

    def displacement(self) -> np.ndarray:
        """(3, x, y, z) mm."""
        return splines.along(self.coefficients[:3], self.system.lattice.values)

    def log_gain(self) -> np.ndarray:
        """(x, y, z)."""
        return np.asarray(splines.along(self.coefficients[3:], self.system.lattice.values)[0])


def deform(first: Visit, second: Visit, box: Box, window: np.ndarray, tuning: Tuning) -> Deformation:
    """The deformation between two visits.

    Parameters
    ----------
    first, second : the visits, of about the same units, in which brain is about 1
    box : where they are compared
    window : (x, y, z) weights, 0 where nothing counts
    """
    lattice = splines.lattice(box.shape, tuning.spacing, box.voxel)
    points = box.points()
    c = np.zeros((4, *lattice.shape), np.float32)
    system, noise = None, 0.0
    for _ in range(tuning.iterations):
        found = splines.along(c, lattice.values)
        half = found[:3] / 2
        # a product on both sides: a quotient would be rounded otherwise when the visits are swapped
        a = values_at(first, points - half) * np.exp(found[3] / 2)
        b = values_at(second, points + half) * np.exp(-found[3] / 2)
        system, noise = linearised(a, b, box, window, lattice, tuning)
        c = c + system.solve(-system.pull(b - a) - system.prior(c))
    assert system is not None
    return Deformation(c, system, noise, box)


def linearised(
    a: np.ndarray, b: np.ndarray, box: Box, window: np.ndarray, lattice: splines.Lattice, tuning: Tuning
) -> tuple[System, float]:
    """The linear system about two images that nearly agree, and the noise (robust SD) of their difference."""
    mean = (a + b) / 2
    slopes = np.stack([*np.gradient(mean, box.voxel), -mean]).astype(np.float32)
    blurred = [ndimage.gaussian_filter(mean, BLUR_MM, order=order) for order in ([2, 0, 0], [0, 2, 0], [0, 0, 2])]
    level = float((window * mean).sum() / window.sum())
    unlike = (mean - level) / level
    nuisance = np.stack([np.ones(box.shape), unlike, unlike**2, *blurred]).reshape(6, -1).astype(np.float64)
    plain = System(lattice, slopes, window.astype(np.float32), nuisance, tuning)
    counted = window > 0.5
    rest = plain.freed(b - a)[counted] / window[counted]
    noise = max(float(1.4826 * np.median(np.abs(rest))), LEAST_NOISE)
    weight = (window * box.voxel**3 / noise**2).astype(np.float32)
    return System(lattice, slopes, weight, nuisance, tuning), noise
