"""Which pairs of visits can be compared: what the quality control of the sessions tells of their acquisition."""

from __future__ import annotations

import functools

import pandas as pd

from thalbids.group.cohort import Cohort, visit_pairs
from thalbids.qc.visits import acquired, pair_remarks

KEYS = ["participant_id", "session_id_baseline", "session_id_followup"]
YES, NO, UNKNOWN = "yes", "no", ""


@functools.lru_cache(maxsize=8)
def pairs(cohort: Cohort, pair: str = "first:last") -> pd.DataFrame:
    """One row per pair of visits: participant, sessions, ``comparable`` (yes, no, "" when unknown), ``remark``."""
    rows = []
    known = cohort.documents
    for person, first, later in visit_pairs(cohort, pair)[KEYS].itertuples(index=False, name=None):
        both = known.get((person, first)), known.get((person, later))
        told = [document for document in both if document is not None and acquired(document)]
        remarks = pair_remarks(*told) if len(told) == 2 else []
        comparable = UNKNOWN if len(told) < 2 else NO if remarks else YES
        rows.append([person, first, later, comparable, "; ".join(remarks)])
    return pd.DataFrame(rows, columns=[*KEYS, "comparable", "remark"], dtype=object)
