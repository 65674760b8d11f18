"""Tables for Word and spreadsheets: read back by other readers, and the same bytes each time."""

from __future__ import annotations

import csv
import io
import time

import docx as library
import pytest

from thalbids.reports.group import manuscript
from thalbids.reports.group.section import MOST_ROWS, PageTable, Section

ONE = PageTable("Mean ± SD", ["", "n", "n"], [['a, "b"', "1", "< 0.001"], ["=1+1", "-0.4", "–"]], "group_a.tsv")
LONG = PageTable("Long", ["i"], [[str(i)] for i in range(MOST_ROWS + 5)], "group_b.tsv")
EMPTY = PageTable("Nothing", ["x"], [], "group_c.tsv")


def sections() -> list[Section]:
    return [Section("change", "Change", tables=[ONE, EMPTY, LONG, ONE]), Section("none", "None", nothing="no data")]


def test_numbers_and_names() -> None:
    assert [(n, name) for n, name, _, _ in manuscript.numbered(sections())] == [
        (1, "change-a"), (2, "change-b"), (3, "change-a-2")
    ]  # fmt: skip


def test_csv_is_read_back_and_computes_nothing() -> None:
    text = manuscript.csv_text(ONE)
    assert text.startswith("\ufeff")
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert rows == [["", "n", "n"], ['a, "b"', "1", "< 0.001"], ["'=1+1", "-0.4", "–"]]
    assert len(manuscript.csv_text(LONG).splitlines()) == MOST_ROWS + 6  # all of them


def test_word_holds_every_cell() -> None:
    document = library.Document(io.BytesIO(manuscript.docx(sections())))
    first, second, _ = document.tables
    assert [[cell.text for cell in row.cells] for row in first.rows] == [ONE.header, *ONE.rows]
    assert len(second.rows) == MOST_ROWS + 1
    text = [paragraph.text for paragraph in document.paragraphs]
    assert "Table 1. Change: Mean ± SD." in text
    assert f"The first {MOST_ROWS} of {MOST_ROWS + 5} rows; all are in group_b.tsv." in text
    assert first.rows[0].cells[1].paragraphs[0].style.font.bold
    assert not first.rows[1].cells[1].paragraphs[0].style.font.bold


def test_the_same_bytes_at_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    before = manuscript.docx(sections())
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(1_000_000_000))
    assert manuscript.docx(sections()) == before
