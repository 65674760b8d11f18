"""z on the participant's page: shown with its number of controls, and only beside the volume that it was made of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from thalbids.bids.results.norms import Norm
from thalbids.reports.participant import norms
from thalbids.reports.text import DASH, MINUS

NORM = Norm("synthalT1w", 10.5, -2.04, 3.1, 20, "age sex icv_ml", "")
VOLUMES = [{"method": "synthalT1w", "volume_mm3": "10500.4"}]


def test_z_stands_beside_its_volume() -> None:
    shown = norms.cells([NORM], VOLUMES)["synthalT1w"]
    assert shown == {"z": MINUS + "2.0", "percentile": "3rd percentile", "controls": 20, "remark": ""}


def test_z_of_another_volume_is_not_shown() -> None:
    shown = norms.cells([replace(NORM, volume_ml=11.0)], VOLUMES)["synthalT1w"]
    assert (shown["z"], shown["percentile"]) == (DASH, "")
    assert "11.00 mL" in shown["remark"]


def test_why_there_is_no_z() -> None:
    without = replace(NORM, z=None, percentile=None, reason="no age")
    shown = norms.cells([without, replace(NORM, method="first")], VOLUMES)["synthalT1w"]
    assert (shown["z"], shown["remark"]) == (DASH, "no age")
    beyond = norms.cells([replace(NORM, reason="outside the controls' range of age, icv_ml")], VOLUMES)["synthalT1w"]
    assert beyond["remark"] == "outside the controls' range of age, intracranial volume"
    assert norms.cells([replace(NORM, method="first")], VOLUMES) == norms.cells([without], VOLUMES) == {}


def test_the_note_says_of_how_many_and_what_was_not_adjusted_for() -> None:
    said = norms.note([NORM, replace(NORM, method="first", controls=46)])
    for words in ("20 to 46 controls", "age, sex, intracranial volume", "So few controls", "scanned alike"):
        assert words in said
    said = norms.note([replace(NORM, controls=46, adjusted="age site")])
    assert "46 controls" in said and "few" not in said and "alike" not in said
    assert norms.note([replace(NORM, z=None)]) == norms.note([]) == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.2, "below the 1st percentile"), (99.7, "above the 99th percentile"), (1.2, "1st percentile"),
     (11.6, "12th percentile"), (22.0, "22nd percentile"), (50.0, "50th percentile")],
)  # fmt: skip
def test_percentiles_as_people_say_them(value: float, said: str) -> None:
    assert norms.cells([replace(NORM, percentile=value)], VOLUMES)["synthalT1w"]["percentile"] == said
