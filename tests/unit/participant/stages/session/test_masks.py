"""Masks of a session in the plan."""

from __future__ import annotations

from pathlib import Path

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, planned_session, session
from thalbids.engine.step import StepResult, check_plan
from thalbids.methods.first import First
from thalbids.methods.mindglide import MindGlide
from thalbids.methods.registry import Choice, with_earlier
from thalbids.participant.stages.session import masks, measures
from thalbids.settings import load


def test_masks_of_an_earlier_run_are_looked_up_and_keep_their_rows(tmp_path: Path) -> None:
    results, out = tmp_path / "first", tmp_path / "out"
    name = "sub-01/ses-1/anat/sub-01_ses-1_{}label-thalamus_desc-{}_mask.nii.gz"
    (results / name.format("", "first")).parent.mkdir(parents=True)
    (results / name.format("", "first")).write_bytes(b"x")
    for desc in ("first", "mindglideT1w", "somebodys", "synthalT1FLAIRIntersection"):
        path = out / name.format("space-T1w_", desc)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    one = session(("T1w", "FLAIR"))
    there = masks.families_in(out, [one])
    assert there == {"first", "mindglide", "synthal"}
    settings = load(None, {"inputs": {"derivatives": {"first": str(results)}}, "methods": {"names": ("synthal",)}})
    choice = with_earlier(Choice((Fixed(),), frozenset({"synthal"}), {}), settings, there)
    assert choice.kept == {"first"}  # MindGlide is not here, so nobody can tell
    assert choice.runnable == {"synthal"}
    made = planned_session(one, out, (First(), Fixed()), settings, choice.runnable, choice.kept)
    check_plan(made.steps)
    assert {s.name for s in made.steps if s.look_up} == {"sub-01_ses-1 first"}
    rows = {e.desc: e for e in made.masks}
    assert "somebodys" not in rows
    old = {"mindglideT1w", "synthalT1FLAIRIntersection"}
    assert {desc for desc, e in rows.items() if e.reason == masks.STALE} == old
    upstream = {"sub-01_ses-1 first": StepResult("sub-01_ses-1 first", "blocked", "this run does not compute it")}
    assert measures.ending(rows["first"], upstream) == ("missing", masks.STALE)
    upstream = {"sub-01_ses-1 first": StepResult("sub-01_ses-1 first", "cached")}
    assert measures.ending(rows["first"], upstream) == ("ok", "")
    assert "kept" not in rows["synthalT1w"].to_json()  # what a run makes itself has the fingerprint that it always had


def test_a_cut_mask_names_the_mask_that_cuts_it_among_its_sources() -> None:
    made = planned_session(session(("T1w",)), OUT, (First(), MindGlide()), load(None, {}))
    params = {s.name: s.params for s in made.steps}
    anat = "bids::sub-01/ses-1/anat/sub-01_ses-1_space-T1w_seg"
    assert params["sub-01_ses-1 mindglideT1w"].to_json()["Sources"] == [
        f"{anat}-mindglide_desc-T1w_dseg.nii.gz", f"{anat}-thalamus_desc-first_dseg.nii.gz",
    ]  # fmt: skip
