"""Which pairs of visits can be compared: what the quality control of the sessions tells of their acquisition."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import pandas as pd

from thalbids.group.cohort import Cohort, visit_pairs
from thalbids.qc.visits import pair_remarks

KEYS = ["participant_id", "session_id_baseline", "session_id_followup"]
YES, NO, UNKNOWN = "yes", "no", ""


def documents(cohort: Cohort) -> Mapping[tuple[str, str], Mapping[str, Any]]:
    """The QC document of each session that has a readable one, by participant and session."""
    return cohort.documents


def acquired(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The acquisition of each image of a session."""
    images = document.get("Images")
    found = images if isinstance(images, dict) else {}
    told = {name: entry.get("acquisition") for name, entry in found.items() if isinstance(entry, dict)}
    return {name: facts for name, facts in told.items() if isinstance(facts, dict)}


@functools.lru_cache(maxsize=8)
def pairs(cohort: Cohort, pair: str = "first:last") -> pd.DataFrame:
    """One row per pair of visits: participant, sessions, ``comparable`` (yes, no, "" when unknown), ``remark``."""
    rows = []
    known = documents(cohort)
    for person, first, later in visit_pairs(cohort, pair)[KEYS].itertuples(index=False, name=None):
        both = known.get((person, first)), known.get((person, later))
        told = [document for document in both if document is not None and acquired(document)]
        remarks = pair_remarks(*told) if len(told) == 2 else []
        comparable = UNKNOWN if len(told) < 2 else NO if remarks else YES
        rows.append([person, first, later, comparable, "; ".join(remarks)])
    return pd.DataFrame(rows, columns=[*KEYS, "comparable", "remark"], dtype=object)
