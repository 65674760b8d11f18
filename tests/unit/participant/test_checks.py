"""Given results are checked before a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import session
from thalbids.errors import NoInputError
from thalbids.methods.registry import Choice
from thalbids.participant.checks import check_results
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
