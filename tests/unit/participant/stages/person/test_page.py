"""What a page depends on."""

from __future__ import annotations

import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from thalbids import families
from thalbids.participant.stages.person import page
from thalbids.settings import MethodSettings, load


def test_the_report_shows_what_decides_of_the_masks_of_tools() -> None:
    tree = {"brain": {"source": "dbsegment"}, "mindglide": {"envelope": "synthal"}}
    shown = page.result_settings(load(None, {**tree, "tools": {"dbsegment": {"mode": "paper"}}}))
    assert shown["brain mask"] == "dbsegment"
    assert shown["MindGlide"]["envelope"] == "synthal"
    assert shown["DBSegment"]["mode"] == "paper"


def test_every_method_is_asked_for_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def shown_settings(self, settings: MethodSettings) -> dict[str, object]:
            return {"Other": {"seed": settings.run.seed}}

    monkeypatch.setattr(families, "methods", lambda: {"other": Other(), "silent": object()})
    shown = page.result_settings(load(None, {"run": {"seed": 7}}))
    assert shown["Other"] == {"seed": 7} and "MindGlide" not in shown
