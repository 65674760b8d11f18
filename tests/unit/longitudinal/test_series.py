"""Changes between pairs of visits that are made to agree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest

from thalbids.longitudinal.series import Pair, consistent, gaps

LAST = 2e-12  # what rounding may leave of a sum


def measured(visits: str, seed: int = 1) -> dict[Pair, float]:
    rng = np.random.default_rng(seed)
    return {pair: round(float(rng.normal(-0.01, 0.01)), 9) for pair in itertools.combinations(visits, 2)}


def test_what_three_pairs_lack_is_shared_among_them() -> None:
    """.01 and .02 are .03 less than .06: each gets a third of that."""
    assert consistent({("a", "b"): 0.01, ("b", "c"): 0.02, ("a", "c"): 0.06}) == pytest.approx(
        {("a", "b"): 0.02, ("b", "c"): 0.03, ("a", "c"): 0.05}
    )


def test_of_all_pairs_each_is_the_mean_of_all_ways_of_one_or_two_steps() -> None:
    """For all pairs of n visits the answer is known: over visits k, the mean of the change from i to k and on to j."""
    pairs = measured("abcde")
    change = pairs | {(two, one): -value for (one, two), value in pairs.items()} | {(k, k): 0.0 for k in "abcde"}
    agreed = consistent(pairs)
    for one, two in pairs:
        ways = [change[one, k] + change[k, two] for k in "abcde"]
        assert agreed[one, two] == pytest.approx(np.mean(ways), abs=LAST)


def test_changes_along_any_way_add_up() -> None:
    visits = "abcdefghijkl"
    every = measured(visits)
    some = {
        (one, two): x for (one, two), x in every.items() if one == "a" or visits.index(two) - visits.index(one) == 1
    }
    assert len(some) == 21
    agreed = consistent(some)
    assert max(abs(agreed[pair] - some[pair]) for pair in some) > 0.001
    for one, two in itertools.pairwise(visits[1:]):
        assert agreed["a", one] + agreed[one, two] == pytest.approx(agreed["a", two], abs=LAST)


def turned(changes: Mapping[Pair, float], order: str) -> dict[Pair, float]:
    """The same changes, from the visit that stands first in another order."""
    pairs = itertools.combinations(order, 2)
    return {(one, two): changes[one, two] if (one, two) in changes else -changes[two, one] for one, two in pairs}


@pytest.mark.parametrize("order", ["dcba", "bdac", "cabd"])
def test_the_order_of_the_visits_changes_nothing_but_signs(order: str) -> None:
    pairs = measured("abcd")
    agreed = consistent(pairs)
    assert agreed != pairs
    assert consistent(turned(pairs, order)) == turned(agreed, order)


def test_a_pair_without_another_way_round_keeps_its_change() -> None:
    """Also two sets of visits that no pair connects, of which one is a single pair."""
    circle = measured("abc")
    alone = {("c", "d"): -0.012345678, ("x", "y"): 1e-9}
    agreed = consistent(circle | alone)
    assert {pair: agreed[pair] for pair in alone} == alone
    assert {pair: agreed[pair] for pair in circle} == consistent(circle)
    assert consistent({("a", "b"): 0.1, ("b", "c"): 0.7}) == {("a", "b"): 0.1, ("b", "c"): 0.7}
    assert consistent({}) == {}


def test_what_is_lacking_around_three_visits() -> None:
    """b - c is measured the other way round; no change between c and d is known."""
    changes = {("a", "b"): 0.01, ("c", "b"): -0.02, ("a", "c"): 0.06, ("a", "d"): 0.5, ("b", "d"): 0.49}
    sds = dict.fromkeys(changes, 0.003) | {("c", "b"): 0.004}
    first, second = gaps(changes, sds)
    assert (first.visits, second.visits) == (("a", "b", "c"), ("a", "b", "d"))
    assert first.lack == pytest.approx(0.01 + 0.02 - 0.06)
    assert second.lack == pytest.approx(0.01 + 0.49 - 0.5, abs=1e-12)
    assert first.sd == pytest.approx(math.sqrt(0.003**2 + 0.004**2 + 0.003**2))
    assert gaps({("a", "b"): 0.01}, {("a", "b"): 0.003}) == []
