"""MindGlide as a method."""

from __future__ import annotations

from pathlib import Path

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, planned_session, session
from thalbids.methods.mindglide import MindGlide
from thalbids.settings import load


def test_names_of_given_results_may_be_spelled_as_the_tool_is(tmp_path: Path) -> None:
    folder = tmp_path / "sub-01" / "ses-1" / "anat"
    folder.mkdir(parents=True)
    (folder / "sub-01_ses-1_label-thalamus_desc-mindglideT1w_mask.nii.gz").write_bytes(b"x")
    settings = load(None, {"inputs": {"derivatives": {"MindGlide": str(tmp_path)}}})
    made = planned_session(session(("T1w",)), OUT, (MindGlide(),), settings, set())
    assert made.origins["mindglideT1w"].startswith("given, bids:MindGlide:sub-01/")
