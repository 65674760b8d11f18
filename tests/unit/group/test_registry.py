"""A new analysis is one file and one line: its table, its columns and its section of the page are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cohort import write_cohort
from thalbids.bids.tabular.tables import Table, column, table
from thalbids.cli.main import main
from thalbids.group import registry, reporting, run
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import METHOD
from thalbids.reports.group.beyond import View
from thalbids.reports.group.group_data import Tables
from thalbids.reports.group.section import Section

COLUMNS = {**METHOD, "largest_ml": column("Largest volume", "Of anybody.", "mL")}


def tables(cohort: Cohort) -> list[Table]:
    largest = cohort.usable.groupby("method")["volume_ml"].max()
    rows = [{"method": name, "largest_ml": value} for name, value in largest.items()]
    return [table("group_largest", rows, COLUMNS), table("group_listed", rows, COLUMNS)]


def section(tables: Tables) -> Section:
    n = len(tables.get("largest"))
    return Section("largest", "The largest thalamus", says=[f"{n} methods were asked for the largest."])


ANALYSIS = Analysis(
    "largest", tables, sections={"largest": section}, views={"listed": View("Listed as it is")}, told=("largest",)
)


def test_a_new_analysis_is_found_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [item for item in registry.ANALYSES if item.name in ("volumes", "descriptives")]
    for place in (run, reporting):
        monkeypatch.setattr(place, "ANALYSES", (*chosen, ANALYSIS))
    raw, out, _ = write_cohort(tmp_path, 4, methods=("first", "synthalT1w"))
    assert main([str(raw), str(out), "group"]) == 0
    assert len((out / "group_largest.tsv").read_text().splitlines()) == 3
    described = json.loads((out / "group_largest.json").read_text())
    assert described["largest_ml"] == {"LongName": "Largest volume", "Description": "Of anybody.", "Units": "mL"}
    page = (out / "group.html").read_text()
    assert "2 methods were asked for the largest." in page and "Listed as it is" in page
    assert page.index("The largest thalamus") < page.index("Beyond the paper")


def test_names_stand_once() -> None:
    names = [item.name for item in registry.ANALYSES]
    sections = [key for item in registry.ANALYSES for key in item.sections]
    told = [name for item in registry.ANALYSES for name in (*item.told, *item.views)]
    for listed in (names, sections, told):
        assert len(listed) == len(set(listed))
    assert set(reporting.PAPER) <= set(sections)
