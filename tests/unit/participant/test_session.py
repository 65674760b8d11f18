"""What a person's plan knows of the sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids.participant.session import PlannedMask, SessionPlan, Shared, SubjectPlan, below, pairs_of
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


def test_what_follows_from_the_settings_is_worked_out_once_in_a_run() -> None:
    asked = []

    def seed(image: str, settings: Settings) -> int:
        asked.append(image)
        return settings.run.seed

    first = session_plan("1")
    second = SessionPlan(Session("01", "2", T1W), OUT, Settings(), shared=first.shared)
    assert [plan.once(seed, image) for plan in (first, second) for image in ("T1w", "FLAIR")] == [
        Settings().run.seed
    ] * 4
    assert asked == ["T1w", "FLAIR"]
    assert session_plan("3").once(seed, "T1w") == Settings().run.seed and len(asked) == 3  # of another run


def test_a_file_of_ours_as_the_dataset_names_it() -> None:
    plan = session_plan("1")
    assert plan.uri_of(plan.t1w) == "bids::sub-01/ses-1/anat/sub-01_ses-1_desc-reoriented_T1w.nii.gz"
    assert below(OUT, plan.t1w) == plan.t1w.relative_to(OUT).as_posix()
    with pytest.raises(ValueError, match="not relative"):
        plan.uri_of(Path("/raw/T1w.nii.gz"))


def test_a_mask_tells_only_what_it_has() -> None:
    plain = PlannedMask("first", "first", ("T1w",), "T1w").to_json()
    assert "members" not in plain and "kept" not in plain and plain["step"] is None
    assert PlannedMask("a", "first", ("T1w",), "ensemble", members=("b", "c"), kept=True).to_json().items() >= {
        ("kept", True)
    }


def test_what_the_settings_decide_is_worked_out_once_and_for_objects_without_hash_each_time() -> None:
    asked: list[object] = []

    def answer(one: object, settings: Settings) -> int:
        asked.append(one)
        return len(asked)

    shared, settings = Shared(), Settings()
    assert [shared.of(settings, answer, name) for name in ("a", "a", "b")] == [1, 1, 2]
    plug_in: list[int] = []  # as an object of a dataclass that is not frozen
    assert [shared.of(settings, answer, plug_in), shared.of(settings, answer, plug_in)] == [3, 4]
