"""Tables in LaTeX: every cell is there, and nothing of it is taken for a command."""

from __future__ import annotations

import re

from thalbids.reports.group.latex import latex
from thalbids.reports.group.section import PageTable, Section


def test_every_table_with_its_cells() -> None:
    one = PageTable("Mean ± SD", ["", "n", "n"], [["a_b & 50 %", "1", "< 0.001"], ["β", "{x}", "\\"]], "group_a.tsv")
    two = PageTable("Nothing", ["x"], [], "group_b.tsv")
    text = latex([Section("change", "Change", tables=[one, two]), Section("empty", "Empty", nothing="no data")])
    assert text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") == 1
    assert r"a\_b \& 50 \% & 1 & $<$ 0.001 \\" in text
    assert r"$\beta$ & \{x\} & \textbackslash{} \\" in text
    assert r"\caption{Change: Mean $\pm$ SD (group\_a.tsv).} \label{tab:change-1}" in text
    assert r"\toprule" in text and text.isascii()
    body = re.sub(r"\\[&%$#_{}]", "", text.split("\\midrule")[1].split("\\end{longtable}")[0])
    assert body.count("{") == body.count("}")
