"""Figures of overlap."""

from __future__ import annotations

from thalbids.reports.group.figures import overlap
from thalbids.reports.group.group_data import Tables


def test_constructed_containment_is_marked(tables: Tables) -> None:
    table = tables.get("containment")
    found = {(r["method_inner"], r["method_outer"]) for r in table.to_dict("records") if overlap.constructed(r)}
    assert ("mindglideT1w", "first") in found and ("first", "mindglideT1w") not in found
    assert overlap.constructed({"method_inner": "synthalT1w", "method_outer": "synthalT1FLAIR"})
    assert not overlap.constructed({"method_inner": "synthalT1w", "method_outer": "synthalR1FLAIR"})
    figure = overlap.containment(tables)
    assert figure is not None and "Highest:" in figure.panels[0].alt and "1.00" not in figure.panels[0].alt
