"""Changes between pairs of visits, made to agree: from one visit to the next and on to a third is from the first to the
third.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

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
