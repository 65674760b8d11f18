"""A run with worker processes: kills, memory, interruptions. Workers take seconds to start: few tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest

from tests.unit.engine import tiny_steps as tiny
from thalbids.engine import engine, workers
from thalbids.engine.scheduler import Lost
from thalbids.engine.step import Step
from thalbids.errors import ThalbidsError


def children() -> set[int]:
    """Living child processes of this one that are Dask's."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_text()
            if int(status[1]) == os.getpid() and status[0] != "Z" and "spawn_main" in command:
                found.add(int(folder.name))
    return found


def ends(pid: int, seconds: float = 10) -> bool:
    """Whether the process ends soon (a killed one takes a moment on a busy machine)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def single(name, function, out, raw, **params):
    memory = params.pop("memory_gb", 0.5)
    return Step(f"{name} x", name, function, {"in": raw}, {"out": out / name / "x.txt"}, params, memory_gb=memory)


def test_workers_give_what_one_process_gives(run_plan, out, raw, tmp_path):
    other = tmp_path / "other"
    names = ("s1", "s2", "s3")
    run_plan([step for name in names for step in tiny.session_steps(other, raw, name)], out_dir=other)
    plan = [step for name in names for step in tiny.session_steps(out, raw, name)]
    plan += [single("p1", tiny.environment, out, raw), single("p2", tiny.environment, out, raw)]
    plan += [
        single("bug", tiny.bug, out, raw),
        single("bad", tiny.bad_input, out, raw),
        single("talk", tiny.talk, out, raw),
    ]
    results = run_plan(plan, nprocs=2, omp_nthreads=3)
    assert children() == set()
    written = tiny.content(out)
    assert tiny.content(other) == {name: data for name, data in written.items() if name.split("/")[0] in names}
    threads = (out / "p1" / "x.txt").read_text().split()
    assert threads[:4] == ["3", "3", "3", "1"]
    assert threads[4] != str(os.getpid())
    assert results["bug x"].reason == "ZeroDivisionError: in raw.txt second line"
    assert "Traceback" in (out / results["bug x"].traceback).read_text()
    assert results["bad x"].reason == "raw.txt: the file is truncated. Copy it again."
    assert "WARNING talk x: 3 voxels" in (run_plan.log_directory / "run.log").read_text()
    assert "OMP_NUM_THREADS" not in os.environ or os.environ["OMP_NUM_THREADS"] != "3"
    again = run_plan(plan, nprocs=2, omp_nthreads=3)
    assert {result.status for name, result in again.items() if name not in ("bug x", "bad x")} == {"cached"}


def test_killed_workers_cost_their_own_step_only(run_plan, out, raw, tmp_path):
    plan = [
        single("once", tiny.kill_self, out, raw, marker=str(tmp_path / "once"), times=1),
        single("always", tiny.kill_self, out, raw, marker=str(tmp_path / "always"), times=9),
        single("program", tiny.start_program, out, raw, sleep=60, trace=str(tmp_path / "pid"), die=True),
        single("segv", tiny.kill_self, out, raw, marker=str(tmp_path / "segv"), times=9, signal="SIGSEGV"),
        *[step for name in ("s1", "s2") for step in tiny.session_steps(out, raw, name, sleep=0.1)],
    ]
    results = run_plan(plan, nprocs=2)
    assert results["once x"].status == "ok"
    assert (tmp_path / "once").read_text() == "2"
    assert (results["always x"].status, (tmp_path / "always").read_text()) == ("lost", "2")
    assert (
        results["always x"].reason == "its process was killed by SIGKILL (most often by the system, for want of memory)"
    )
    assert (results["segv x"].status, (tmp_path / "segv").read_text()) == ("lost", "2")
    assert results["segv x"].reason == "its process was killed by SIGSEGV"
    assert {result.status for name, result in results.items() if name.startswith(("s1", "s2"))} == {"ok"}
    assert not (out / "always" / "x.txt").exists()
    assert "once x: its process was killed by SIGKILL" in run_plan.said
    assert results["program x"].status == "lost"
    assert ends(int((tmp_path / "pid").read_text()))
    assert run_plan.said.count("tried once more") == 4
    assert children() == set()


def test_a_worker_over_its_memory_costs_its_step_only(run_plan, out, raw):
    plan = [
        single("fat", tiny.eat_memory, out, raw, megabytes=3000, memory_gb=0.2, sleep=5),
        single("slim", tiny.eat_memory, out, raw, megabytes=100, memory_gb=0.2),
        *tiny.session_steps(out, raw, "s"),
    ]
    results = run_plan([plan[0], plan[1]], nprocs=2, mem_gb=1.2)
    assert results["fat x"].status == "lost"
    assert results["fat x"].reason == "it used more memory than it may (raise --mem or lower --nprocs)"
    assert results["slim x"].status == "ok"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_workers_at_once(run_plan, out, raw, number):
    plan = [
        single(name, tiny.join, out, raw, sleep=60, text=name, trace=str(out / f"{name}.started"))
        for name in ("p", "q")
    ]
    program = single("q", tiny.start_program, out, raw, sleep=60, trace=str(out / "q.started"))
    plan = [*tiny.session_steps(out, raw, "a"), plan[0], program]
    when = []

    def interrupt_when_running():
        while not all((out / f"{name}.started").exists() for name in ("p", "q")):
            time.sleep(0.02)
        assert len(children()) >= 2
        when.append(time.monotonic())
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt_when_running, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, nprocs=2)
    assert time.monotonic() - when[0] < 45  # the steps would take 60
    assert children() == set()
    assert ends(int((out / "q.started").read_text()))
    assert "5 ok" in run_plan.said
    assert not list((out / "p").iterdir())


def test_a_step_that_cannot_be_sent_to_a_worker_fails_alone(run_plan, out, raw):
    def local(inputs, outputs, params, upstream):
        raise AssertionError

    bad = Step("bad x", "bad", local, {"in": raw}, {"out": out / "bad.txt"})
    results = run_plan([bad, single("good", tiny.join, out, raw)], nprocs=2)
    assert results["bad x"].status == "failed"
    assert "local" in results["bad x"].reason
    assert results["good x"].status == "ok"


def test_memory_of_a_worker_is_its_share_or_what_its_largest_step_plans_with(out, raw):
    plan = [single("a", tiny.join, out, raw, memory_gb=3.0), single("b", tiny.join, out, raw, memory_gb=1.0)]
    assert engine._worker_memory_gb(plan, 2, 8) == 4
    assert engine._worker_memory_gb(plan, 8, 8) == 3


def test_nothing_to_compute_starts_no_worker(run_plan, out, raw, monkeypatch):
    run_plan(tiny.session_steps(out, raw, "s"))

    def open_cluster(self):
        raise AssertionError

    monkeypatch.setattr(workers.Workers, "_open", open_cluster)
    assert {result.status for result in run_plan(tiny.session_steps(out, raw, "s"), nprocs=2).values()} == {"cached"}


def test_workers_that_cannot_start_are_said_so(run_plan, out, raw, monkeypatch):
    import distributed

    def local_cluster(**options):
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "LocalCluster", local_cluster)
    with pytest.raises(ThalbidsError, match=r"could not be started \(Nanny failed to start.\). Use --nprocs 1"):
        run_plan([single("a", tiny.join, out, raw)], nprocs=2)


class Gone:
    """A cluster whose only worker has left without a word."""

    workers: ClassVar[dict] = {}

    def __init__(self):
        self.scheduler = self

    def done(self):
        return False

    def cancel(self):
        pass


def test_a_worker_that_left_without_a_word_took_its_step_with_it(monkeypatch):
    monkeypatch.setattr(workers, "GONE_S", 0.05)
    monkeypatch.setattr(workers, "DEATH_NOTICE_S", 0)
    cluster, ends = workers.Workers(2, 1), []
    cluster._cluster = Gone()
    cluster._jobs = {"tcp://1": workers.Job(Gone(), 0, ends.append)}
    cluster.poll()
    assert ends == []
    time.sleep(0.1)
    cluster.poll()
    assert ends == [Lost("its process ended unexpectedly")]
    cluster.start(lambda: None, ends.append)  # the free worker that idle() saw is gone too
    assert ends[1:] == [Lost("its process ended before it began")]


def test_no_worker_for_long_ends_the_run(monkeypatch):
    monkeypatch.setattr(workers, "WITHOUT_WORKERS_S", 0)
    cluster = workers.Workers(2, 1)
    cluster._cluster = Gone()
    time.sleep(0.01)
    with pytest.raises(ThalbidsError, match="no worker process could be started"):
        cluster.poll()


KILLED = """
import multiprocessing, os, signal
from thalbids.engine import workers
with workers._terminal_blocked():
    lock = multiprocessing.get_context("spawn").Lock()
print(lock._semlock.name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="semaphores are files on Linux only")
def test_a_killed_run_leaves_neither_semaphores_nor_words_about_them():
    """Standard error ends when the process that removes them has ended."""
    ended = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert ended.stderr == ""
    name = ended.stdout.strip().removeprefix("/")
    assert name and not Path(f"/dev/shm/sem.{name}").exists()  # noqa: S108 (where Linux has them)
    assert workers.QUIET_TRACKER not in sys.warnoptions
