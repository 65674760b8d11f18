"""Tables of one name are joined; those of an earlier run do not outlive it; nothing else is ever removed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from thalbids.bids.tabular.tables import Table, column, table
from thalbids.group import writing

COLUMNS = {"a": column("A", "A number.")}


def one(name: str, *values: int, notes: tuple[str, ...] = ()) -> Table:
    return table(name, [{"a": value} for value in values], COLUMNS, notes=notes)


def test_tables_of_one_name_are_put_together() -> None:
    joined = writing.joined(
        [one("group_x", 1, notes=("first",)), one("group_y"), one("group_x", 2, 3, notes=("second",)), one("group_x")]
    )
    assert [item.name for item in joined] == ["group_x", "group_y"]
    assert joined[0].frame["a"].tolist() == [1, 2, 3] and joined[0].notes == ["first", "second"]


def test_what_an_earlier_run_wrote_goes_and_what_others_wrote_stays(tmp_path: Path) -> None:
    writing.write_all([one("group_x", 1), one("group_y", 2)], tmp_path)
    (tmp_path / "group_mine.tsv").write_text("a\n")
    record = tmp_path / "logs" / "group" / "tables.txt"
    record.write_text(record.read_text() + "../outside\n")
    (tmp_path.parent / "outside.tsv").write_text("a\n")
    writing.write_all([one("group_x", 3)], tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.tsv")) == ["group_mine.tsv", "group_x.tsv"]
    assert not (tmp_path / "group_y.json").exists() and (tmp_path.parent / "outside.tsv").exists()
    assert (tmp_path / "group_x.tsv").read_text() == "a\n3\n"


def test_a_run_that_was_ended_leaves_its_mark(tmp_path: Path) -> None:
    (tmp_path / "group.html").write_text("old")
    writing.begin(tmp_path)
    assert writing.unfinished(tmp_path) and not (tmp_path / "group.html").exists()
    writing.end(tmp_path)
    assert not writing.unfinished(tmp_path)


def test_results_of_an_earlier_run_are_told_with_their_time(tmp_path: Path) -> None:
    assert writing.earlier_results(tmp_path) == ""
    table = tmp_path / "group_volumes.tsv"
    table.touch()
    noon = time.mktime((2026, 3, 4, 12, 5, 0, 0, 0, -1))
    os.utime(table, (noon, noon))
    said = "The tables group_*.tsv in the output folder are still those of an earlier run (2026-03-04 12:05)."
    assert writing.earlier_results(tmp_path) == said
    (tmp_path / "group_gone.tsv").symlink_to(tmp_path / "nowhere")  # content that was not fetched
    assert writing.earlier_results(tmp_path) == said
    page = tmp_path / "group.html"
    page.touch()
    os.utime(page, (noon + 60, noon + 60))
    assert writing.earlier_results(tmp_path) == said.replace("The", "group.html and the").replace(":05", ":06")
    writing.begin(tmp_path)  # from now on the mark says it
    assert writing.earlier_results(tmp_path) == ""
