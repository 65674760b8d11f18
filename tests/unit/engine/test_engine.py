"""The loop of a run in one process: order, failures, what is said."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.engine import tiny_steps as tiny
from thalbids.engine import engine
from thalbids.engine.step import Step
from thalbids.errors import OutputError


def single(function, out, raw, **params):
    return Step("s x", "s", function, {"in": raw}, {"out": out / "s" / "x.txt"}, params)


def test_sessions_go_depth_first(run_plan, out, raw, tmp_path):
    trace = tmp_path / "trace"
    plans = [tiny.session_steps(out, raw, name, trace=trace) for name in ("s1", "s2", "s3")]
    by_step = [step for steps in zip(*plans, strict=True) for step in steps]  # given breadth-first
    run_plan(by_step)
    assert trace.read_text().split() == list("abcd") * 3


def test_a_bad_input_fails_one_step_with_its_message_and_no_traceback(run_plan, out, raw, tmp_path):
    steps = [single(tiny.bad_input, out, raw), *tiny.session_steps(out, raw, "t")]
    results = run_plan(steps)
    assert results["s x"].status == "failed"
    assert results["s x"].reason == "raw.txt: the file is truncated. Copy it again."
    assert results["s x"].traceback == ""
    assert not (out / "s" / "x.txt").exists()
    assert {result.status for name, result in results.items() if name != "s x"} == {"ok"}
    assert "FAILED s x" in run_plan.said.splitlines()[-2]
    assert "1 failed" in run_plan.said.splitlines()[-1]
    assert "Traceback" not in run_plan.said


def test_a_bug_fails_one_step_and_leaves_a_traceback_in_the_logs(run_plan, out, raw, tmp_path):
    result = run_plan([single(tiny.bug, out, raw)])["s x"]
    assert result.status == "failed"
    assert result.reason == "ZeroDivisionError: in raw.txt second line"
    assert not Path(result.traceback).is_absolute()
    assert "Traceback" in (out / result.traceback).read_text()
    assert "tiny_steps.py" in (out / result.traceback).read_text()
    assert "Traceback" not in run_plan.said


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (tiny.leave, "SystemExit: 3"),
        (tiny.forget, "ValueError: the step did not write x.txt"),
        (tiny.wrong_return, "TypeError: wrong_return returned dict instead of Done"),
        (tiny.wrong_key, "ValueError: the step gave metadata for 'another', which is not one of its outputs"),
    ],
)
def test_other_ways_to_fail(run_plan, out, raw, function, reason):
    result = run_plan([single(function, out, raw)])["s x"]
    assert (result.status, result.reason) == ("failed", reason)
    assert not (out / "s" / "x.txt").exists()


def test_blocked_steps_name_the_cause_and_drop_stale_results(run_plan, out, raw):
    steps = tiny.session_steps(out, raw, "s")
    run_plan(steps)
    results = run_plan([replace(steps[0], function=tiny.bug, inputs={"in": raw}), *steps[1:]])
    reason = "s a failed: ZeroDivisionError: in raw.txt second line"
    assert {results[f"s {name}"].reason for name in "bcd"} == {reason}
    assert [path.name for path in (out / "s").iterdir()] == ["x_qc.json"]


def test_stop_on_first_crash_starts_nothing_new_and_removes_nothing(run_plan, out, raw):
    good = tiny.session_steps(out, raw, "t")
    run_plan(good)
    before = tiny.content(out)
    changed = [replace(step, version=2) for step in good]
    results = run_plan([single(tiny.bug, out, raw), *changed], stop_on_first_crash=True)
    assert results["s x"].status == "failed"
    assert {results[step.name].reason for step in good} == {"not started: stopped after s x failed"}
    assert tiny.content(out) == before


def test_an_exclusion_is_no_crash(run_plan, out, raw):
    results = run_plan([single(tiny.exclude, out, raw), *tiny.session_steps(out, raw, "t")], stop_on_first_crash=True)
    assert {result.status for result in results.values()} == {"excluded", "ok"}


def test_later_steps_see_the_same_after_a_resume(run_plan, out, raw):
    steps = [
        single(tiny.bug, out, raw),
        *tiny.session_steps(out, raw, "t"),
        Step("report", "z", tiny.statuses, {}, {"out": out / "r.txt"}, after=("s x", "t a", "t qc")),
    ]
    run_plan(steps)
    before = (out / "r.txt").read_bytes()
    assert b"t a|ok||0.0|False" in before
    (out / "r.txt").unlink()
    run_plan(steps)
    assert (out / "r.txt").read_bytes() == before
    assert run_plan(steps)["report"].status == "cached"


def test_a_full_disk_ends_the_run_with_an_error_that_says_so(run_plan, out, raw):
    steps = [*tiny.session_steps(out, raw, "r"), single(tiny.disk_full, out, raw), *tiny.session_steps(out, raw, "t")]
    with pytest.raises(OutputError, match=r"the disk is full\. Free some space"):
        run_plan(steps)
    assert not (out / "s" / "x.txt").exists()
    assert not (out / "t").exists()
    assert json.loads((run_plan.log_directory / "summary.json").read_text())["ending"] == "stopped"
    assert [result.status for result in run_plan([*steps[:5], *steps[6:]]).values()] == ["cached"] * 5 + ["ok"] * 5


def test_a_disk_that_is_full_when_the_record_is_written(run_plan, out, raw, monkeypatch):
    def write_bytes(self, data):
        if self.name.startswith(".tmp-b.json"):
            raise OSError(28, "No space left on device", str(self))
        return original(self, data)

    original = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(OutputError, match="the disk is full"):
        run_plan(tiny.session_steps(out, raw, "s"))
    assert {path.name for path in (out / "s").iterdir()} == {"a.txt", "a.tsv", "a.json"}


def test_a_folder_that_cannot_be_written_fails_its_session_only(run_plan, out, raw, monkeypatch):
    def mkdir(self, *arguments, **options):
        if self.name == "s":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *arguments, **options)

    original = Path.mkdir
    monkeypatch.setattr(Path, "mkdir", mkdir)
    results = run_plan(tiny.session_steps(out, raw, "s") + tiny.session_steps(out, raw, "t"))
    assert "Permission denied" in results["s a"].reason
    assert str(out) not in results["s a"].reason
    assert results["t d"].status == "ok"


def test_what_steps_log_gets_into_the_log_with_their_name(run_plan, out, raw):
    run_plan([single(tiny.talk, out, raw, text="x")])
    text = (run_plan.log_directory / "run.log").read_text()
    assert "WARNING s x: 3 voxels were not finite" in text
    assert "INFO    s x: a detail" in text
    assert run_plan.said.count("3 voxels") == 1


def test_time_and_memory_are_measured(run_plan, out, raw):
    step = single(tiny.eat_memory, out, raw, megabytes=300)
    small = Step("s small", "s", tiny.join, {"in": raw}, {"out": out / "small.txt"}, {"sleep": 0.2}, after=("s x",))
    results = run_plan([step, small], nprocs=2)  # in new processes: that of the tests has grown, and shrinks meanwhile
    assert results["s x"].peak_mb > results["s small"].peak_mb + 150  # some is kept of step x
    assert 0.2 <= results["s small"].seconds < 5


def test_memory_of_programs_that_a_step_starts_counts(run_plan, out, raw, tmp_path):
    step = single(tiny.start_program, out, raw, sleep=0.5, trace=str(tmp_path / "pid"))
    other = Step("s y", "s", tiny.join, {"in": raw}, {"out": out / "y.txt"}, after=("s x",))
    results = run_plan([step, other], nprocs=2)
    assert results["s x"].peak_mb > results["s y"].peak_mb + 180


def test_warnings_of_libraries_go_to_the_log(run_plan, out, raw, recwarn):
    run_plan([single(tiny.warn, out, raw)])
    assert "INFO    s x: RuntimeWarning: mean of empty slice" in (run_plan.log_directory / "run.log").read_text()
    assert len(recwarn) == 0


def test_threads_are_set_for_the_steps_and_put_back(run_plan, out, raw, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    run_plan([single(tiny.environment, out, raw)], omp_nthreads=3)
    assert (out / "s" / "x.txt").read_text().split()[:4] == ["3", "3", "3", "1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_what_is_finished_and_nothing_half(run_plan, out, raw, number):
    steps = tiny.session_steps(out, raw, "s")
    slow = replace(steps[3], params={"text": "d", "sleep": 20})
    before = signal.getsignal(signal.SIGTERM)

    def interrupt_when_running():
        while not (out / "s" / "c.json").exists():
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt_when_running, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_plan([*steps[:3], slow, steps[4]])
    assert signal.getsignal(signal.SIGTERM) is before
    assert "interrupted" in run_plan.said
    assert "3 ok" in run_plan.said
    assert json.loads((run_plan.log_directory / "summary.json").read_text())["ending"] == "interrupted"
    assert not any(path.name.startswith((".tmp", "d.")) for path in (out / "s").iterdir())
    assert [result.status for result in run_plan(steps).values()] == ["cached"] * 3 + ["ok"] * 2


def test_the_callers_sigterm_handler_is_kept(run_plan, out, raw):
    class Terminated(KeyboardInterrupt):
        pass

    def handler(number, frame):
        raise Terminated

    before = signal.signal(signal.SIGTERM, handler)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    try:
        with pytest.raises(Terminated):
            run_plan([single(tiny.join, out, raw, sleep=20)])
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_wrong_plan_is_refused_before_anything_happens(run_plan, out, raw):
    steps = tiny.session_steps(out, raw, "s")
    with pytest.raises(ValueError, match="does not come before"):
        run_plan(steps[::-1])
    assert not (out / "s").exists()


def test_nothing_to_do_is_fine(run_plan):
    assert run_plan([]) == {}


def test_many_sessions_are_checked_in_order_and_all_end(run_plan, out, raw):
    steps = [step for number in range(60) for step in tiny.session_steps(out, raw, f"s{number:02}")]
    assert {result.status for result in run_plan(steps).values()} == {"ok"}
    assert {result.status for result in run_plan(steps).values()} == {"cached"}


def test_one_process_does_not_import_dask(out, raw):
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from thalbids.engine import engine\n"
        "from thalbids.engine.log import Reporter\n"
        "import tiny_steps as t\n"
        f"out, raw = Path({str(out)!r}), Path({str(raw)!r})\n"
        "with Reporter(out) as r:\n"
        "    steps = t.session_steps(out, raw, 's')\n"
        "    engine.run(steps, out_dir=out, mem_gb=1, omp_nthreads=1, versions={}, reporter=r)\n"
        "print([m for m in ('dask', 'distributed', 'numpy', 'psutil') if m in sys.modules])"
    )
    paths = os.pathsep.join([str(Path(engine.__file__).parents[2]), str(Path(tiny.__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def looked_up(steps):
    """All but the last, which is the page."""
    return [*(replace(step, look_up=True) for step in steps[:-1]), steps[-1]]


def test_steps_that_may_not_be_computed_are_looked_up_and_the_next_run_finds_all_done(run_plan, out, raw):
    steps = tiny.session_steps(out, raw, "s")
    run_plan(steps)
    before = tiny.content(out)
    (out / "s" / "x_qc.json").unlink()
    results = run_plan(looked_up(steps))
    assert {name: result.status for name, result in results.items()} == {
        **dict.fromkeys(("s a", "s b", "s c", "s d"), "cached"),
        "s qc": "ok",
    }
    assert tiny.content(out) == before
    assert {result.status for result in run_plan(steps).values()} == {"cached"}


def test_what_may_not_be_computed_stays_as_it_is(run_plan, out, raw):
    steps = tiny.session_steps(out, raw, "s")
    run_plan(steps)
    raw.write_text("another\n")
    before = tiny.content(out)
    results = run_plan(looked_up(steps))
    assert [result.status for result in results.values()] == ["blocked"] * 4 + ["ok"]
    assert results["s a"].reason.startswith("this run does not compute it")
    assert {name: text for name, text in tiny.content(out).items() if "qc" not in name} == {
        name: text for name, text in before.items() if "qc" not in name
    }


def test_a_partial_result_counts_and_is_done_again_in_the_next_run(run_plan, out, raw, tmp_path):
    trace = tmp_path / "trace"
    first = Step("s half", "s", tiny.half, {"in": raw}, {"out": out / "h.txt"}, {"text": "h", "trace": str(trace)})
    after = Step("s b", "s", tiny.join, {"in": out / "h.txt"}, {"out": out / "b.txt"}, {"text": "b"}, needs=("s half",))
    for run in (1, 2):
        results = run_plan([first, after])
        assert results["s half"].status == "ok" and len(trace.read_text().split()) == run
    assert results["s b"].status == "cached"  # the same bytes
    assert run_plan([replace(first, look_up=True), after])["s half"].status == "cached"
    raw.write_text("again\n")
    assert run_plan([first, after])["s half"].status == "ok"
    assert run_plan([first, after])["s half"].status == "cached"
