"""Where clinical tables disagree, the table has both values and both places."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from tests.people import make_cohort, two_visits
from thalbids.group.analyses.description import conflicts

ROW = {
    "participant_id": "sub-01", "session_id": "ses-1", "variable": "edss", "value": "2", "source": "sessions.tsv",
    "other_value": "3", "other_source": "phenotype/edss.tsv, row 5",
}  # fmt: skip


def test_a_conflict_is_a_row() -> None:
    cohort = make_cohort(*two_visits(3))
    (table,) = conflicts.tables(replace(cohort, conflicts=pd.DataFrame([ROW])))
    assert table.name == "group_conflicts" and table.frame.to_dict("records") == [ROW]
    (none,) = conflicts.tables(replace(cohort, conflicts=pd.DataFrame(columns=list(ROW))))
    assert none.frame.empty and list(none.frame) == list(conflicts.CONFLICTS)
