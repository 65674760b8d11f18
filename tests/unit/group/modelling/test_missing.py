"""A lost row counts once."""

from __future__ import annotations

from thalbids.group.modelling.missing import ledger, missing_table


def test_ledger_counts_a_row_once() -> None:
    lost = {"no volume": [True, True, False, False], "no age": [True, False, True, False]}
    row = ledger("crosssectional", "edss", "first", lost, subset="RRMS")
    assert (row["n_total"], row["n_used"], row["lost_no_volume"], row["lost_no_age"]) == (4, 1, 2, 1)
    table = missing_table([row, ledger("change", "", "", {"no date": []})])
    assert list(table.columns)[-3:] == ["lost_no_volume", "lost_no_age", "lost_no_date"]
