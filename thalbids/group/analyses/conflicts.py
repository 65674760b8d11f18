"""Where clinical tables disagree (``group_conflicts``)."""

from __future__ import annotations

from thalbids.bids.tables import Table, table
from thalbids.group.cohort import Cohort
from thalbids.group.columns import CONFLICTS


def tables(cohort: Cohort) -> list[Table]:
    """``group_conflicts``: one row per value that another table contradicts."""
    return [table("group_conflicts", cohort.conflicts.to_dict("records"), CONFLICTS)]
