"""Changes between pairs of visits, made to agree: from one visit to the next and on to a third is from the first to the
third.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

DECIMALS = 12  # further digits depend on the processor; fewer would often be halves, which rounding turns either way
Pair = tuple[str, str]


def consistent(changes: Mapping[Pair, float]) -> dict[Pair, float]:
    """Changes that add up along the visits and are nearest to those measured, by least squares.

    No visit is special, and every pair has the same say. Visits that no pairs connect do not meet, and a pair without
    another way round between its visits keeps its change.

    Parameters
    ----------
    changes : logarithm of the volume at the second over that at the first visit
    """
    if not changes:
        return {}
    visits = list(dict.fromkeys(itertools.chain.from_iterable(changes)))
    steps = np.array([[(visit == end) - (visit == start) for visit in visits] for start, end in changes], float)
    # several solutions differ by a constant for each set of connected visits, which no change between two of them has
    agreed = steps @ np.linalg.lstsq(steps, np.array(list(changes.values())), rcond=None)[0]
    return {pair: round(float(change), DECIMALS) for pair, change in zip(changes, agreed, strict=True)}


@dataclass(frozen=True)
class Gap:
    """What the changes around three visits, back to where they began, lack of nothing, and the SD of that if their
    errors were independent. The noise of a visit is in both of its changes alike, so gaps are far smaller in truth.
    """

    visits: tuple[str, str, str]
    lack: float
    sd: float


def gaps(changes: Mapping[Pair, float], sds: Mapping[Pair, float]) -> list[Gap]:
    """Every three visits of which all changes are known, as measured (logarithms), with the SD of each."""
    visits = list(dict.fromkeys(itertools.chain.from_iterable(changes)))
    signed = {**changes, **{(end, start): -change for (start, end), change in changes.items()}}
    found = []
    for one, two, three in itertools.combinations(visits, 3):
        around = ((one, two), (two, three), (three, one))
        if all(pair in signed for pair in around):
            spreads = [sds[pair if pair in sds else pair[::-1]] for pair in around]
            found.append(Gap((one, two, three), sum(signed[pair] for pair in around), math.hypot(*spreads)))
    return found
