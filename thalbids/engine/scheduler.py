"""Which step is next, and what becomes of each: the loop of a run, the same in one process and in a cluster."""

from __future__ import annotations

import heapq
import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from thalbids.engine import record
from thalbids.engine.execute import Outcome, describe, execute
from thalbids.engine.fingerprint import Digests, fingerprint
from thalbids.engine.log import Reporter
from thalbids.engine.step import Step, StepResult
from thalbids.errors import OutputError

ATTEMPTS = 2  # how often a step is started when its process gets killed
CHECKERS = 4  # threads that hash files; hashlib lets them run side by side
LOOKAHEAD = 64  # steps found unfinished before checking pauses, so that checking does not delay the first sessions
POLL_S = 1.0  # how long the loop waits for an event before it looks at the pool
NOT_ASKED = "this run does not compute it, and there is no current result of it"
PATIENCE = 8  # how often smaller steps may go before one that does not fit into the memory

Priority = tuple[int, int]  # place of the session, place of the step


@dataclass(frozen=True)
class Lost:
    """The process of a step was killed, and why."""

    reason: str


class Pool(Protocol):
    """Where steps run."""

    def idle(self, *, gpu: bool = False) -> bool:
        """Whether another step, or one that uses a GPU, can start."""

    def start(
        self, task: Callable[[], Outcome], ended: Callable[[Outcome | Lost | Exception], None], *, gpu: bool = False
    ) -> None:
        """Run the task; ``ended`` is called once, from any thread (with an exception when the task cannot be sent)."""

    def poll(self) -> None:
        """Notice what no message tells; called at least every second."""


@dataclass(frozen=True, order=True)
class _Ready:
    """A step that has to be computed, ordered by priority."""

    priority: Priority
    name: str
    fingerprint: str


class Scheduler:
    """The state of one run. Everything but ``_check`` happens in the thread that calls :meth:`loop`."""

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        out_dir: Path,
        mem_gb: float,
        versions: Mapping[str, str],
        pool: Pool,
        reporter: Reporter,
        stop_on_first_crash: bool,
    ):
        self.out_dir, self.mem_gb, self.versions = out_dir, mem_gb, dict(versions)
        self.pool, self.reporter, self.stop_on_first_crash = pool, reporter, stop_on_first_crash
        self.steps = {step.name: step for step in steps}
        self.results: dict[str, StepResult] = {}
        sessions = {session: place for place, session in enumerate(dict.fromkeys(step.session for step in steps))}
        self._priority = {step.name: (sessions[step.session], place) for place, step in enumerate(steps)}
        self._waits = {step.name: len({*step.needs, *step.after}) for step in steps}
        self._followers: dict[str, list[str]] = {step.name: [] for step in steps}
        for step in steps:
            for upstream in {*step.needs, *step.after}:
                self._followers[upstream].append(step.name)
        self._to_check = [(self._priority[name], name) for name, waits in self._waits.items() if not waits]
        heapq.heapify(self._to_check)
        self._checking: set[Priority] = set()
        self._ready: list[_Ready] = []
        self._overtaken: dict[str, int] = {}
        self._running: dict[str, float] = {}  # name -> memory set aside for it
        self._attempts: dict[str, int] = {}
        self._digests = Digests()
        self._checkers = ThreadPoolExecutor(CHECKERS, "thalbids-check")
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopped = ""
        self._fatal: OutputError | None = None

    def loop(self) -> None:
        """Go on until every step has a result.

        Raises
        ------
        OutputError
            The disk is full or read-only; raised once the steps that were running have ended.
        """
        try:
            started = True
            while len(self.results) < len(self.steps):
                self._take_events(wait=not started)
                self._start_checks()
                started = self._start_step()
                if self._stopped and not self._running and not self._checking:
                    break
                self.pool.poll()
        finally:
            self._checkers.shutdown(cancel_futures=True)
        if self._fatal is not None:
            raise self._fatal
        for name in [name for name in self.steps if name not in self.results]:
            self._finish(name, StepResult(name, "blocked", f"not started: {self._stopped}"))

    def remove_half_results(self) -> None:
        """After an interruption, once no worker is alive: remove what the steps then running have written."""
        running = [self.steps[name] for name in self._running]
        with suppress(OSError):
            for step in running:
                record.discard(step, self.out_dir)
            record.clean_temporaries(running, self.out_dir)

    def _take_events(self, *, wait: bool) -> None:
        """Take in all that has happened; when there is nothing to start, wait for it up to POLL_S."""
        with suppress(queue.Empty):
            if wait:
                self._events.get(timeout=POLL_S)()
            while True:
                self._events.get_nowait()()

    def _start_checks(self) -> None:
        """Check steps that wait for nothing more, first things first, not far ahead of what the workers can take."""
        while self._to_check and len(self._checking) < CHECKERS and not self._stopped:
            if len(self._ready) >= LOOKAHEAD and self._to_check[0][0] > max(self._ready).priority:
                return
            priority, name = heapq.heappop(self._to_check)
            step = self.steps[name]
            broken = next((self.results[need] for need in step.needs if not self.results[need].usable), None)
            if broken is not None:
                self._block(step, broken)
                continue
            self._checking.add(priority)
            self._checkers.submit(self._check, step, self._upstream(step)).add_done_callback(partial(self._post, name))

    def _upstream(self, step: Step) -> dict[str, StepResult]:
        return {name: self.results[name].as_upstream() for name in dict.fromkeys((*step.needs, *step.after))}

    def _check(self, step: Step, upstream: Mapping[str, StepResult]) -> tuple[str, Mapping[str, Any] | None]:
        """In a thread: the fingerprint, and the record of an earlier run when it still holds."""
        now = fingerprint(step, self.out_dir, self._digests, self.versions, upstream)
        return now, record.finished(step, self.out_dir, now, self._digests)

    def _post(self, name: str, future: Future[tuple[str, Mapping[str, Any] | None]]) -> None:
        self._events.put(partial(self._checked, name, future))

    def _checked(self, name: str, future: Future[tuple[str, Mapping[str, Any] | None]]) -> None:
        self._checking.discard(self._priority[name])
        now, result = future.result()
        if result is None and self.steps[name].look_up:
            self._finish(name, StepResult(name, "blocked", NOT_ASKED))
        elif result is None:
            self._ready.append(_Ready(self._priority[name], name, now))
        elif result["Status"] == "excluded":
            self._finish(name, StepResult(name, "excluded", result["Reason"], cached=True))
        else:
            self._finish(name, StepResult(name, "cached", cached=True))

    def _block(self, step: Step, broken: StepResult) -> None:
        """Not computable: what an earlier run left would contradict what is known now, so it goes."""
        if not step.look_up:
            self._remove(step)
        reason = broken.reason if broken.status == "blocked" else f"{broken.name} {broken.status}: {broken.reason}"
        self._finish(step.name, StepResult(step.name, "blocked", reason))

    def _remove(self, step: Step) -> None:
        record.discard(step, self.out_dir)
        for path in step.files(self.out_dir):
            self._digests.put(path, None)

    def _start_step(self) -> bool:
        """Start the next step if there is one and a place for it."""
        entry = None if self._stopped or not self._ready else self._next()
        if entry is None:
            return False
        self._ready.remove(entry)
        step = self.steps[entry.name]
        self._running[entry.name] = self._memory(entry.name)
        self._attempts[entry.name] = self._attempts.get(entry.name, 0) + 1
        self.reporter.started(step)
        task = partial(execute, step, self.out_dir, entry.fingerprint, self.versions, self._upstream(step))
        self.pool.start(task, lambda end: self._events.put(partial(self._ended, entry, end)), gpu=step.gpu)
        return True

    def _next(self) -> _Ready | None:
        """The first step that fits into the memory, unless an earlier one is still being checked or waits too long."""
        unknown = min([*self._checking, *(priority for priority, _ in self._to_check[:1])], default=None)
        overtaken: list[str] = []
        free = {gpu: self.pool.idle(gpu=gpu) for gpu in {self.steps[entry.name].gpu for entry in self._ready}}
        if not any(free.values()):
            return None
        for entry in sorted(self._ready):
            if not free[self.steps[entry.name].gpu]:
                continue
            if unknown is not None and unknown < entry.priority:
                return None
            if not self._running or sum(self._running.values()) + self._memory(entry.name) <= self.mem_gb:
                for name in overtaken:
                    self._overtaken[name] = self._overtaken.get(name, 0) + 1
                return entry
            if self._overtaken.get(entry.name, 0) >= PATIENCE:
                return None
            overtaken.append(entry.name)
        return None

    def _memory(self, name: str) -> float:
        """What a step sets aside; the second try of a killed step has the machine for itself."""
        return self.mem_gb if self._attempts.get(name) else self.steps[name].memory_gb

    def _ended(self, entry: _Ready, end: Outcome | Lost | Exception) -> None:
        name, step = entry.name, self.steps[entry.name]
        del self._running[name]
        if isinstance(end, Lost):
            self._remove(step)
            record.clean_temporaries([step], self.out_dir)
            if self._attempts[name] < ATTEMPTS and not self._stopped:
                self.reporter.warning(f"{name}: {end.reason}; it is tried once more")
                self._ready.append(entry)
                return
            self._finish(name, StepResult(name, "lost", end.reason))
            return
        if isinstance(end, Exception):
            end = Outcome("failed", describe(end, step, self.out_dir))
        for path in step.files(self.out_dir):
            self._digests.put(path, end.digests.get(path))
        self._fatal = self._fatal or end.fatal
        if end.fatal is not None:
            self._stopped = end.fatal.problem
        result = StepResult(name, end.status, end.reason, end.seconds, end.peak_mb)
        self._finish(name, result, end.log, end.traceback)

    def _finish(
        self, name: str, result: StepResult, log: tuple[tuple[int, str], ...] = (), traceback: str = ""
    ) -> None:
        """Keep and report a result, and let the steps that waited for it go on."""
        result = self.reporter.finished(replace(result, session=self.steps[name].session), log, traceback)
        self.results[name] = result
        if result.crashed and self.stop_on_first_crash and not self._stopped:
            self._stopped = f"stopped after {name} {result.status}"
        for follower in self._followers[name]:
            self._waits[follower] -= 1
            if not self._waits[follower]:
                heapq.heappush(self._to_check, (self._priority[follower], follower))
