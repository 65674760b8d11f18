"""FreeSurfer as a method."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, planned_steps, session
from thalbids.methods.freesurfer import FreeSurfer
from thalbids.settings import load


@pytest.mark.parametrize("source", ["synthal", "freesurfer"])
def test_freesurfer_results_of_one_session_that_cannot_be_used_do_not_stop_the_run(source: str, tmp_path: Path) -> None:
    scripts = tmp_path / "sub-01_ses-1" / "scripts"
    scripts.mkdir(parents=True)
    (scripts / "recon-all.error").write_text("x")
    settings = load(None, {"tools": {"freesurfer": {"subjects_dir": str(tmp_path)}}, "brain": {"source": source}})
    both = [session(("T1w",)), session(("T1w",), "2")]
    planned = planned_steps(both, OUT, (FreeSurfer(), Fixed()), settings, None, {"freesurfer", "synthal"})
    kinds = {s.name: s.kind for s in planned}
    assert kinds["sub-01_ses-1 freesurfer"] == "refusal"
    assert "sub-01_ses-1 freesurfer run" not in kinds
    assert kinds["sub-01_ses-2 freesurfer run"] == "tool run"
