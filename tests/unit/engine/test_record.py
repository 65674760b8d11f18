"""Resume: what counts as finished, and what a re-run leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.unit.engine import tiny_steps as tiny
from thalbids.engine import record
from thalbids.engine.step import Step


@pytest.fixture
def trace(tmp_path):
    return tmp_path / "trace"


@pytest.fixture
def steps(out, raw, trace):
    return tiny.session_steps(out, raw, "s", trace=trace)


def called(trace) -> str:
    """Which of the tracing steps ran since the last time that this was asked."""
    text = trace.read_text().replace("\n", "") if trace.exists() else ""
    trace.unlink(missing_ok=True)
    return text


def status(results) -> dict[str, str]:
    return {name.split()[-1]: result.status for name, result in results.items()}


def test_a_second_run_computes_nothing_and_changes_nothing(run_plan, steps, out, trace):
    assert set(status(run_plan(steps)).values()) == {"ok"}
    assert called(trace) == "abcd"
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (out / "s").iterdir()}
    assert set(status(run_plan(steps)).values()) == {"cached"}
    assert called(trace) == ""
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (out / "s").iterdir()} == before
    assert "5 cached (nothing had to be computed); " in run_plan.said


def test_the_record_says_what_where_and_from_what_without_absolute_paths(run_plan, steps, out, tmp_path):
    run_plan(steps)
    content = json.loads((out / "s" / "a.json").read_text())
    found = content.pop("Provenance")
    assert content == {"Description": "out of a"}
    assert set(found) == {"StepName", "StepVersion", "Fingerprint", "Status", "Reason", "Outputs", "Versions"}
    assert (found["StepName"], found["StepVersion"], found["Status"], found["Reason"]) == ("s a", 1, "ok", "")
    assert set(found["Outputs"]) == {"s/a.txt", "s/a.tsv", "s/a.json"}
    assert found["Versions"] == {"thalbids": "1"}
    for path in (out / "s").rglob("*.json"):
        assert str(tmp_path) not in path.read_text()


@pytest.mark.parametrize(
    ("name", "damage", "again"),
    [
        ("b.txt", lambda path: path.unlink(), "b"),
        ("b.txt", lambda path: path.write_text("edited"), "b"),
        ("a.tsv", lambda path: path.write_bytes(path.read_bytes()[:-2]), "a"),
        ("b.json", lambda path: path.unlink(), "b"),
        ("b.json", lambda path: path.write_text(path.read_text()[:40]), "b"),
        ("b.json", lambda path: path.write_text(path.read_text().replace("Description", "Discription")), "b"),
        ("d.json", lambda path: path.write_text("{}"), "d"),
        ("d.json", lambda path: path.write_text("[1]"), "d"),
        ("d.json", lambda path: path.write_text('{"Provenance": 3}'), "d"),
        ("d.json", lambda path: path.write_text('{"Provenance": {"Outputs": 3, "Fingerprint": 1}}'), "d"),
        ("d.json", lambda path: path.write_bytes(b"\xff\xfe\x00"), "d"),
        ("a.txt", lambda path: path.unlink() or path.mkdir(), None),
    ],
)
def test_damage_is_repaired_and_only_that(run_plan, steps, out, trace, name, damage, again):
    run_plan(steps)
    called(trace)
    before = tiny.content(out)
    damage(out / "s" / name)
    results = run_plan(steps)
    if again is None:  # a folder in the place of an output is not ours to remove
        assert results["s a"].status == "failed"
        return
    assert called(trace) == again
    assert tiny.content(out) == before
    assert [short for short, value in status(results).items() if value != "cached"] == [again]


def test_an_edited_qc_file_is_noticed(run_plan, steps, out):
    run_plan(steps)
    path = out / "s" / "x_qc.json"
    before = path.read_bytes()
    content = json.loads(before)
    assert list(content) == ["b", "a", "Provenance"]
    content["b"] = 2
    path.write_text(json.dumps(content))
    assert status(run_plan(steps))["qc"] == "ok"
    assert path.read_bytes() == before


def test_a_changed_parameter_recomputes_only_what_depends_on_it(run_plan, steps, trace):
    run_plan(steps)
    called(trace)
    changed = replace(steps[2], params={**steps[2].params, "text": "C"})
    results = run_plan([*steps[:2], changed, *steps[3:]])
    assert called(trace) == "Cd"
    assert status(results) == {"a": "cached", "b": "cached", "c": "ok", "d": "ok", "qc": "ok"}


def test_a_changed_input_recomputes_what_depends_on_it(run_plan, steps, raw, trace):
    run_plan(steps)
    called(trace)
    raw.write_text("other\n")
    run_plan(steps)
    assert called(trace) == "abcd"


def test_the_same_bytes_upstream_stop_the_recomputation(run_plan, steps, out, trace):
    run_plan(steps)
    called(trace)
    (out / "s" / "a.txt").unlink()
    assert status(run_plan(steps)) == {"a": "ok", "b": "cached", "c": "cached", "d": "cached", "qc": "cached"}
    assert called(trace) == "a"


def test_new_versions_recompute_everything(run_plan, steps, trace):
    run_plan(steps)
    called(trace)
    run_plan(steps, versions={"thalbids": "2"})
    assert called(trace) == "abcd"


def test_a_moved_output_folder_is_still_finished(run_plan, steps, out, raw, tmp_path):
    run_plan([replace(step, params={}) for step in steps])
    out.rename(tmp_path / "moved")
    out.mkdir()
    moved = [replace(step, params={}) for step in tiny.session_steps(tmp_path / "moved", raw, "s")]
    assert set(status(run_plan(moved, out_dir=tmp_path / "moved")).values()) == {"cached"}


def excluded_plan(out, raw, **params):
    folder = out / "s"
    return [
        Step(
            "s reg",
            "s",
            tiny.exclude,
            {"in": raw},
            {"image": folder / "flair.nii.gz", "table": folder / "t.tsv"},
            params,
        ),
        Step("s mask", "s", tiny.join, {"in": folder / "flair.nii.gz"}, {"out": folder / "m.txt"}, needs=("s reg",)),
        Step("s report", "s", tiny.statuses, {}, {"out": folder / "r.txt"}, after=("s reg", "s mask")),
    ]


def test_an_excluded_step_is_remembered_blocks_and_is_seen(run_plan, out, raw):
    first = run_plan(excluded_plan(out, raw))
    assert status(first) == {"reg": "excluded", "mask": "blocked", "report": "ok"}
    assert first["s mask"].reason == "s reg excluded: metric 0.1 below 0.3"
    assert not (out / "s" / "flair.json").exists()  # BIDS: no sidecar without its image
    kept = out / "logs" / "excluded" / "s" / "flair.json"
    assert json.loads(kept.read_text())["Metric"] == 0.1
    second = run_plan(excluded_plan(out, raw))
    assert status(second) == {"reg": "excluded", "mask": "blocked", "report": "cached"}
    assert (second["s reg"].cached, second["s reg"].reason) == (True, "metric 0.1 below 0.3")
    assert second["s mask"].reason == first["s mask"].reason


def test_an_excluded_step_with_a_record_of_its_own_keeps_it_there(run_plan, out, raw):
    steps = excluded_plan(out, raw, partial=True)
    steps[0] = replace(steps[0], record=out / "s" / "flair.json")
    assert status(run_plan(steps))["reg"] == "excluded"
    content = json.loads((out / "s" / "flair.json").read_text())
    assert content["Metric"] == 0.1
    assert set(content["Provenance"]["Outputs"]) == {"s/flair.json", "s/t.tsv"}
    assert run_plan(steps)["s reg"].cached
    (out / "s" / "flair.nii.gz").write_text("from elsewhere")
    assert not run_plan(steps)["s reg"].cached
    assert not (out / "s" / "flair.nii.gz").exists()


def test_becoming_excluded_or_failed_removes_the_old_results(run_plan, steps, out):
    run_plan(steps)
    excluded = replace(steps[1], function=tiny.exclude, params={})
    results = run_plan([steps[0], excluded, *steps[2:]])
    assert status(results) == {"a": "cached", "b": "excluded", "c": "cached", "d": "blocked", "qc": "ok"}
    left = {path.name for path in (out / "s").iterdir()}
    assert left == {"a.txt", "a.tsv", "a.json", "c.txt", "c.json", "x_qc.json"}
    failing = replace(steps[0], function=tiny.bad_input, inputs={"in": steps[0].inputs["raw"]})
    results = run_plan([failing, *steps[1:]])
    assert status(results) == {"a": "failed", "b": "blocked", "c": "blocked", "d": "blocked", "qc": "ok"}
    assert {path.name for path in (out / "s").iterdir()} == {"x_qc.json"}


def test_coming_back_from_excluded_removes_the_excluded_record(run_plan, steps, out):
    run_plan([steps[0], replace(steps[1], function=tiny.exclude, params={}), *steps[2:]])
    assert (out / "logs" / "excluded" / "s" / "b.json").exists()
    assert status(run_plan(steps))["b"] == "ok"
    assert not (out / "logs" / "excluded" / "s" / "b.json").exists()
    assert set(status(run_plan(steps)).values()) == {"cached"}


def test_failed_steps_are_tried_again(run_plan, out, raw):
    step = Step("s x", "s", tiny.bad_input, {"in": raw}, {"out": out / "x.txt"})
    assert [run_plan([step])["s x"].status for _ in range(2)] == ["failed", "failed"]


def test_temporary_files_of_killed_runs_go_and_nothing_else_does(run_plan, steps, out):
    (out / "s").mkdir()
    # numbers above every system's limit: no living process has them
    ours = [out / "s" / f".tmp-{name}-9999999{n}" for n, name in enumerate(("a.txt", "b.json", "x_qc.json"))]
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    other = [
        out / "s" / f".tmp-a.txt-{living.pid}",
        out / "s" / ".tmp-other.txt-123",
        out / ".tmp-a.txt-123",
        out / "s" / "tmp-a.txt-1",
        out / "s" / ".tmp-a.txt",
    ]
    for path in [*ours, *other]:
        path.write_text("half")
    run_plan(steps)
    living.communicate(b"")
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in other)


def test_an_image_and_its_table_share_a_sidecar(out):
    step = Step("s", "s", tiny.join, {}, {"image": out / "x_dseg.nii.gz", "table": out / "x_dseg.tsv"})
    for path in step.outputs.values():
        path.write_text("x")
    done = tiny.Done({"image": {"Manual": False}, "table": {"index": {}}})
    record.write(step, out, "f", {}, done)
    assert set(json.loads((out / "x_dseg.json").read_text())) == {"Manual", "index", "Provenance"}


@pytest.mark.parametrize(
    ("outputs", "sidecars", "message"),
    [
        ({"x": "x.html"}, {"x": {}}, "no JSON sidecar"),
        ({"x": "x.txt"}, {"y": {}}, "'y'"),
        ({"x": "x_qc.json"}, {"record": {"a": 1}}, "writes itself"),
    ],
)
def test_metadata_in_the_wrong_place_is_refused(out, outputs, sidecars, message):
    outputs = {key: out / name for key, name in outputs.items()}
    for path in outputs.values():
        path.write_text("{}")
    step = Step("s", "s", tiny.join, {}, outputs, record=None if "record" in sidecars else out / "r.json")
    with pytest.raises(ValueError, match=message):
        record.write(step, out, "f", {}, tiny.Done(sidecars))


def test_metadata_of_a_record_beside_no_output(out):
    step = Step("s", "s", tiny.join, {}, {"x": out / "x.html"}, record=out / "logs" / "x.json")
    (out / "x.html").write_text("x")
    record.write(step, out, "f", {}, tiny.Done({"record": {"a": 1}}))
    assert json.loads((out / "logs" / "x.json").read_text())["a"] == 1
