"""Worker processes on this machine.

The driver decides which worker runs which step and gives a worker one step at a time, so a worker that is killed costs
exactly the step that it was running; see ``docs/engine.md``. Dask is imported with the first step to compute.
"""

from __future__ import annotations

import ctypes
import logging
import os
import pickle
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

from thalbids.engine.execute import Outcome
from thalbids.engine.memory import keep_freed_memory
from thalbids.engine.scheduler import Lost
from thalbids.errors import ThalbidsError
from thalbids.scratch import scratch

WITHOUT_WORKERS_S = 300  # give up when the system has let no worker start for so long
GONE_S = 3  # a worker that has left the scheduler for so long without a word about its step took the step with it
DEATH_NOTICE_S = 10  # how long after a loss the message about its cause may come (a core dump takes time)

QUIET_TRACKER = "ignore:resource_tracker:UserWarning"

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)

DASK: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 0,  # retries are the driver's business
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": None,  # a registration may hold the interpreter's lock for minutes
    "distributed.deploy.lost-worker-timeout": "1 hour",  # by default a worker that takes 15 s to restart is given up
    "distributed.comm.timeouts.connect": "120s",  # the same slow machines
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.worker.use-file-locking": False,  # each run has a folder of its own
    "distributed.worker.memory.target": False,  # results are a few bytes: nothing to spill
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,  # a paused worker would never take its step
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.profile.enabled": False,
}


def thread_variables(threads: int) -> dict[str, str]:
    """The variables that tell numerical libraries how many threads to use (they read them when they are loaded).

    The linear algebra of numpy and scipy (OpenBLAS) keeps to one: its last digits depend on the number.
    """
    return dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"OPENBLAS_NUM_THREADS": "1"}


@dataclass
class Job:
    """A step on a worker."""

    future: Any
    pid: int
    ended: Callable[[Outcome | Lost | Exception], None]
    gpu: bool = False
    gone_since: float | None = None


class Workers:
    """Worker processes of a :class:`distributed.LocalCluster` on this machine, started with the first step."""

    def __init__(self, nprocs: int, worker_memory_gb: float):
        self._nprocs, self._worker_memory_gb = nprocs, worker_memory_gb
        self._cluster: Any = None
        self._client: Any = None
        self._stack = ExitStack()
        self._jobs: dict[str, Job] = {}  # address of the worker -> its step
        self._deaths = _Deaths()
        self._last_worker = time.monotonic()

    def idle(self, *, gpu: bool = False) -> bool:
        return self._cluster is None or bool(self._free(gpu))

    def start(
        self, task: Callable[[], Outcome], ended: Callable[[Outcome | Lost | Exception], None], *, gpu: bool = False
    ) -> None:
        if self._cluster is None:
            self._open()
        address = next(iter(self._free(gpu)), "")  # "" when the last free worker has died since idle() saw it
        worker = self._cluster.scheduler.workers.get(address)
        if worker is None:
            ended(Lost("its process ended before it began"))
            return
        try:
            payload = pickle.dumps(task)
        except Exception as error:  # pickle raises many kinds
            ended(error)
            return
        future = self._client.submit(_in_worker, payload, workers=[address], pure=False)
        self._jobs[address] = Job(future, worker.pid, ended, gpu)
        future.add_done_callback(lambda future: self._done(address))

    def poll(self) -> None:
        if self._cluster is None:
            return
        now, workers = time.monotonic(), list(self._cluster.scheduler.workers)
        if workers:
            self._last_worker = now
        else:
            self._without_workers(now - self._last_worker)
        for address, job in list(self._jobs.items()):
            if address in workers or job.future.done():
                continue
            job.gone_since = job.gone_since or now
            if now - job.gone_since > GONE_S and self._take(address):
                job.future.cancel()
                job.ended(self._lost(job))

    def _without_workers(self, seconds: float) -> None:
        if seconds > WITHOUT_WORKERS_S:
            raise ThalbidsError("no worker process could be started.", "Use --nprocs 1, or free memory.")

    def close(self, *, kill: bool = False) -> None:
        if self._cluster is None:
            return
        cluster, self._cluster = self._cluster, None
        self._jobs.clear()  # nobody waits for them any more
        if kill:
            self._kill_workers(cluster)
        with suppress(TimeoutError):
            if self._client is not None:
                self._client.close(timeout=5)
            cluster.close(timeout=20)
        self._stack.close()

    def _kill_workers(self, cluster: Any) -> None:
        for nanny in list(cluster.workers.values()):
            nanny.close_gracefully()  # or it would start the worker again
            _kill(nanny.pid)

    def _open(self) -> None:
        """Start the workers, on the loopback interface, without a dashboard, deaf to the Ctrl-C of the terminal.

        Other users of this machine reach the loopback interface too: whoever has not the keys of the run is refused.
        """
        import distributed

        self._configure(self._own_folder(), {})
        self._stack.enter_context(self._deaths.listening())
        try:
            with _terminal_blocked():
                self._cluster = distributed.LocalCluster(
                    security=keys(),
                    n_workers=self._nprocs,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address=None,
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # its HTTP server, or it takes port 8787
                    memory_limit=int(self._worker_memory_gb * 1e9),
                    silence_logs=logging.CRITICAL + 1,
                )
            self._client = distributed.Client(self._cluster, set_as_default=False)
        except (OSError, RuntimeError, TimeoutError) as error:
            raise ThalbidsError(f"the worker processes could not be started ({error}).", "Use --nprocs 1.") from error
        self._last_worker = time.monotonic()

    def _configure(self, folder: str, more: dict[str, Any]) -> None:
        """Dask's settings until the end of the run. What it logs stays off the terminal for good: connections may end
        after the run.
        """
        import dask

        self._stack.enter_context(dask.config.set(DASK | {"temporary-directory": folder} | more))
        for handler in logging.getLogger("distributed").handlers:
            handler.setLevel(logging.CRITICAL + 1)

    def _own_folder(self) -> str:
        """A temporary folder until the end of the run that no other user can write to.

        Dask puts its folder first on the path from which modules are imported; by default it has a known name in /tmp,
        which anybody can take before us.
        """
        return str(self._stack.enter_context(scratch("workers")))

    def _free(self, gpu: bool = False) -> list[str]:
        """Workers that can take a step; steps on the machine's GPU go one after the other."""
        if gpu and any(job.gpu for job in list(self._jobs.values())):
            return []
        return [address for address in list(self._cluster.scheduler.workers) if address not in self._jobs]

    def _take(self, address: str) -> Job | None:
        """Whoever takes a job from the table, the message or the poll, ends it."""
        try:
            return self._jobs.pop(address)
        except KeyError:
            return None

    def _lost(self, job: Job) -> Lost:
        reason = self._deaths.reason(job.pid)
        _kill(job.pid)  # programs that the step had started
        return Lost(reason)

    def _done(self, address: str) -> None:
        """In a thread of Dask: a step has ended, or its worker has."""
        import distributed

        job = self._jobs.get(address)
        if job is None:
            return
        end: Outcome | Lost | Exception
        try:
            end = job.future.result(timeout=60)
        except (distributed.KilledWorker, distributed.CancelledError, TimeoutError):
            end = self._lost(job)
        except Exception as error:
            end = error
        if self._take(address):
            job.ended(end)


def keys() -> Any:
    """Keys of one run, made now: driver and workers know each other by them.

    They are handed on through pipes and never stand in the environment or on a command line.
    """
    import distributed

    return distributed.Security.temporary()


def _in_worker(payload: bytes) -> Outcome:
    """Run a pickled task in a worker that dies when the process that started it does, however that ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG
    keep_freed_memory()
    with suppress(PermissionError):
        os.setpgid(0, 0)  # a group of its own, with the programs that steps start
    task: Callable[[], Outcome] = pickle.loads(payload)  # noqa: S301 (made by the driver, sent over TLS)
    return task()


def _kill(pid: int | None) -> None:
    """Kill a worker, if it is still there, and the programs that its step has started."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            if pid:
                kill(pid, signal.SIGKILL)


def _start_resource_tracker() -> None:
    """Start Python's process that removes the semaphores of a run that was killed, without its words about leaks."""
    sys.warnoptions.append(QUIET_TRACKER)  # which Python hands on to it
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(QUIET_TRACKER)


@contextmanager
def _terminal_blocked() -> Iterator[None]:
    """Processes started meanwhile do not get the terminal's Ctrl-C (the driver ends them); ours waits meanwhile.

    Nor are they stopped for writing to the terminal from a process group of their own.
    """
    _start_resource_tracker()  # else multiprocessing starts it with the first worker, and unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTTOU])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Deaths(logging.Handler):
    """Learns from Dask's own messages why a worker process ended."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._reasons: dict[int, str] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        logger = logging.getLogger("distributed.nanny")
        level = logger.level
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.setLevel(level)

    def emit(self, log_record: logging.LogRecord) -> None:
        text = log_record.getMessage()
        if match := re.search(r"\(pid=(\d+)\) exceeded", text):
            self._reasons[int(match[1])] = "it used more memory than it may (raise --mem or lower --nprocs)"
        elif match := re.search(r"process (\d+) was killed by signal (\d+)", text):
            self._reasons.setdefault(int(match[1]), _killed_by(int(match[2])))
        elif match := re.search(r"process (\d+) exited with status (\d+)", text):
            self._reasons.setdefault(int(match[1]), f"its process ended with status {match[2]}")

    def reason(self, pid: int) -> str:
        """Why this process ended; waits a moment for the message."""
        deadline = time.monotonic() + DEATH_NOTICE_S
        while pid not in self._reasons and time.monotonic() < deadline:
            time.sleep(0.02)
        return self._reasons.get(pid, "its process ended unexpectedly")


def _killed_by(number: int) -> str:
    name = signal.Signals(number).name
    often = " (most often by the system, for want of memory)" if number == signal.SIGKILL else ""
    return f"its process was killed by {name}{often}"
