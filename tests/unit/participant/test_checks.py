"""Given results, and paths of programs, are checked before a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, planned_steps, session
from thalbids.engine.step import Step
from thalbids.errors import NoInputError, ThalbidsError
from thalbids.methods.freesurfer import FreeSurfer
from thalbids.methods.registry import Choice
from thalbids.participant.checks import check_paths, check_results
from thalbids.settings import load


def test_a_subjects_directory_without_any_session_is_told(tmp_path: Path) -> None:
    (tmp_path / "fs").mkdir()
    given = {"tools": {"freesurfer": {"subjects_dir": str(tmp_path / "fs")}}}
    own, choice = [session(("T1w",))], Choice((), frozenset(), {})
    (told,) = check_results(own, own, choice, load(None, given))
    assert "looked for: sub-01_ses-1, sub-01, ..." in told
    named = load(None, given | {"methods": {"names": ["freesurfer"]}})
    with pytest.raises(NoInputError, match="holds no session of this run"):
        check_results(own, own, choice, named)
    assert check_results(own, own, replace(choice, runnable=frozenset({"freesurfer"})), named)
    (tmp_path / "fs" / "sub-01").mkdir()
    assert check_results(own, own, choice, named) == []
    every = [*own, replace(own[0], session="2")]  # of which of the two?
    (told,) = check_results(every, every, choice, load(None, given))
    assert "sub-01_ses-2, ...)" in told and "sub-01 may be of any session: name each as in sub-01_ses-1" in told


def test_a_space_that_recon_all_cannot_work_with_is_refused_before_a_run() -> None:
    settings = load(None, {"methods": {"names": ["freesurfer"]}})

    def planned(out: Path) -> list[Step]:
        both = {"freesurfer", "synthal"}
        return planned_steps([session(("T1w",))], out, (FreeSurfer(), Fixed()), settings, None, both)

    check_paths(planned(OUT))
    steps = planned(Path("/my results"))
    with pytest.raises(ThalbidsError, match="space in a path") as caught:
        check_paths(steps)
    assert "OUT_DIR without spaces" in caught.value.mend
    check_paths([replace(step, look_up=True) for step in steps])  # nothing of it is computed
    check_paths([step for step in steps if step.kind != "tool run"])
