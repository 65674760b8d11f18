"""Tables as the page reads them: text stays text, missing columns give no rows, numbers are written for reading."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from thalbids.reports.group import group_data
from thalbids.reports.group.group_data import Tables, interval, p_value, rows_of, stars


def test_labels_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    (tmp_path / "group_x.tsv").write_text("participant_id\tsite\tn\n01\t1\t3\n02\tn/a\tn/a\n")
    tables = Tables(tmp_path)
    table = tables.get("x")
    assert tables.names() == ["x"] and table["participant_id"].tolist() == ["01", "02"]
    assert table["site"].iloc[0] == "1" and table["n"].iloc[0] == 3 and math.isnan(table["n"].iloc[1])
    assert tables.get("x", ("n",)) is not None and tables.get("x", ("absent",)).empty and tables.get("no").empty
    assert rows_of(table, site="1", absent="y")["participant_id"].tolist() == ["01"]
    assert group_data.values(table, "n").tolist() == [3.0]


def test_the_first_kind_of_pair_is_shown(tmp_path: Path) -> None:
    text = "analysis\tsessions\tn\na\tfirst:last\t1\na\tconsecutive\t2\nb\tconsecutive\t3\n"
    (tmp_path / "group_x.tsv").write_text(text)
    assert Tables(tmp_path).get("x")["n"].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("p", "text", "mark"), [(0.0004, "< 0.001", "***"), (0.0316, "0.032", "*"), (0.2, "0.200", "")]
)
def test_p_values(p: float, text: str, mark: str) -> None:
    assert (p_value(p), stars(p)) == (text, mark)


def test_intervals_and_order() -> None:
    assert interval(-1.234, 2) == "[-1.23, 2.00]" and interval(None, math.nan) == "–"
    assert group_data.in_order(["c", "b", "a", "c"], ["b"]) == ["b", "a", "c"]


VOLUMES = "participant_id\tmethod\tstatus\n01\tfirst\tok\n01\tsynthalFLAIR\tmissing\n01\tdbsegment\texcluded\n"


def test_methods_that_nobody_has_are_left_out_of_every_table(tmp_path: Path) -> None:
    (tmp_path / "group_volumes.tsv").write_text(VOLUMES)
    (tmp_path / "group_pairs.tsv").write_text("method\tmethod2\tn\nfirst\tsynthalFLAIR\t0\nfirst\tdbsegment\t1\n")
    tables = Tables(tmp_path)
    assert tables.absent == ("synthalFLAIR",)
    assert tables.get("volumes")["method"].tolist() == ["first", "dbsegment"]  # one that failed is told of
    assert tables.get("pairs")["n"].tolist() == [1]


def test_where_nobody_has_anything_all_is_shown(tmp_path: Path) -> None:
    (tmp_path / "group_volumes.tsv").write_text(VOLUMES.replace("ok", "missing").replace("excluded", "missing"))
    tables = Tables(tmp_path)
    assert tables.absent == () and len(tables.get("volumes")) == 3
