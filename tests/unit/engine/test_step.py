from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.engine.tiny_steps import join, session_steps
from thalbids.engine.step import Step, StepResult, check_plan, sidecar


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sub-01_mask.nii.gz", "sub-01_mask.json"),
        ("sub-01_mask.nii", "sub-01_mask.json"),
        ("x_dseg.tsv", "x_dseg.json"),
        ("x_xfm.txt", "x_xfm.json"),
        ("x_xfm.h5", "x_xfm.json"),
        ("v1.2.png", "v1.2.json"),
    ],
)
def test_sidecar_is_the_json_beside_the_file(name, expected):
    assert sidecar(Path("a") / name) == Path("a") / expected


@pytest.mark.parametrize("name", ["sub-01.html", "x_qc.json", "noextension"])
def test_other_files_have_no_sidecar(name):
    with pytest.raises(ValueError, match="no JSON sidecar"):
        sidecar(Path(name))


def test_record_is_the_sidecar_of_the_first_output_unless_given(tmp_path):
    step = Step("s", "sub-1", join, {}, {"x": tmp_path / "x.nii.gz", "y": tmp_path / "y.tsv"})
    assert step.record_path == tmp_path / "x.json"
    assert step.excluded_path(tmp_path) == tmp_path / "logs/excluded/sub-1/x.json"
    given = replace(step, record=tmp_path / "r.json")
    assert given.record_path == given.excluded_path(tmp_path) == tmp_path / "r.json"
    own = Step("s", "sub-1", join, {}, {"x": tmp_path / "x_qc.json"})
    assert own.record_path == tmp_path / "x_qc.json"


def test_records_are_removed_before_outputs(tmp_path):
    step = Step("s", "sub-1", join, {}, {"x": tmp_path / "x.nii.gz", "y": tmp_path / "y.tsv"})
    names = [path.name for path in step.files(tmp_path)]
    assert names.index("x.json") < names.index("x.nii.gz")
    assert set(names) == {"x.json", "x.nii.gz", "y.json", "y.tsv"}


def test_what_a_later_step_sees_is_the_same_after_a_resume():
    first = StepResult("s", "ok", seconds=3.2, peak_mb=100, session="sub-1")
    resumed = StepResult("s", "cached", session="sub-1", cached=True)
    assert first.as_upstream() == resumed.as_upstream()
    excluded = StepResult("s", "excluded", "why", seconds=1, traceback="logs/x")
    assert excluded.as_upstream() == replace(excluded, cached=True, seconds=0, traceback="").as_upstream()


def test_a_good_plan_passes(tmp_path):
    check_plan(session_steps(tmp_path, tmp_path / "raw", "s1") + session_steps(tmp_path, tmp_path / "raw", "s2"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda steps: [*steps, steps[0]], "two steps are called"),
        (lambda steps: [replace(steps[0], outputs={}), *steps[1:]], "no outputs"),
        (lambda steps: steps[::-1], "does not come before it"),
        (lambda steps: [replace(steps[0], needs=("nobody",)), *steps[1:]], "'nobody'"),
        (lambda steps: [replace(steps[0], after=(steps[0].name,)), *steps[1:]], "does not come before it"),
        (lambda steps: [*steps[:2], replace(steps[2], outputs=steps[1].outputs), *steps[3:]], "both write"),
        (lambda steps: [steps[0], replace(steps[1], needs=()), *steps[2:]], "without waiting"),
    ],
    ids=["name twice", "no outputs", "order", "unknown", "itself", "output twice", "input not waited for"],
)
def test_a_bad_plan_is_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        check_plan(change(session_steps(tmp_path, tmp_path / "raw", "s")))


def test_two_steps_may_not_share_a_sidecar(tmp_path):
    steps = [
        Step("image", "s", join, {}, {"x": tmp_path / "dseg.nii.gz"}),
        Step("table", "s", join, {}, {"x": tmp_path / "dseg.tsv"}),
    ]
    with pytest.raises(ValueError, match=r"both write .*dseg\.json"):
        check_plan(steps)


def test_waiting_through_another_step_is_enough(tmp_path):
    steps = session_steps(tmp_path, tmp_path / "raw", "s")
    check_plan([*steps[:3], replace(steps[3], inputs={**steps[3].inputs, "a": tmp_path / "s" / "a.txt"}), steps[4]])
