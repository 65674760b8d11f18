"""The space between all visits of a person: no visit is special, whatever their order and number.

Transforms are (4, 4) matrices in mm, RAS+. The mean space is where the logarithms of the transforms from it to the
visits add up to zero; for two visits that is half-way.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

MOST_ROUNDS = 100
SETTLED = 1e-12


def between(forth: np.ndarray, back: np.ndarray) -> np.ndarray:
    """One rigid transform from first to second visit, from a registration in each direction.

    Swapping the visits, and with them `forth` and `back`, gives the inverse.
    """
    other = np.linalg.inv(back)
    return np.asarray(forth @ exponential(logarithm(np.linalg.inv(forth) @ other) / 2))


def mean_space(pairs: Mapping[tuple[int, int], np.ndarray], visits: int) -> list[np.ndarray]:
    """Transforms from the mean space to each visit.

    Parameters
    ----------
    pairs : for every pair of visits (i < j) the rigid transform from mm of visit i to mm of visit j; where they
        contradict each other, each has the same say
    visits : how many there are

    Raises
    ------
    ValueError
        A pair is missing.
    """
    wanted = {(i, j) for j in range(visits) for i in range(j)}
    if wanted != set(pairs):
        raise ValueError("a transform is needed for every pair of visits, the earlier one first")
    both = {(i, j): m for (i, j), m in pairs.items()} | {(j, i): np.linalg.inv(m) for (i, j), m in pairs.items()}
    matrices = [np.eye(4), *(both[0, k] for k in range(1, visits))]
    for _ in range(MOST_ROUNDS):
        steps = [_step(k, matrices, both) for k in range(visits)]
        matrices = [m @ exponential(step) for m, step in zip(matrices, steps, strict=True)]
        middle = np.mean([logarithm(m) for m in matrices], axis=0)
        matrices = [m @ exponential(-middle) for m in matrices]
        if max(np.abs(middle).max(), *(np.abs(step).max() for step in steps)) < SETTLED:
            break
    return matrices


def _step(k: int, matrices: list[np.ndarray], both: Mapping[tuple[int, int], np.ndarray]) -> np.ndarray:
    """How far the other visits want one visit's transform to move, half of it."""
    inverse = np.linalg.inv(matrices[k])
    wishes = [logarithm(inverse @ both[j, k] @ matrices[j]) for j in range(len(matrices)) if j != k]
    return np.asarray(np.mean(wishes, axis=0) / 2)


def logarithm(matrix: np.ndarray) -> np.ndarray:
    """Rotation vector and translation velocity (6,) of a rigid transform."""
    turn = Rotation.from_matrix(matrix[:3, :3]).as_rotvec()
    return np.concatenate([turn, np.linalg.solve(_left(turn), matrix[:3, 3])])


def exponential(velocity: np.ndarray) -> np.ndarray:
    """The rigid transform of a rotation vector and a translation velocity (6,); the inverse of :func:`logarithm`."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(velocity[:3]).as_matrix()
    matrix[:3, 3] = _left(velocity[:3]) @ velocity[3:]
    return matrix


def _left(turn: np.ndarray) -> np.ndarray:
    """The left Jacobian of the rotations at a rotation vector (Sola 2018, equation 145)."""
    angle = float(np.linalg.norm(turn))
    x, y, z = turn
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    if angle < 1e-6:
        return np.eye(3) + cross / 2 + cross @ cross / 6
    first, second = (1 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3
    return np.asarray(np.eye(3) + first * cross + second * cross @ cross)
