"""Sites by the acquisition of the T1w, where no clinical table names any: the scanner, and protocols on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from thalbids.bids.tabular.counting import natural
from thalbids.group.cohort import Cohort
from thalbids.qc.visits import acquired

IMAGE = "T1w"
PROTOCOL = {  # what tells protocols apart, with the digits that matter; an echo time follows from the others
    "voxel_size_mm": 1,
    "repetition_time_s": 1,
    "inversion_time_s": 1,
    "flip_angle_deg": 0,
}
WORDS = {
    "voxel_size_mm": "voxel {} mm",
    "repetition_time_s": "TR {} s",
    "inversion_time_s": "TI {} s",
    "flip_angle_deg": "flip {}°",
}


def named(cohort: Cohort) -> Cohort:
    """The cohort with a site for every session whose T1w names its scanner; the same where a table has sites, or where
    fewer than two are found.
    """
    visits = cohort.visits
    if cohort.settings.group.site == "none" or visits["site"].map(bool).any():
        return cohort
    scanners = labels(cohort.documents)
    if len(set(scanners.values())) < 2:
        return cohort
    keys = zip(visits["participant_id"], visits["session_id"], strict=True)
    site = pd.Series([scanners.get(key, "") for key in keys], index=visits.index, dtype=object)
    note = (
        "sites: no clinical table has a column of sites (site, scanner, centre, protocol); the scanner and protocol of "
        'each T1w stand for it. group.site = "none" leaves them out.'
    )
    return replace(cohort, visits=visits.assign(site=site), notes=[*cohort.notes, note])


def labels(documents: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Per session the scanner, with what differs between its protocols; sessions without a scanner are left out.

    Examples
    --------
    >>> session = lambda tr: {"Images": {"T1w": {"acquisition": {"scanner": "S", "repetition_time_s": tr}}}}
    >>> sorted(labels({("sub-1", ""): session(2.3), ("sub-2", ""): session(2.5)}).values())
    ['S, TR 2.3 s', 'S, TR 2.5 s']
    """
    facts = {key: acquired(document).get(IMAGE, {}) for key, document in documents.items()}
    scanners = {key: _scanner(keys) for key, keys in facts.items() if keys.get("scanner")}
    protocols = {key: {name: _rounded(facts[key].get(name), n) for name, n in PROTOCOL.items()} for key in scanners}
    names = {}
    for scanner in sorted(set(scanners.values()), key=natural):
        keys = [key for key, name in scanners.items() if name == scanner]
        differ = [name for name in PROTOCOL if len({protocols[key][name] for key in keys}) > 1]
        for key in keys:
            words = [WORDS[name].format(protocols[key][name] or "unknown") for name in differ]
            names[key] = ", ".join([scanner, *words])
    return names


def _scanner(facts: Mapping[str, Any]) -> str:
    field = facts.get("field_strength_t")
    return f"{facts['scanner']} {field:.1f} T" if isinstance(field, (int, float)) else str(facts["scanner"])


def _rounded(value: Any, digits: int) -> str:
    """A number, or numbers, as text; "" where there is none."""
    if isinstance(value, list):
        return " x ".join(_rounded(one, digits) for one in value)
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else ""
