"""FIRST as a method."""

from __future__ import annotations

from pathlib import Path

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, planned_session, session
from thalbids.methods.first import First
from thalbids.methods.mindglide import MindGlide
from thalbids.settings import load


def test_a_method_that_only_has_results_is_missing_where_there_are_none(tmp_path: Path) -> None:
    settings = load(None, {"inputs": {"derivatives": {"first": str(tmp_path)}}})
    made = planned_session(session(("T1w",)), OUT, (First(), MindGlide(), Fixed()), settings, {"mindglide"})
    reasons = {e.desc: e.reason for e in made.masks}
    assert reasons["first"] == "there is no result of first for this session, and it is not run here"
    assert reasons["mindglideT1w"].startswith("it needs the mask of first as its envelope: there is no result of first")
    folder = tmp_path / "sub-01" / "ses-1" / "anat"
    folder.mkdir(parents=True)
    (folder / "sub-01_ses-1_label-thalamus_mask.nii.gz").write_bytes(b"x")
    made = planned_session(session(("T1w",)), OUT, (First(), MindGlide(), Fixed()), settings, {"mindglide"})
    assert {e.desc: e.step is not None for e in made.masks}["mindglideT1w"]
    assert made.origins["first"].startswith("given, bids:first:sub-01/ses-1/anat/")
    (folder / "sub-01_ses-1_label-thalamus_desc-b_mask.nii.gz").write_bytes(b"x")
    made = planned_session(session(("T1w",)), OUT, (First(), Fixed()), settings, {"synthal"})
    refused = next(s for s in made.steps if s.name.endswith(" first"))
    assert refused.kind == "refusal"
    assert "has 2 files in first" in refused.params.problem
