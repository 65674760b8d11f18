"""Jacobian integration: by how much a deformation changes the volume of a mask (Nakamura 2014), on the log scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thalbids.longitudinal import splines
from thalbids.longitudinal.deformation import Deformation


@dataclass(frozen=True)
class LogChange:
    """log of the volume at the second over that at the first visit, and its standard error by the images' noise."""

    log_ratio: float
    se: float

    @property
    def percent(self) -> float:
        """Change relative to the first visit."""
        return 100 * float(np.expm1(self.log_ratio))


def determinants(found: Deformation) -> tuple[np.ndarray, np.ndarray]:
    """How much a piece (x, y, z) of the mean space is larger at the first and at the second visit: |D(x -+ u/2)|."""
    lattice = found.system.lattice
    gradient = np.empty((*found.box.shape, 3, 3))
    for axis in range(3):
        matrices = tuple(lattice.slopes[k] if k == axis else lattice.values[k] for k in range(3))
        gradient[..., axis] = np.moveaxis(splines.along(found.coefficients[:3], matrices), 0, -1)
    one = np.eye(3)
    return np.linalg.det(one - gradient / 2), np.linalg.det(one + gradient / 2)


def integrate(found: Deformation, mask: np.ndarray) -> LogChange:
    """Change of a mask (x, y, z; weights 0 - 1 on the box of the deformation)."""
    first, second = determinants(found)
    ratio = float(np.log((mask * second).sum() / (mask * first).sum()))
    return LogChange(ratio, standard_error(found, mask))


def standard_error(found: Deformation, mask: np.ndarray) -> float:
    """By the images' noise: the variance of the linear functional that the change of a mask is of the difference."""
    lattice = found.system.lattice
    wanted = np.zeros_like(found.coefficients)
    for axis in range(3):
        matrices = tuple(lattice.slopes[k] if k == axis else lattice.values[k] for k in range(3))
        wanted[axis] = splines.transposed(mask[None].astype(np.float32), matrices)[0] / mask.sum()
    answer = found.system.solve(wanted)
    return float(np.sqrt((answer * found.system.data(answer)).sum(dtype=np.float64)))
