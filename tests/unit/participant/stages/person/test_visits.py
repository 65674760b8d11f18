"""The quality control of a visit waits for the T1w of the others and knows how they were acquired."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from thalbids.engine.step import Step, check_plan
from thalbids.participant import plan as plans
from thalbids.participant.stages.session import icv, measures
from thalbids.participant.stages.session.measures import MeasuresParams, VisitAcquisition
from thalbids.settings import load
from thalbids.types import InputImage, Session


def session(label: str, **metadata: Any) -> Session:
    return Session("01", label, {"T1w": InputImage(Path("/raw/T1w.nii.gz"), "bids:raw:x", "T1w", {}, metadata)})


def measures_of(*sessions: Session, asked: int | None = None) -> dict[str, Step]:
    own = list(sessions)[:asked]
    people = plans.plan(own, Path("/out"), (Fixed(),), load(None, {}), list(sessions))
    planned = [step for person in people for step in person.all_steps]
    check_plan(planned)
    return {step.session: step for step in planned if isinstance(step.params, MeasuresParams)}


def test_each_visit_knows_the_others() -> None:
    made = measures_of(session("1"), session("2", ContrastBolusIngredient="GADOLINIUM"))
    first, second = made["sub-01_ses-1"], made["sub-01_ses-2"]
    assert [visit.session for visit in first.params.visits] == ["1", "2"]
    assert [visit.session for visit in second.params.visits] == ["2", "1"]
    assert first.params.visits[1].acquisition["T1w"]["contrast_agent"] == "GADOLINIUM"
    assert "sub-01_ses-2 anatomy" in first.after and "sub-01_ses-1 anatomy" in second.after
    assert first.params.images["T1w"].acquisition["contrast_agent"] is None


def test_a_single_visit_is_compared_with_nothing() -> None:
    (only,) = measures_of(session("1")).values()
    assert "Visits" not in only.params.to_json()


def sidecar_of(folder: Path, name: str, icv: float | None) -> Path:
    path = folder / name
    path.write_text(json.dumps({"IntracranialVolumeMm3": icv, "SkullStripped": False}))
    return path


def test_visits_whose_t1w_was_not_made_are_left_out(tmp_path: Path) -> None:
    told = [VisitAcquisition("1", {}, "own"), VisitAcquisition("2", {}, "no"), VisitAcquisition("3", {}, "yes")]
    inputs = {"own": sidecar_of(tmp_path, "a.json", 1.5e6), "no": tmp_path / "none.json"}
    inputs |= {"yes": sidecar_of(tmp_path, "b.json", None)}
    found = measures.visits_of(told, inputs)
    assert [(visit["session"], visit["icv_mm3"]) for visit in found] == [("1", 1.5e6), ("3", None)]
    assert measures.visits_of(told, {**inputs, "own": None}) == []
    assert measures.visits_of([], inputs) == []


@pytest.mark.parametrize(
    ("volume", "status"), [(1.5e6, "ok"), (2.3e6, "excluded"), (0.8e6, "excluded"), (None, "missing")]
)
def test_the_table_of_intracranial_volumes_says_which_can_be_used(volume: float | None, status: str) -> None:
    row = icv.judged({"source": "synthal", "icv_mm3": volume, "note": "cut off" if volume is None else None})
    assert row["status"] == status
    assert (row["note"] is not None) == (status != "ok")
