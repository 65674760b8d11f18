"""Workers that are jobs of a queueing system (SLURM, PBS, SGE, LSF, HTCondor), through ``dask-jobqueue``.

The driver stays where the command was given (a login node, or a job of its own) and needs the output folder and the
Python environment to be on a file system that it shares with the nodes. Connections are encrypted, with keys made for
the run. A job that ends takes the step that it was running with it, which is tried once more, and is replaced.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from thalbids.engine.scheduler import Lost
from thalbids.engine.workers import Job, Workers, keys, thread_variables
from thalbids.errors import MissingToolError, ThalbidsError, UsageError
from thalbids.settings import Cluster

# Class of dask-jobqueue, the command that submits, and what it calls the account that pays.
SYSTEMS = {
    "slurm": ("SLURMCluster", "sbatch", "account"),
    "pbs": ("PBSCluster", "qsub", "account"),
    "sge": ("SGECluster", "qsub", "project"),
    "lsf": ("LSFCluster", "bsub", "project"),
    "htcondor": ("HTCondorCluster", "condor_submit", ""),
}
REPLACE_S = 15  # how often jobs that have ended are replaced
SILENT_S = 300  # a job that has run for so long without reporting will not report
WAITING_S = 600  # how often a run that waits in the queue says so
LAST_LINES = 5
_PLAIN = re.compile(r"[\w/.+@=,:-]+", re.ASCII)  # what every queueing system and shell takes without quotes

# The nodes do not see the configuration of the driver.
_NODE = {
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__WORKER__USE_FILE_LOCKING": "False",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "120s",
}


class Jobs(Workers):
    """One worker per job.

    Parameters
    ----------
    settings : the section ``[cluster]``
    jobs : number of jobs for steps without a GPU
    memory_gb : memory of a job, in GB (10**9 bytes)
    log_dir : folder for the logs of the jobs and the keys of the run, on a shared file system
    gpu : whether steps of this run use a GPU
    tell : says something to the user
    """

    def __init__(
        self,
        settings: Cluster,
        jobs: int,
        memory_gb: float,
        log_dir: Path,
        *,
        gpu: bool,
        tell: Callable[[str], None],
    ):
        super().__init__(jobs, memory_gb)
        self._settings, self._log_dir, self._tell = settings, log_dir, tell
        self._gpu_jobs = settings.gpu_jobs if gpu else 0
        self._checked = self._told = time.monotonic()
        check(settings, gpu=gpu)
        if not _PLAIN.fullmatch(str(log_dir)):
            mend = "With [cluster], give an output folder without blanks and special characters in its whole path."
            raise UsageError("the scripts of jobs cannot hold the path of the output folder.", mend, log_dir)

    def idle(self, *, gpu: bool = False) -> bool:
        if self._cluster is None:
            self._open()  # asked only when there is a step to compute; the first job may take hours to start
        return super().idle(gpu=gpu)

    def poll(self) -> None:
        super().poll()
        now = time.monotonic()
        if self._cluster is not None and now - self._checked > REPLACE_S:
            self._checked = now
            self._cluster.scale(len(self._cluster.worker_spec))  # submits again what has left

    def _without_workers(self, seconds: float) -> None:
        started = [path for path in self._log_dir.glob("*") if path.is_file() and path.suffix in (".err", ".out")]
        if started and seconds > SILENT_S:
            newest = max(started, key=lambda path: path.stat().st_mtime)
            lines = newest.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
            problem = f"the jobs started, but none reported to this run. The last lines of one: {' / '.join(lines)}"
            mend = "Can the nodes see this Python environment and reach this machine ([cluster] interface, prologue)?"
            raise ThalbidsError(problem, mend, newest)
        if time.monotonic() - self._told > WAITING_S:
            self._told = time.monotonic()
            self._tell(f"no job is running; {len(self._cluster.worker_spec)} are in the queue")

    def _free(self, gpu: bool = False) -> list[str]:
        workers = list(self._cluster.scheduler.workers.items())
        return [
            address
            for address, worker in workers
            if address not in self._jobs and str(worker.name).startswith("gpu") == gpu
        ]

    def _lost(self, job: Job) -> Lost:
        return Lost("its job ended or its process was killed (time limit, memory, node); see the logs of the jobs")

    def close(self, *, kill: bool = False) -> None:
        cluster = self._cluster
        super().close(kill=kill)
        _remove_keys(cluster)
        with suppress(OSError):  # workers that are just ending remove their folders too, or hold files in them
            for left in self._log_dir.glob("*dask*"):  # keys, and the folders of workers that were killed
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)

    def _kill_workers(self, cluster: Any) -> None:
        """Closing the cluster cancels the jobs."""

    def _open(self) -> None:
        import distributed

        folder = self._own_folder()
        self._stack.enter_context(_temporary_files_in(folder))
        self._configure(folder, {"distributed.deploy.lost-worker-timeout": f"{REPLACE_S} s"})
        maker, _, _ = SYSTEMS[self._settings.system]
        self._log_dir.mkdir(parents=True, exist_ok=True)
        try:
            self._cluster = getattr(jobqueue(), maker)(**self._options())
            specs = {f"cpu-{number}": self._cluster.new_spec for number in range(self._nprocs)}
            for number in range(self._gpu_jobs):
                specs[f"gpu-{number}"] = self._with_gpu(self._cluster.new_spec)
            self._cluster.worker_spec.update(specs)
            self._cluster.sync(self._cluster._correct_state)  # unlike scale(), raises what submitting raises
            self._client = distributed.Client(self._cluster, set_as_default=False)
        except (OSError, RuntimeError, TimeoutError, ValueError) as error:
            text = " ".join(str(error).split())
            cluster, self._cluster = self._cluster, None
            with suppress(Exception):  # Dask asserts that jobs which could not be submitted have been started
                cluster.close(timeout=20)
            _remove_keys(cluster)
            raise ThalbidsError(f"no jobs could be submitted ({text}).", "Check [cluster] in the settings.") from error
        self._last_worker = time.monotonic()

    def _options(self) -> dict[str, Any]:
        """The arguments of the class of dask-jobqueue."""
        settings = self._settings
        _, _, account = SYSTEMS[settings.system]
        directives: Any = list(settings.directives)
        if settings.system == "htcondor":
            directives = _pairs(settings.directives)
        options: dict[str, Any] = {
            "cores": settings.cores,
            "memory": f"{self._worker_memory_gb:.3f} GB",
            "processes": 1,
            "job_name": "thalbids",
            "job_extra_directives": directives,
            "job_script_prologue": prologue(settings),
            "log_directory": str(self._log_dir),
            "shared_temp_directory": str(self._log_dir),
            "local_directory": str(self._log_dir),  # empty, and not in /tmp: see Workers._own_folder
            "death_timeout": SILENT_S,
            "worker_extra_args": ["--no-dashboard"],
            "security": keys(),
            "scheduler_options": {"dashboard_address": None, "dashboard": False},
            "silence_logs": "CRITICAL",
        }
        if settings.interface:
            options["interface"] = settings.interface
        if settings.queue and settings.system != "htcondor":
            options["queue"] = settings.queue
        if settings.account and account:
            options[account] = settings.account
        if settings.walltime and settings.system != "htcondor":
            options["walltime"] = settings.walltime
        if settings.system == "htcondor":
            options["disk"] = f"{settings.disk_gb:.3f} GB"
        return options

    def _with_gpu(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The specification of a job, with the lines that ask for a GPU."""
        options = dict(spec["options"])
        extra = self._settings.gpu_directives
        before = options["job_extra_directives"]
        options["job_extra_directives"] = before | _pairs(extra) if isinstance(before, dict) else [*before, *extra]
        return {**spec, "options": options}


@contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    """Dask writes the scripts of jobs under names in the temporary folder that another user could take before it."""
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = before


def jobqueue() -> ModuleType:
    """The package ``dask_jobqueue``, whose import replaces the handler of Ctrl-C: ours is put back."""
    before = signal.getsignal(signal.SIGINT)
    import dask_jobqueue

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, before)
    module: ModuleType = dask_jobqueue
    return module


def check(settings: Cluster, *, gpu: bool) -> None:
    """Refuse settings with which no job could run.

    Raises
    ------
    MissingToolError
        ``dask-jobqueue``, or the program that submits, is not there.
    UsageError
        Steps use a GPU and no job asks for one.
    """
    try:
        jobqueue()
    except ImportError as error:
        mend = 'Install it: pip install "thalbids[cluster]".'
        raise MissingToolError(f"[cluster] needs the package {error.name}.", mend) from None
    _, submit, _ = SYSTEMS[settings.system]
    if shutil.which(submit) is None:
        mend = "Start thalbids on a machine that can submit jobs, or leave out [cluster] system."
        raise MissingToolError(f"[cluster] system = {settings.system!r}, but there is no {submit} here.", mend)
    if gpu and not (settings.gpu_jobs and settings.gpu_directives):
        mend = 'Set [cluster] gpu_jobs and gpu_directives (for SLURM ["--gres=gpu:1"]), or give --device cpu.'
        raise UsageError("steps of this run use a GPU, and [cluster] asks for none.", mend)


def prologue(settings: Cluster) -> list[str]:
    """Lines of the job script before the worker: environment of ours, then what the user gave."""
    ours = _NODE | thread_variables(settings.cores)
    ours |= {name: os.environ[name] for name in ("MPLCONFIGDIR",) if name in os.environ}
    return [f"export {name}={shlex.quote(value)}" for name, value in ours.items()] + list(settings.prologue)


def _remove_keys(cluster: Any) -> None:
    """Remove the files of keys; dask-jobqueue's objects complain when these are gone before them."""
    for name in ("ca_file", "cert", "key"):
        if (stream := getattr(cluster, f"_job_{name}", None)) is not None:
            stream.close()


def _pairs(lines: tuple[str, ...]) -> dict[str, str]:
    """``key = value`` lines as a table."""
    split = [line.partition("=") for line in lines]
    wrong = [line for line, (_, equals, _) in zip(lines, split, strict=True) if not equals]
    if wrong:
        raise UsageError(f"the directive {wrong[0]!r} is not KEY = VALUE.", "HTCondor's directives have this form.")
    return {key.strip(): value.strip() for key, _, value in split}
