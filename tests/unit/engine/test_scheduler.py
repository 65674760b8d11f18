"""Which step is next: memory, priority, retries; with a pool that the test steers."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from tests.unit.engine import tiny_steps as tiny
from thalbids.engine import scheduler as scheduler_module
from thalbids.engine.log import Reporter
from thalbids.engine.scheduler import PATIENCE, Lost, Scheduler
from thalbids.engine.step import Step


class Steered:
    """A pool of ``size`` places that ends a step when ``choose`` says so, without threads."""

    def __init__(self, size, lose=None):
        self.size, self.lose = size, dict(lose or {})
        self.running, self.started, self.together = [], [], []
        self.quiet = 0  # polls since the last start
        self.settled = lambda: True  # whether the scheduler knows all that it can know for now

    def idle(self, *, gpu=False):
        return len(self.running) < self.size

    def start(self, task, ended, *, gpu=False):
        step = task.args[0]
        self.started.append(step.name)
        self.quiet = 0
        self.running.append((step, task, ended))
        self.together.append({step.name for step, *_ in self.running})

    def poll(self):
        """End the step that started first, once all places are taken or nothing more was started."""
        self.quiet += 1
        if not self.running or (self.idle() and (self.quiet < 3 or not self.settled())):
            return
        step, task, ended = self.running.pop(0)
        if self.lose.get(step.name):
            self.lose[step.name] -= 1
            ended(Lost("its process was killed by SIGKILL"))
        else:
            ended(task())


@pytest.fixture
def schedule(out, monkeypatch):
    monkeypatch.setattr(scheduler_module, "POLL_S", 0.02)

    def run(steps, pool, mem_gb=8.0, stop=False):
        stream = io.StringIO()
        with Reporter(out, stream=stream) as reporter:
            scheduler = Scheduler(
                steps, out_dir=out, mem_gb=mem_gb, versions={}, pool=pool, reporter=reporter, stop_on_first_crash=stop
            )
            pool.settled = lambda: not scheduler._checking and not scheduler._to_check and scheduler._events.empty()
            scheduler.loop()
        run.said = stream.getvalue()
        return scheduler.results

    return run


def independent(out, raw, memory):
    return [
        Step(f"s{i}", f"s{i}", tiny.join, {"in": raw}, {"out": out / f"{i}.txt"}, memory_gb=gb)
        for i, gb in enumerate(memory)
    ]


def test_steps_that_do_not_fit_together_do_not_run_together(schedule, out, raw):
    pool = Steered(3)
    results = schedule(independent(out, raw, [5, 5, 2, 2, 5]), pool, mem_gb=8)
    assert {result.status for result in results.values()} == {"ok"}
    memory = {"s0": 5, "s1": 5, "s2": 2, "s3": 2, "s4": 5}
    assert all(sum(memory[name] for name in together) <= 8 for together in pool.together)
    assert max(len(together) for together in pool.together) >= 2


def test_a_step_larger_than_the_memory_runs_alone(schedule, out, raw):
    pool = Steered(2)
    results = schedule(independent(out, raw, [1, 20, 1]), pool, mem_gb=8)
    assert {result.status for result in results.values()} == {"ok"}
    assert [together for together in pool.together if "s1" in together] == [{"s1"}]


def test_small_steps_overtake_a_large_one_only_so_often(schedule, out, raw):
    pool = Steered(2)
    schedule(independent(out, raw, [1, 8, *[1] * 40]), pool, mem_gb=8)
    assert 2 <= pool.started.index("s1") <= PATIENCE + 2


def test_a_lost_step_is_tried_once_more_and_alone(schedule, out, raw):
    pool = Steered(2, lose={"s1": 1})
    results = schedule(independent(out, raw, [1, 1, 1]), pool)
    assert {result.status for result in results.values()} == {"ok"}
    assert pool.started.count("s1") == 2
    assert {"s1"} in pool.together
    assert "s1: its process was killed by SIGKILL; it is tried once more" in schedule.said


def test_a_step_lost_twice_is_lost_and_the_rest_goes_on(schedule, out, raw):
    steps = tiny.session_steps(out, raw, "s") + tiny.session_steps(out, raw, "t")
    pool = Steered(2, lose={"s a": 2})
    results = schedule(steps, pool)
    assert results["s a"].status == "lost"
    assert results["s b"].reason == "s a lost: its process was killed by SIGKILL"
    assert {results[f"t {name}"].status for name in ("a", "b", "c", "d", "qc")} == {"ok"}
    assert pool.started.count("s a") == 2
    assert not list((out / "s").glob("a.*"))


def test_an_earlier_step_still_being_checked_is_waited_for(schedule, out, raw):
    steps = [step for name in ("s1", "s2", "s3", "s4") for step in tiny.session_steps(out, raw, name)]
    pool = Steered(1)
    schedule(steps, pool)
    assert pool.started == [step.name for step in steps]


def test_results_do_not_depend_on_the_number_of_places(schedule, out, raw, tmp_path):
    steps = [step for name in ("s1", "s2", "s3") for step in tiny.session_steps(out, raw, name)]
    found = []
    for size in (1, 2, 5):
        schedule([replace(step, version=size) for step in steps], Steered(size))
        found.append({name: data for name, data in tiny.content(out).items() if not name.endswith(".json")})
    assert found[0] == found[1] == found[2]


def test_a_stop_lets_running_steps_end(schedule, out, raw):
    steps = independent(out, raw, [1, 1, 1, 1])
    steps[0] = replace(steps[0], function=tiny.bug)
    results = schedule(steps, Steered(2), stop=True)
    assert [results[f"s{i}"].status for i in range(4)] == ["failed", "ok", "blocked", "blocked"]
