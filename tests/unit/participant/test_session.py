"""What a person's plan knows of the sessions."""

from __future__ import annotations

from pathlib import Path

from thalbids.participant.session import PlannedMask, SessionPlan, SubjectPlan, pairs_of
from thalbids.settings import Settings
from thalbids.types import InputImage, Session

OUT = Path("/out")
T1W = {"T1w": InputImage(Path("/raw/T1w.nii.gz"), "bids:raw:T1w.nii.gz", "T1w")}


def session_plan(label: str | None, problem: str | None = None) -> SessionPlan:
    plan = SessionPlan(Session("01", label, T1W, problem=problem), OUT, Settings())
    plan.images["T1w"] = plan.add("anatomy", print, inputs={}, outputs={"T1w": plan.t1w})
    return plan


def test_pairs_leave_out_sessions_that_cannot_be_used() -> None:
    sessions = [session_plan("1"), session_plan("2", "no T1w"), session_plan("3"), session_plan("4")]
    subject = SubjectPlan("01", OUT, Settings(), sessions, {"sub-01_ses-3", "sub-01_ses-4"})
    named = {kind: [(a.name[-1], b.name[-1]) for a, b in subject.pairs(kind)] for kind in ("first-last", "both")}
    assert named == {"first-last": [("1", "4")], "both": [("1", "4"), ("1", "3"), ("3", "4")]}
    assert subject.needs(*sessions[:3]) == ("sub-01_ses-3 anatomy",)  # what is there already is not waited for
    assert [plan.name for plan in subject.own] == ["sub-01_ses-3", "sub-01_ses-4"]
    assert pairs_of(["1"], "both") == []


def test_steps_of_several_sessions_follow_those_of_the_sessions_that_are_asked_for() -> None:
    sessions = [session_plan("1"), session_plan("2")]
    subject = SubjectPlan("01", OUT, Settings(), sessions, {"sub-01_ses-2"})
    subject.add("change", print, sessions[-1], inputs={}, outputs={"x": subject.file("x.tsv")})
    assert [(step.name, step.session) for step in subject.all_steps] == [
        ("sub-01_ses-2 anatomy", "sub-01_ses-2"), ("sub-01 change", "sub-01_ses-2"),
    ]  # fmt: skip
    assert subject.steps[0].outputs["x"] == OUT / "sub-01" / "anat" / "sub-01_x.tsv"


def test_a_mask_tells_only_what_it_has() -> None:
    plain = PlannedMask("first", "first", ("T1w",), "T1w").to_json()
    assert "members" not in plain and "kept" not in plain and plain["step"] is None
    assert PlannedMask("a", "first", ("T1w",), "ensemble", members=("b", "c"), kept=True).to_json().items() >= {
        ("kept", True)
    }
