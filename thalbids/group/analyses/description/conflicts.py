"""Where clinical tables disagree (``group_conflicts``)."""

from __future__ import annotations

from thalbids.bids.tabular.tables import PARTICIPANT, SESSION, Column, Table, column, table
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort

CONFLICTS: dict[str, Column] = {
    **PARTICIPANT,
    **SESSION,
    "variable": column("Variable", "Clinical variable."),
    "value": column("Value used", "That of the table that comes first: scans, sessions, phenotype, participants."),
    "source": column("Its table", "File, row and column."),
    "other_value": column("Other value", "What another table says."),
    "other_source": column("Its table", "File, row and column."),
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_conflicts``: one row per value that another table contradicts."""
    return [table("group_conflicts", cohort.conflicts.to_dict("records"), CONFLICTS)]


ANALYSIS = Analysis("conflicts", tables, told=("conflicts",))
