"""Figures of volumes and change: whose rows they show."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from thalbids.reports.group.figures import descriptive
from thalbids.reports.group.group_data import Tables


def test_diagnoses_in_the_papers_order_without_the_sum() -> None:
    table = pd.DataFrame({"diagnosis": ["NMOSD", "all", "RRMS", "HC", "RRMS"]})
    assert descriptive.diagnoses_in(table) == ["HC", "RRMS", "NMOSD"]
    assert descriptive.diagnoses_in(pd.DataFrame({"n": [1]})) == []


def test_each_person_counts_once_at_baseline(tmp_path: Path) -> None:
    rows = [("sub-1", "ses-10", 9.0, "a"), ("sub-1", "ses-2", 10.0, "a"), ("sub-2", "ses-2", 8.0, "a")]
    table = pd.DataFrame(rows, columns=["participant_id", "session_id", "volume_ml", "method"])
    assert descriptive.first_sessions(Tables(tmp_path), table)["volume_ml"].tolist() == [10.0, 8.0]


def test_figures_of_tables_and_none_without(tables: Tables, tmp_path: Path) -> None:
    for make in (descriptive.volumes, descriptive.change):
        figure = make(tables)
        assert figure is not None and figure.panels and all(panel.alt for panel in figure.panels)
        assert make(Tables(tmp_path)) is None
