"""What a page depends on."""

from __future__ import annotations

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from thalbids.participant.stages.person import page
from thalbids.settings import load


def test_the_report_shows_what_decides_of_the_masks_of_tools() -> None:
    tree = {"brain": {"source": "dbsegment"}, "mindglide": {"envelope": "synthal"}}
    shown = page.result_settings(load(None, {**tree, "tools": {"dbsegment": {"mode": "paper"}}}))
    assert shown["brain mask"] == "dbsegment"
    assert shown["MindGlide"]["envelope"] == "synthal"
    assert shown["DBSegment"]["mode"] == "paper"
