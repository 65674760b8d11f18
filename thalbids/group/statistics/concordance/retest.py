"""Test-retest reliability from repeated scans without a change in between."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from thalbids.group.statistics.concordance import agreement
from thalbids.types import Estimate

Z = 1.96
QUANTITIES = ("sem", "cv_percent", "sdc", "sdc_percent", "icc_a1", "icc_c1", "bias", "loa_low", "loa_high")
LEAST = 3  # sessions with repeated scans


def retest(sessions: Sequence[np.ndarray]) -> dict[str, Estimate]:
    """All of `QUANTITIES` of one measure.

    Parameters
    ----------
    sessions : per session the volumes of its scans, two or more, in their order

    Returns
    -------
    dict
        ``sem``: standard deviation within sessions, pooled (mL); ``cv_percent``: the same of volumes in percent of
        their session's mean; ``sdc``, ``sdc_percent``: smallest detectable change 1.96 sqrt(2) sem (Weir 2005). Their
        intervals are those of a standard deviation (chi-square). Of the first two scans of each session: ``icc_a1``
        and ``icc_c1``, absolute agreement and consistency (McGraw and Wong 1996), ``bias``, second minus first, and
        the limits of agreement (Bland and Altman 1999).
    """
    scans = [values[np.isfinite(values)] for values in sessions]
    scans = [values for values in scans if values.size > 1 and values.mean() > 0]
    if len(scans) < LEAST:
        few = Estimate(reason=f"sessions with repeated scans: {len(scans)}, at least {LEAST} are needed")
        return dict.fromkeys(QUANTITIES, few)
    sem = _within(scans)
    cv = _within([100 * values / values.mean() for values in scans])
    two = np.array([values[:2] for values in scans])
    absolute, consistent = agreement.icc(two)[::-1]
    d = two[:, 1] - two[:, 0]
    low, high = agreement.limits(d)
    return {
        "sem": sem,
        "cv_percent": cv,
        "sdc": _times(sem, Z * math.sqrt(2)),
        "sdc_percent": _times(cv, Z * math.sqrt(2)),
        "icc_a1": absolute,
        "icc_c1": consistent,
        "bias": agreement.bias(d),
        "loa_low": low,
        "loa_high": high,
    }


def _within(scans: Sequence[np.ndarray]) -> Estimate:
    squares = sum(float(np.sum((values - values.mean()) ** 2)) for values in scans)
    df = sum(values.size - 1 for values in scans)
    return agreement.sd(np.empty(df + 1), df, squares)


def _times(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(
        factor * estimate.estimate, factor * estimate.ci_low, factor * estimate.ci_high, reason=estimate.reason
    )
