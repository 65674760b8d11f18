"""Agreement between raters: what a method can be expected to reach."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.bids.tabular.counting import one_per_person
from thalbids.group.comparison import METRICS
from thalbids.group.statistics.concordance.agreement import agreement, bootstrap, drawn, icc, pairs
from thalbids.types import Estimate

if TYPE_CHECKING:
    import pandas as pd

AGREEMENT_COLUMNS = ("rater", "rater2", "quantity", "estimate", "ci_low", "ci_high", "n", "reason")
ALL = "all"


def between_raters(table: pd.DataFrame, seed: int, draws: int = 2000) -> list[dict[str, Any]]:
    """Per pair of raters: the median of every overlap measure, and the agreement of their volumes; for three and more
    raters also the ICCs of all of them, over the participants whom all of them drew.
    """
    rows: list[dict[str, Any]] = []
    chosen = one_per_person(table, ["rater", "rater2"])
    for (rater, rater2), group in chosen.groupby(["rater", "rater2"], sort=False):
        pair = {"rater": rater, "rater2": rater2}
        for metric in METRICS:
            values = group[metric].to_numpy(dtype=np.float64)
            values = values[~np.isnan(values)]
            median = float(np.median(values)) if values.size else math.nan
            low, high = bootstrap(values, np.median, seed, draws)
            reason = "" if values.size else "no pair of masks that are not empty"
            rows.append(pair | _row(f"median_{metric}", Estimate(median, low, high, reason), int(values.size)))
        x, y = drawn(group["volume_ml"]), drawn(group["volume2_ml"])
        n = pairs(x, y)[0].size
        rows += [pair | _row(name, estimate, n) for name, estimate in agreement(x, y).items()]
    return rows + _all_raters(chosen)


def _all_raters(chosen: pd.DataFrame) -> list[dict[str, Any]]:
    volumes: dict[str, dict[str, float]] = {}
    for row in chosen.itertuples():
        for rater, volume in ((row.rater, row.volume_ml), (row.rater2, row.volume2_ml)):
            if volume > 0:  # an empty mask is no measurement
                volumes.setdefault(str(rater), {})[str(row.participant_id)] = float(volume)
    if len(volumes) < 3:
        return []
    shared = sorted(set.intersection(*(set(of_rater) for of_rater in volumes.values())))
    ratings = np.array([[of_rater[person] for of_rater in volumes.values()] for person in shared]).reshape(
        len(shared), -1
    )
    estimates = dict(zip(("icc_c1", "icc_a1"), icc(ratings), strict=True))
    return [{"rater": ALL, "rater2": ALL} | _row(name, value, len(shared)) for name, value in estimates.items()]


def _row(quantity: str, estimate: Estimate, n: int) -> dict[str, Any]:
    numbers = {"estimate": estimate.estimate, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}
    return {"quantity": quantity, **numbers, "n": n, "reason": estimate.reason}
