"""How methods look in figures."""

from __future__ import annotations

from thalbids.bids.results.names import ordered
from thalbids.reports.group.figures import descriptive, look
from thalbids.reports.group.group_data import Tables


def test_methods_keep_colour_and_order_everywhere(tables: Tables) -> None:
    from thalbids.reports import palette

    assert look.colour("mindglideT1FLAIRR1") == palette.style("mindglideT1FLAIRR1").colour
    assert ordered(["zzz", "mindglideT1w", "first"]) == ["first", "mindglideT1w", "zzz"]
    change = descriptive.change(tables)
    assert change is not None
    assert [p.title.split(" (")[0] for p in change.panels] == ["All", *descriptive.DIAGNOSES]
