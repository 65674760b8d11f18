"""Change as the difference of two volumes, with the interval that noise of the two scans leaves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from thalbids.inference.uncertainty import sd_of_change

SIDES = ("", "left_", "right_")
Z95 = 1.959963984540054  # quantile of the normal distribution that leaves 2.5 % above
MOST_VISITS = 10  # with more, consecutive visits and each with the first only
# mL: volume_ml, volume_left_ml, volume_right_ml, and the bounds volume_low_ml, volume_high_ml
Volumes = Mapping[str, float]


def pairs_of(visits: Sequence[str], first: str) -> list[tuple[str, str]]:
    """Pairs of visits, the earlier one first: all of them; of more than ten visits, consecutive ones and those with the
    first.

    Parameters
    ----------
    visits : in order of time
    first : which of them the course of a person begins with; those before it have no image
    """
    every = itertools.combinations(visits, 2)
    if len(visits) <= MOST_VISITS:
        return list(every)
    next_to = set(itertools.pairwise(visits))
    return [pair for pair in every if pair[0] == first or pair in next_to]


def difference(first: Volumes, later: Volumes, years: float | None) -> dict[str, float]:
    """The columns of numbers of the change table; those that cannot be known are absent.

    Parameters
    ----------
    years : between the two visits; None or 0 gives no rate
    """
    change = {"volume_baseline_ml": first["volume_ml"], "volume_followup_ml": later["volume_ml"]}
    for side in SIDES:
        before, after = first.get(f"volume_{side}ml"), later.get(f"volume_{side}ml")
        if before is None or after is None:
            continue
        change[f"delta_{side}ml"] = after - before
        if before > 0:
            change[f"delta_{side}percent"] = percent = 100 * (after - before) / before
            if years:
                change[f"delta_{side}percent_per_year"] = percent / years
    return change


def interval(first: Volumes, later: Volumes, contrast: str) -> tuple[float, float] | None:
    """95 % interval of the change in percent of the earlier volume; None where a volume has no bounds.

    Of the logarithm of the ratio, whose error counts as normal (:func:`thalbids.inference.uncertainty.sd_of_change`).
    """
    bounds = [(volume.get("volume_low_ml"), volume.get("volume_high_ml")) for volume in (first, later)]
    known = [(low, high) for low, high in bounds if low is not None and high is not None and 0 < low <= high]
    if len(known) < 2 or not (first["volume_ml"] > 0 and later["volume_ml"] > 0):
        return None
    middle = math.log(later["volume_ml"] / first["volume_ml"])
    half = Z95 * sd_of_change(known[0], known[1], contrast)
    return 100 * math.expm1(middle - half), 100 * math.expm1(middle + half)
