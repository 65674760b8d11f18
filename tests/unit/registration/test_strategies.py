"""Strategies of registration: which are there, and what settings may say."""

from __future__ import annotations

import pickle

import pytest

from tests.unit.registration.test_flirt import home  # noqa: F401
from thalbids.errors import MissingToolError, UsageError
from thalbids.programs import Program
from thalbids.registration.ants_rigid import AntsRigid
from thalbids.registration.gate import judge
from thalbids.registration.strategies import (
    configured,
    configured_for,
    note_on,
    resolved,
)
from thalbids.settings import Registration, Settings
from thalbids.tools import fsl


def test_configured():
    ants, centre = configured(["ants", "ants-centre"], {"ants": 0.4})
    assert (ants.name, ants.cutoff, ants.interpolation, ants.group) == ("ants", 0.4, "linear", "ants")
    assert (centre.name, centre.cutoff, centre.group) == ("ants-centre", AntsRigid().cutoff, "ants-centre")
    assert ants.software.startswith("antspyx ")


@pytest.mark.parametrize(
    ("names", "cutoffs", "problem"),
    [
        ([], {}, "No registration strategy"),
        (["flirt"], {}, "Unknown registration strategy 'flirt'"),
        (["ants", "ants"], {}, "twice"),
        (["ants"], {"fsl": 0.2}, "Unknown"),
        (["ants"], {"ants-centre": 0.2}, "not among"),
        (["ants"], {"ants": -1}, "at least 0"),
        (["ants"], {"ants": float("nan")}, "at least 0"),
        (["ants"], {"ants": "high"}, "at least 0"),
    ],
)
def test_settings_that_make_no_sense(names, cutoffs, problem):
    with pytest.raises(UsageError, match=problem) as caught:
        configured(names, cutoffs)
    assert caught.value.mend


@pytest.fixture
def no_fsl(monkeypatch, tmp_path):
    monkeypatch.delenv("FSLDIR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def settings_of(**values) -> Settings:
    return Settings(registration=Registration(**values))


def test_auto_takes_the_papers_strategies_where_fsl_is(home):  # noqa: F811
    settings = settings_of()
    assert [s.name for s in configured_for("R1map", settings)] == ["fsl-mi", "fsl-nc", "ants"]
    assert [s.name for s in configured_for("FLAIR", settings)] == ["fsl-flair", "ants"]
    assert "fsl-mi, fsl-nc" in note_on("R1map", settings)


def test_auto_without_fsl_is_mattes_and_says_so(no_fsl):
    for image in ("FLAIR", "R1map"):
        assert [s.name for s in configured_for(image, settings_of())] == ["mattes"]
        assert "FLIRT, the paper's first choice, is not installed" in note_on(image, settings_of())
    assert note_on("FLAIR", settings_of(flair_strategies=("ants",))) == ""


def test_a_named_strategy_without_its_program_stops_with_69(no_fsl):
    with pytest.raises(
        MissingToolError, match="FSL's flirt cannot be run: the program flirt is not on the PATH"
    ) as caught:
        configured_for("R1map", settings_of(r1map_strategies=("fsl-mi", "ants")))
    assert caught.value.exit_code == 69
    with pytest.raises(MissingToolError):
        fsl.required("flirt", Program())


def test_auto_stands_alone_and_cutoffs_are_of_known_strategies(home):  # noqa: F811
    with pytest.raises(UsageError, match="auto stands beside others"):
        resolved(("auto", "ants"), "FLAIR")
    with pytest.raises(UsageError, match="Unknown registration strategy 'flirt'"):
        configured_for("FLAIR", settings_of(cutoffs={"flirt": 0.3}))
    flair = configured_for("FLAIR", settings_of(cutoffs={"fsl-mi": 0.4, "fsl-flair": 0.5}))
    assert [s.cutoff for s in flair] == [0.5, 0.25]


def test_the_papers_cutoffs_are_a_named_choice(home):  # noqa: F811
    paper = configured_for("R1map", settings_of(rule="paper"))
    assert {s.name: s.cutoff for s in paper} == {"fsl-mi": 0.25, "fsl-nc": 0.25, "ants": 0.30}
    own = configured_for("R1map", settings_of(rule="paper", cutoffs={"ants": 0.2}))
    assert own[-1].cutoff == 0.2
    assert judge(0.31, 0.30, 1.0, 0.1, 0.2, "measured")[0]
    faults, warnings = judge(0.31, 0.30, 1.0, 0.1, 0.2, "paper")
    assert faults == () and len(warnings) == 3
    assert judge(0.29, 0.30, 1.0, 0.9, -0.2, "paper")[0]


def test_a_strategy_survives_the_way_to_a_worker():
    made = configured(["fsl-mi", "fsl-nc", "fsl-flair", "ants", "mattes", "mattes-centre"])
    assert pickle.loads(pickle.dumps(made)) == made
