"""What is described."""

from __future__ import annotations

from pathlib import Path

from tests.cohort import morph_row, write_rows
from tests.unit.group.small import cohort_of, morph
from thalbids.group.analyses.description import descriptives


def test_the_number_of_trials_is_kept(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    for person, trials in (("sub-01", (5.0, 6.0)), ("sub-02", (7.0, None))):
        visit = {"session_id": "ses-1", "t25fw_1": trials[0], "t25fw_2": trials[1]}
        write_rows(raw / person / f"{person}_sessions.tsv", [visit])
        morph(out, person, "ses-1", morph_row("first", 9000))
    (made,) = descriptives.tables(cohort_of(raw, out))
    rows = made.frame[(made.frame["sample"] == "baseline") & (made.frame["diagnosis"] == "all")].set_index("variable")
    assert (rows.loc["t25fw", "mean"], rows.loc["t25fw_trials", "mean"]) == (6.25, 1.5)
    assert rows.loc["nhpt_trials", "n"] == 0
