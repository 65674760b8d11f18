"""The order of the page: the paper's sections, others, what the paper does not have."""

from __future__ import annotations

from pathlib import Path

from thalbids.group.analysis import Analysis
from thalbids.group.registry import ANALYSES
from thalbids.group.reporting import PAPER, story
from thalbids.reports.group.group_data import Tables
from thalbids.reports.group.section import Section


def test_the_papers_sections_come_first_and_in_its_order(tmp_path: Path) -> None:
    mine = Analysis("mine", lambda cohort: [], sections={"mine": lambda tables: Section("mine", "Mine")})
    keys = [make(Tables(tmp_path)).key for make in story([mine, *ANALYSES])]
    assert keys[: len(PAPER)] == list(PAPER)
    assert keys[-1] == "beyond" and keys.index("mine") >= len(PAPER)


def test_without_analyses_nothing_is_told_but_that(tmp_path: Path) -> None:
    (only,) = story([])
    assert only(Tables(tmp_path)).nothing
