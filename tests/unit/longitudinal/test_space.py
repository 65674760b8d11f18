"""The space between visits: half-way, whatever the order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.linalg import expm

from thalbids.longitudinal.space import between, exponential, logarithm, mean_space


def rigid(seed: int, size: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return exponential(np.concatenate([rng.normal(0, size, 3), rng.normal(0, 10, 3)]))


def pairs_of(visits: list[np.ndarray], noise: float = 0.0) -> dict[tuple[int, int], np.ndarray]:
    """From visit i to visit j, each pair a little wrong in a way of its own."""
    return {
        (i, j): visits[j] @ rigid(10 + i + 7 * j, noise) @ np.linalg.inv(visits[i])
        if noise
        else visits[j] @ np.linalg.inv(visits[i])
        for j in range(len(visits))
        for i in range(j)
    }


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (1e-8, 0, 0), (0.3, -0.2, 1.0)])
def test_exponential_is_the_matrix_exponential(turn: tuple[float, float, float]) -> None:
    velocity = np.array([*turn, 3.0, -2.0, 5.0])
    x, y, z = turn
    generator = np.array([[0, -z, y, 3], [z, 0, -x, -2], [-y, x, 0, 5], [0, 0, 0, 0]])
    assert exponential(velocity) == pytest.approx(expm(generator))
    assert logarithm(exponential(velocity)) == pytest.approx(velocity)


def test_two_visits_meet_half_way() -> None:
    change = rigid(1)
    first, second = mean_space({(0, 1): change}, 2)
    assert second @ np.linalg.inv(first) == pytest.approx(change)
    assert first == pytest.approx(np.linalg.inv(second))


def test_a_registration_in_each_direction() -> None:
    forth, back = rigid(1), np.linalg.inv(rigid(2))
    assert between(forth, back) == pytest.approx(np.linalg.inv(between(back, forth)))
    assert between(forth, np.linalg.inv(forth)) == pytest.approx(forth)


def test_no_visit_is_special() -> None:
    visits = [rigid(k) for k in range(3)]
    given = pairs_of(visits)
    given[0, 2] = given[0, 2] @ exponential(np.array([0.01, 0, 0, 0.3, 0, 0.1]))  # the pairs contradict each other
    straight = mean_space(given, 3)
    for order in itertools.permutations(range(3)):
        renamed = {}
        for i, j in given:
            a, b = order.index(i), order.index(j)
            renamed[min(a, b), max(a, b)] = given[i, j] if a < b else np.linalg.inv(given[i, j])
        for place, visit in enumerate(order):
            assert mean_space(renamed, 3)[place] == pytest.approx(straight[visit], abs=1e-8)
    assert np.sum([logarithm(m) for m in straight], axis=0) == pytest.approx(0, abs=1e-8)


def test_a_pair_is_missing() -> None:
    with pytest.raises(ValueError, match="every pair"):
        mean_space({(0, 1): np.eye(4)}, 3)
