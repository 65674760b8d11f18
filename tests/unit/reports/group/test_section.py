"""What makers of sections share."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from thalbids.reports.group.section import Section, counted, per_group, remark, span, unions, word


@pytest.mark.parametrize(("numbers", "text"), [([3, 7, 5], "3–7"), ([4, 4], "4"), ([math.nan], "–")])
def test_a_span_of_counts(numbers: list[float], text: str) -> None:
    assert span(pd.Series(numbers)) == text


def test_words() -> None:
    assert (counted(1, "pair"), counted(0, "pair")) == ("1 pair", "0 pairs")
    assert (word("delta_ml"), word(None), word(math.nan)) == ("Delta ml", "–", "–")
    assert (remark("x"), remark(None), remark(math.nan)) == ("x", "", "")


def test_methods_times_groups_with_gaps() -> None:
    rows = [("synthalT1w", "all", 2), ("first", "all", 1), ("first", "RRMS", 3)]
    table = pd.DataFrame(rows, columns=["method", "diagnosis", "n"])
    header, cells = per_group(table, lambda row: str(row["n"]))
    assert header == ["Method", "all", "RRMS"]
    assert {row[0]: row[1:] for row in cells} == {"FSL FIRST": ["1", "3"], "SynThal T1w": ["2", "–"]}


def test_unknown_is_no_column_where_nobody_has_a_diagnosis() -> None:
    rows = [("first", "all", 2), ("first", "unknown", 2)]
    table = pd.DataFrame(rows, columns=["method", "diagnosis", "n"])
    assert per_group(table, str)[0] == ["Method", "all"]
    some = pd.concat([table, pd.DataFrame([("first", "RRMS", 1)], columns=table.columns)])
    assert set(per_group(some, str)[0]) == {"Method", "all", "unknown", "RRMS"}
    assert per_group(table.iloc[1:], str)[0] == ["Method", "unknown"]  # nothing else is there


def test_ensembles_are_warned_of_and_figures_that_could_not_be_made_left_out() -> None:
    assert unions(["first", "synthalT1w"]) == [] and len(unions(["synthalT1FLAIR"])) == 1
    section = Section("x", "X")
    section.add(None)
    assert section.figures == []
