"""FreeSurfer as a method."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, planned_steps, session
from thalbids.methods.freesurfer import FreeSurfer
from thalbids.settings import load
from thalbids.tools import freesurfer


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


@pytest.mark.parametrize(
    ("version", "gb"),
    [
        (None, 10), ("FreeSurfer 5", 10), ("FreeSurfer 7.4.1", 10), ("FreeSurfer 8.0.0", 24), ("FreeSurfer 10.0.0", 24),
        ("FreeSurfer dev-20250101", 24),
    ],
)  # fmt: skip
def test_freesurfer_8_needs_more_memory(version: str | None, gb: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freesurfer, "version", lambda settings: version)
    settings = load(None, {"methods": {"names": ["freesurfer"]}})
    steps = planned_steps([session(("T1w",))], OUT, (FreeSurfer(), Fixed()), settings, None, {"freesurfer", "synthal"})
    (run,) = [step for step in steps if step.name == "sub-01_ses-1 freesurfer run"]
    assert run.memory_gb == gb
