"""Which sign of an association is to be expected, and the caveat where an estimate contradicts it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

# a larger volume, or less loss, goes with less disability and better performance (paper, 4)
_EXPECTED = {"edss": -1, "t25fw": -1, "nhpt": -1, "sdmt": 1, "disease_duration": -1}

ALPHA = 0.05
CROSS_SECTIONAL = (
    "The sign is counter-intuitive: in most studies a smaller thalamus goes with more disability. Look for outliers, "
    "failed masks and confounding before it is interpreted."
)
LONGITUDINAL = (
    "The sign is counter-intuitive: more worsening goes with less loss of volume. Relapses and the coarse steps of the "
    "score, pseudoatrophy and treatment effects on tissue water, and the noise of the volume change may each cause "
    "this (paper, 4). Exploratory; it does not validate the measurement of change."
)


def sign(outcome: str, estimate: float) -> str:
    """``expected`` or ``opposite``; "" where nothing is expected or there is no estimate.

    Examples
    --------
    >>> sign("edss", -0.26), sign("d_edss", 0.7), sign("sdmt", 2.1)
    ('expected', 'opposite', 'expected')
    """
    expected = _EXPECTED.get(outcome.removeprefix("d_"), 0)
    if not expected or not math.isfinite(estimate) or estimate == 0:
        return ""
    return "expected" if estimate * expected > 0 else "opposite"


def warning(outcome: str, estimate: float, p: float) -> str:
    """The caveat, where the sign is opposite and the corrected ``p`` below 0.05; else ""."""
    if sign(outcome, estimate) != "opposite" or not p < ALPHA:
        return ""
    return LONGITUDINAL if outcome.startswith("d_") else CROSS_SECTIONAL


def warn(rows: Iterable[dict[str, Any]], outcome: str = "") -> None:
    """Write ``warning`` into the rows whose ``sign`` is opposite, once ``p_fdr`` is there.

    ``outcome`` is that of all rows where they have no such key.
    """
    for row in rows:
        if row.get("sign") == "opposite":
            row["warning"] = warning(row.get("outcome", outcome), row["estimate"], row["p_fdr"])
