"""A person's volumes against the controls of the study, in words: numbers of an earlier group level."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from thalbids.bids.results.norms import TABLE, Norm
from thalbids.reports.text import DASH, as_float, number

TOLERANCE_ML = 0.002  # both tables round
FEW = 30  # controls below which the page says that they are few
WORDS = {"icv_ml": "intracranial volume"}


def cells(norms: Sequence[Norm], volumes: Sequence[Mapping[str, object]]) -> dict[str, dict[str, Any]]:
    """By method what the page shows: ``z``, ``percentile``, ``controls``, and ``remark``.

    Nothing where no volume has a z: a study without controls needs no word of it on every page. A z of another volume
    than that of the page is not shown: the masks were made anew since, or ComBat changed it.
    """
    if all(norm.z is None for norm in norms):
        return {}
    now = {str(row["method"]): as_float(row.get("volume_mm3")) for row in volumes}
    z_of = {}
    for norm in norms:
        volume = now.get(norm.method)
        if volume is None:
            continue
        same = math.isclose(volume / 1000, norm.volume_ml, abs_tol=TOLERANCE_ML)
        reason = re.sub("|".join(WORDS), lambda name: WORDS[name[0]], norm.reason)
        remark = reason if same else f"the group level had {number(norm.volume_ml)} mL (older, or harmonised)"
        known = same and norm.z is not None
        z_of[norm.method] = {
            "z": number(norm.z, 1, sign=True) if known else DASH,
            "percentile": _percentile(norm.percentile) if known else "",
            "controls": norm.controls, "remark": remark,
        }  # fmt: skip
    return z_of


def note(norms: Sequence[Norm]) -> str:
    """What z is, and of how many controls; "" where there is none."""
    known = [norm for norm in norms if norm.z is not None]
    if not known:
        return ""
    counts = sorted({norm.controls for norm in known})
    several = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    adjusted = list(dict.fromkeys(WORDS.get(word, word) for norm in known for word in norm.adjusted.split()))
    said = f", adjusted for {', '.join(adjusted)}" if adjusted else ", not adjusted for anything"
    site = "" if "site" in adjusted else " Scanner and protocol are not adjusted for: were the controls scanned alike?"
    few = " So few controls leave the expected volume uncertain; z allows for it." if counts[0] < FEW else ""
    return (
        f"z: the volume against that of {several} controls of this study by the same method{said}; from the group "
        f"level ({TABLE}). Of healthy people about 2 % have a z below {number(-2, 0)}.{few}{site}"
    )


def _percentile(value: float | None) -> str:
    """As people say it."""
    if value is None:
        return ""
    if value < 1 or value > 99:
        return "below the 1st percentile" if value < 1 else "above the 99th percentile"
    whole = min(99, max(1, round(value)))
    ending = "th" if 10 < whole < 14 else {1: "st", 2: "nd", 3: "rd"}.get(whole % 10, "th")
    return f"{whole}{ending} percentile"
