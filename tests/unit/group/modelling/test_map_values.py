"""Values of maps inside masks, for models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.unit.group.analyses.masks.test_microstructure import cohort
from thalbids.group.modelling import map_values
from thalbids.settings import load


def test_value_of_a_map_for_models(tmp_path: Path) -> None:
    made = cohort(tmp_path)
    people = made.visits[["participant_id", "session_id"]]
    whole = replace(made, settings=load(None, {"group": {"map_region": "whole"}}))
    values = map_values.wide(whole, "R1map", people["participant_id"], people["session_id"])
    assert values["synthalT1w"].tolist()[::2] == [0.80, 0.86] and values["synthalT1w"].isna().tolist()[1]
    assert map_values.wide(made, "R1map", people["participant_id"], people["session_id"]).isna().all(axis=None)
    assert map_values.maps_of(made) == ["R1map"]
