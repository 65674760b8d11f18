"""What is said of a run before it starts, and of a dry run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, session
from thalbids.engine.step import Step
from thalbids.methods.registry import Choice
from thalbids.participant import describing, foreseen
from thalbids.participant import plan as plans
from thalbids.participant.session import SubjectPlan
from thalbids.settings import load

CHOICE = Choice((Fixed(),), frozenset({"synthal"}), {})


def with_steps(subjects: Iterable[SubjectPlan]) -> Iterator[tuple[SubjectPlan, list[Step]]]:
    return ((subject, subject.all_steps) for subject in subjects)


def test_a_note_of_every_session_is_said_once() -> None:
    sessions = [replace(session(("T1w",), name), notes=("several T1w", f"only {name}")) for name in "12"]
    assert describing.common_notes(sessions) == ["several T1w"]
    assert describing.common_notes(sessions[:1]) == []
    broken = replace(session(("T1w",), "3"), problem="no T1w")
    assert describing.common_notes([*sessions, broken]) == ["several T1w"]  # the broken one says its own


def test_a_dry_run_names_images_steps_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreseen, "unreadable", lambda plan: {})  # the images of this plan are no files
    broken = replace(session((), "2"), problem="it has no T1w image")
    subjects = list(plans.plan([session(("T1w", "FLAIR")), broken], OUT, (Fixed(),), load(None, {})))
    seen = foreseen.Foreseen(OUT, ["all"])
    seen.done = 3
    told = describing.dry_run(with_steps(subjects), CHOICE, seen)
    assert "methods: synthal" in told and "T1w: bids:raw:T1w.nii.gz" in told
    assert "cannot be processed: it has no T1w image" in told
    assert "steps: anatomy" in told and "register FLAIR" in told
    assert (
        "will fail: all\nwill fail: sub-01_ses-2 inputs: it has no T1w image\n2 sessions, 1 of them cannot be processed"
        in told
    )
    assert told.endswith(" steps (3 of them have results here, of an earlier run). Nothing was run.")
    assert describing.stale(subjects) == []


def test_a_note_that_planning_gives_to_every_session_is_said_once_too() -> None:
    def noted(plan: SubjectPlan) -> SubjectPlan:
        for one in plan.sessions:  # as the plan of maps from raw images does
            one.session = replace(one.session, notes=("raw images are not used", f"only {one.name}"))
        return plan

    sessions = [session(("T1w",), name) for name in "12"]
    subjects = map(noted, plans.plan(sessions, OUT, (Fixed(),), load(None, {})))
    lines = describing.dry_run(with_steps(subjects), CHOICE, foreseen.Foreseen(OUT)).splitlines()
    assert [line for line in lines if "raw images" in line] == ["every session: raw images are not used"]
    assert "  note: only sub-01_ses-2" in lines


def test_a_dry_run_says_why_an_image_cannot_be_used() -> None:
    one = session(("T1w", "FLAIR"))
    flair = replace(one.images["FLAIR"], problem="it is empty. Copy it again.")
    damaged = replace(one, images={**one.images, "FLAIR": flair})
    subjects = plans.plan([damaged], OUT, (Fixed(),), load(None, {}))
    told = describing.dry_run(with_steps(subjects), CHOICE, foreseen.Foreseen(OUT))
    assert "FLAIR: cannot be used: it is empty. Copy it again." in told
    assert "T1w: cannot be used: /raw/T1w.nii.gz: This is not a file." in told
    assert "no image holds data (placeholders?)" in told  # and so does not count
    assert "1 session, 0 of them cannot be processed" in told and "results here" not in told


def test_methods_that_are_left_out_take_one_line_of_a_dry_run() -> None:
    notes = {"synthal": "runs here", "first": "left out: no program.", "samseg": "left out: no other program."}
    told = describing.dry_run([], replace(CHOICE, notes=notes), foreseen.Foreseen(OUT))
    assert "  synthal: runs here\n  left out: first, samseg. Why, and how to get them: thalbids doctor\n" in told


def test_results_of_an_image_that_is_gone_are_named(tmp_path: Path) -> None:
    def told(*images: str) -> list[str]:
        subjects = list(plans.plan([session(images)], tmp_path, (Fixed(),), load(None, {})))
        return describing.results_of_removed_images(subjects)

    assert told("T1w", "FLAIR") == told("T1w") == []
    (subject,) = plans.plan([session(("T1w", "FLAIR"))], tmp_path, (Fixed(),), load(None, {}))
    written = subject.own[0].registered("FLAIR")
    written.parent.mkdir(parents=True)
    written.touch()
    assert told("T1w", "FLAIR") == []
    (warning,) = told("T1w")
    assert "sub-01_ses-1 FLAIR" in warning and "not in the dataset any more" in warning
