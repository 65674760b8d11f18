"""The section of maps on the participant's page."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from thalbids.reports import text, views
from thalbids.reports.participant import map_section

SUMMARY: dict[str, Any] = {
    "unit": "1/s", "undefined": 0.012, "clamped": 0.0, "percentiles": {"50": 0.71}, "peaks": [0.65, 0.98],
    "white_matter": 0.96, "thalamus": 0.77, "field_strength": 3.0,
    "expected": {"peaks": [0.65, 1.0], "white_matter": [0.7, 1.4], "thalamus": [0.5, 1.2]},
    "histogram": {"counts": [1, 5, 2], "edges": [0.2, 0.6, 1.0, 1.4]},
}  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "Maps": {"Chimap": SUMMARY | {"expected": None, "unit": ""}, "R1map": SUMMARY},
    "Motion": {"T1w": {"shift_mm": 1.06, "rotation_degrees": 0.6, "strategy": "ants", "reason": ""}},
}


def row(method: str, status: str = "ok", side: str = "both", region: str = "whole") -> dict[str, object]:
    return {"method": method, "map": "R1map", "region": region, "side": side, "status": status,
            "mean": "0.75", "sd": "0.1"}  # fmt: skip


def test_tables_of_the_section() -> None:
    words = text.Words({"Flags": [], "Masks": {}}, {"synthalT1w": "SynThal T1w"})
    table = [
        row("synthalT1w"),
        row("synthalT1w", region="eroded"),
        row("first", "missing"),
        row("synthalT1w", side="left"),
    ]
    content = map_section.context(DOCUMENT, table, words)
    assert [one["label"] for one in content["rows"]] == ["R1", "Chimap"]  # known maps first
    first = content["rows"][0]
    assert (first["white"], first["thalamus"], first["expected"]) == (
        "0.96 (0.7 to 1.4)",
        "0.77 (0.5 to 1.2)",
        "0.65, 1",
    )
    assert (first["undefined"], content["rows"][1]["white"]) == ("1.2", "0.96")
    assert content["motion"] == [{"label": "T1w", "shift": "1.1", "turned": "0.6", "how": "ants", "reason": ""}]
    assert content["readout"]["rows"] == [{"label": "SynThal T1w", "cells": ["0.75 (0.10)", "0.75 (0.10)", "–", "–"]}]
    assert "at 3 T" in content["note"]


def test_without_maps_there_is_no_section() -> None:
    assert map_section.context(None, [], text.Words({}, {})) is None
    assert map_section.histograms({}) == {}


def test_histograms_show_the_expected_peaks() -> None:
    drawn = map_section.histograms(DOCUMENT)
    assert list(drawn) == ["mapR1map", "mapChimap"]
    assert "grey expected at 0.65; white expected at 1" in drawn["mapR1map"]
    assert "expected" not in drawn["mapChimap"]


@pytest.mark.parametrize(("scale", "shown"), [(1.0, "0.5 and 1.6"), (5000.0, r"40\d\d and 59\d\d")])
def test_a_map_of_another_scale_is_shown_by_its_values(scale: float, shown: str) -> None:
    rng = np.random.default_rng(0)
    values = scale * rng.uniform(0.8, 1.2, (20, 20, 20))
    values[:4] = 0
    values[4, 0, 0] = np.nan
    image = views.Volume(values, np.eye(4))
    pictures, introduction = map_section.rows({"PDmap": image}, None, [], views.choose_focus([], None, image))
    assert re.search(rf"PD \(relative\) {shown}\.", introduction)
    assert [panel.caption for panel in pictures[0]] == ["PD (relative)", "", ""]
