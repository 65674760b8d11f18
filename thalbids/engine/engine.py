"""Run a plan: in this process, with worker processes on this machine, or with the jobs of a queueing system."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thalbids.engine import record
from thalbids.engine.disk import output_error
from thalbids.engine.execute import Outcome
from thalbids.engine.log import Reporter
from thalbids.engine.scheduler import Lost, Scheduler
from thalbids.engine.step import Step, StepResult, check_plan
from thalbids.engine.workers import Workers, thread_variables
from thalbids.settings import Cluster


def run(
    steps: Sequence[Step],
    *,
    out_dir: Path,
    nprocs: int = 1,
    mem_gb: float,
    omp_nthreads: int,
    versions: Mapping[str, str],
    reporter: Reporter,
    stop_on_first_crash: bool = False,
    cluster: Cluster | None = None,
) -> list[StepResult]:
    """Run the steps that are not finished already; one that fails stops only what needs it.

    Parameters
    ----------
    steps
        The plan, each step after those that it waits for. Steps of one session go before those of the next where they
        can.
    out_dir
        The output folder, which records are relative to. The caller holds :func:`thalbids.engine.lock.claim`.
    nprocs
        Worker processes; 1 runs the steps in this process.
    mem_gb
        Memory for all of them, in GB (10**9 bytes): steps whose ``memory_gb`` together exceed it do not run together.
    omp_nthreads
        Threads of one step.
    versions
        Versions that results depend on; they are part of every fingerprint.
    stop_on_first_crash
        Start nothing new once a step has failed.
    cluster
        The queueing system whose jobs run the steps; ``nprocs`` is then the number of jobs, and each has the memory and
        the cores of this record.

    Returns
    -------
    One result per step, in the order of ``steps``.

    Raises
    ------
    ValueError
        The plan is wrong (see :func:`~thalbids.engine.step.check_plan`).
    OutputError
        The disk is full or has become read-only; finished steps are kept.
    KeyboardInterrupt
        SIGINT or SIGTERM; finished steps are kept, no process and no half result is left behind.
    """
    check_plan(steps)
    out_dir = Path(out_dir)
    able = [step for step in steps if not step.look_up]
    pool: _InProcess | Workers
    if cluster is not None and cluster.system != "none":
        from thalbids.engine.batch import Jobs

        gpu = any(step.gpu for step in able)
        memory = max([cluster.memory_gb, *(step.memory_gb for step in able)])
        pool = Jobs(cluster, nprocs, memory, reporter.directory / "jobs", gpu=gpu, tell=reporter.warning)
        mem_gb = math.inf  # every job has its own
        omp_nthreads = cluster.cores
    else:
        memory = _worker_memory_gb(able, nprocs, mem_gb)
        pool = _InProcess() if nprocs == 1 else Workers(nprocs, memory)
    scheduler = Scheduler(
        steps,
        out_dir=out_dir,
        mem_gb=mem_gb,
        versions=versions,
        pool=pool,
        reporter=reporter,
        stop_on_first_crash=stop_on_first_crash,
    )
    with _terminable(), thread_environment(omp_nthreads):
        try:
            record.clean_temporaries(steps, out_dir)
            reporter.begin(len(steps))
            scheduler.loop()
        except BaseException as error:
            pool.close(kill=True)
            scheduler.remove_half_results()
            if isinstance(error, OSError):
                raise output_error(error, out_dir) from error
            raise
        pool.close()
    return [scheduler.results[step.name] for step in steps]


def _worker_memory_gb(steps: Sequence[Step], nprocs: int, mem_gb: float) -> float:
    """Memory at which a worker is ended: its equal share, or what the largest step plans with when that is more."""
    return max([mem_gb / nprocs, *(step.memory_gb for step in steps)])


@contextmanager
def thread_environment(threads: int) -> Iterator[None]:
    """Set the variables that tell numerical libraries how many threads to use."""
    variables = thread_variables(threads)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM (``kill``, a batch system's time limit) end the run like Ctrl-C, unless the caller sees to it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _InProcess:
    """One step after the other, in this process."""

    def idle(self, *, gpu: bool = False) -> bool:
        return True

    def start(
        self, task: Callable[[], Outcome], ended: Callable[[Outcome | Lost | Exception], None], *, gpu: bool = False
    ) -> None:
        ended(task())

    def poll(self) -> None:
        pass

    def close(self, *, kill: bool = False) -> None:
        pass
