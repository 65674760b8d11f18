"""Jobs of queueing systems: what their scripts ask for, and what is refused before anything is submitted."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from thalbids.engine import batch
from thalbids.errors import MissingToolError, ThalbidsError, UsageError
from thalbids.settings import Cluster

dask_jobqueue = batch.jobqueue()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def jobs(tmp_path, monkeypatch, said):
    monkeypatch.setattr(batch.shutil, "which", lambda name: f"/usr/bin/{name}")

    def make(memory_gb: float = 8.0, **settings) -> batch.Jobs:
        cluster = Cluster(**{"system": "slurm"} | settings)
        return batch.Jobs(cluster, 3, memory_gb, tmp_path / "jobs", gpu=bool(cluster.gpu_jobs), tell=said.append)

    return make


def script(made: batch.Jobs, spec=None) -> str:
    """The job script that dask-jobqueue would submit."""
    maker, _, _ = batch.SYSTEMS[made._settings.system]
    options = made._options() if spec is None else spec["options"]
    drop = ("security", "scheduler_options", "silence_logs", "shared_temp_directory")
    kept = {key: value for key, value in options.items() if key not in drop}
    return getattr(dask_jobqueue, maker).job_cls(scheduler="tls://head:8786", name="cpu-0", **kept).job_script()


@pytest.mark.parametrize(
    "system, lines",
    [
        ("slurm", ["#SBATCH -p short", "#SBATCH -A lab", "#SBATCH --cpus-per-task=4", "#SBATCH -t 02:00:00"]),
        ("pbs", ["#PBS -q short", "#PBS -A lab", "#PBS -l walltime=02:00:00", "ncpus=4"]),
        ("sge", ["#$ -q short", "#$ -P lab", "#$ -l h_rt=02:00:00"]),
        ("lsf", ["#BSUB -q short", '#BSUB -P "lab"', "#BSUB -n 4", "#BSUB -W 02:00"]),
    ],
)
def test_a_script_asks_for_what_the_settings_say(jobs, monkeypatch, system, lines):
    monkeypatch.setattr(dask_jobqueue.lsf, "lsf_detect_units", lambda: "mb")
    own = {"queue": "short", "account": "lab", "walltime": "02:00:00" if system != "lsf" else "02:00"}
    text = script(jobs(system=system, cores=4, prologue=("module load python",), directives=("--qos=low",), **own))
    for line in [*lines, "--qos=low", "module load python", "export OMP_NUM_THREADS=4", "--nthreads 4"]:
        assert line in text
    assert text.index("module load python") < text.index("dask_worker")


def test_memory_is_that_of_the_largest_step(jobs):
    assert "#SBATCH --mem=12G" in script(jobs(memory_gb=12 * 1.0737))


def test_condor_takes_directives_as_pairs(jobs):
    made = jobs(system="htcondor", directives=("+Project = lab", "requirements = true"))
    assert made._options()["job_extra_directives"] == {"+Project": "lab", "requirements": "true"}
    with pytest.raises(UsageError, match="not KEY = VALUE"):
        jobs(system="htcondor", directives=("+Project",))._options()


def test_gpu_jobs_ask_for_gpus_and_the_others_do_not(jobs):
    made = jobs(gpu_jobs=1, gpu_directives=("--gres=gpu:1",))
    spec = {"cls": object, "options": made._options()}
    assert "--gres=gpu:1" not in script(made)
    assert "#SBATCH --gres=gpu:1" in script(made, made._with_gpu(spec))
    assert "job_extra_directives" in spec["options"] and "--gres=gpu:1" not in spec["options"]["job_extra_directives"]


def test_steps_go_to_workers_of_their_kind(jobs):
    made = jobs()
    workers = {"tls://1": SimpleNamespace(name="cpu-0"), "tls://2": SimpleNamespace(name="gpu-0")}
    made._cluster = SimpleNamespace(scheduler=SimpleNamespace(workers=workers))
    assert made._free() == ["tls://1"]
    assert made._free(gpu=True) == ["tls://2"]
    made._jobs["tls://2"] = None
    assert made._free(gpu=True) == []


def test_a_gpu_that_no_job_asks_for_is_refused(jobs, monkeypatch):
    with pytest.raises(UsageError, match="gpu_jobs"):
        batch.check(Cluster(system="slurm"), gpu=True)


@pytest.mark.parametrize("name", ["my results", "a;b", "$(date)", "a\nb", "%j", "ü"])
def test_a_path_that_a_job_script_would_read_otherwise_is_refused(monkeypatch, tmp_path, name):
    monkeypatch.setattr(batch.shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(UsageError, match="output folder without blanks"):
        batch.Jobs(Cluster(system="slurm"), 1, 8.0, tmp_path / name / "jobs", gpu=False, tell=print)


def test_keys_and_folders_of_workers_do_not_stay(jobs):
    made = jobs()
    made._cluster = SimpleNamespace(close=lambda timeout: None)
    (made._log_dir / "dask-scratch-space" / "worker-1").mkdir(parents=True)
    for name in (".dask-jobqueue.worker.key.x", "thalbids-1.err"):
        (made._log_dir / name).write_text("x")
    made.close()
    assert [path.name for path in made._log_dir.iterdir()] == ["thalbids-1.err"]


def test_a_folder_that_a_worker_still_uses_does_not_end_the_run(jobs, monkeypatch):
    def busy(path: object, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise OSError(39, "Directory not empty", str(path))

    made = jobs()
    made._cluster = SimpleNamespace(close=lambda timeout: None)
    (made._log_dir / "dask-scratch-space").mkdir(parents=True)
    key = made._log_dir / ".dask-jobqueue.worker.key.x"
    key.write_text("x")
    monkeypatch.setattr(batch.shutil, "rmtree", busy)
    made.close()
    assert not key.exists()


def test_no_submit_command(monkeypatch):
    monkeypatch.setattr(batch.shutil, "which", lambda name: None)
    with pytest.raises(MissingToolError, match="no qsub here"):
        batch.check(Cluster(system="pbs"), gpu=False)


def test_jobs_that_started_and_never_reported_end_the_run_with_their_last_lines(jobs):
    made = jobs()
    made._cluster = SimpleNamespace(worker_spec={})
    made._without_workers(1e6)  # still in the queue
    made._log_dir.mkdir()
    (made._log_dir / "thalbids-7.err").write_text("one\n/opt/python: No such file or directory\n")
    made._without_workers(1)
    with pytest.raises(ThalbidsError, match="No such file or directory"):
        made._without_workers(batch.SILENT_S + 1)


def test_a_long_wait_in_the_queue_is_said(jobs, said, monkeypatch):
    made = jobs()
    made._cluster = SimpleNamespace(worker_spec={"cpu-0": {}, "cpu-1": {}})
    made._without_workers(100)
    assert said == []
    made._told -= batch.WAITING_S + 1
    made._without_workers(700)
    assert said == ["no job is running; 2 are in the queue"]


def test_ctrl_c_still_interrupts():
    before = signal.getsignal(signal.SIGINT)
    script = "import signal; from thalbids.engine import batch; batch.jobqueue(); signal.raise_signal(signal.SIGINT)"
    code = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {script}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "KeyboardInterrupt" in run.stderr
    assert signal.getsignal(signal.SIGINT) == before


@pytest.fixture
def array(tmp_path):
    """Run the script of docs/cluster as the nth task, with a thalbids that writes its words and fails."""
    program = tmp_path / "bin" / "thalbids"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 3\n')
    program.chmod(0o755)
    raw = tmp_path / "raw data"
    raw.mkdir()

    def run(task: int, subjects: tuple[str, ...], *options: str) -> subprocess.CompletedProcess[str]:
        for name in subjects:
            (raw / name / "ses-1").mkdir(parents=True)
        (raw / "sub-0.json").write_text("{}")  # no participant
        script = Path(__file__).parents[3] / "docs" / "cluster" / "participants.slurm"
        words = ["bash", str(script), str(raw), str(tmp_path / "my results"), *options]
        slurm = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_MEM_PER_NODE": "6000", "SLURM_CPUS_PER_TASK": "4"}
        environment = {"PATH": f"{program.parent}:/usr/bin:/bin", **slurm}
        return subprocess.run(words, env=environment, capture_output=True, text=True)

    return run


def test_a_task_of_the_array_does_one_participant_and_ends_as_thalbids_does(array, tmp_path):
    ended = array(2, ("sub-01", "sub-02", "sub-10"), "--config", "my settings.toml")
    expected = [
        str(tmp_path / "raw data"),
        str(tmp_path / "my results"),
        "participant",
        "--participant-label",
        "sub-02",
    ]
    expected += ["--nprocs", "1", "--omp-nthreads", "4", "--mem", "6.288", "--config", "my settings.toml"]
    assert ended.stdout.splitlines() == expected
    assert ended.returncode == 3


@pytest.mark.parametrize("subjects, status", [(("sub-01", "sub-02"), 0), ((), 66)])
def test_a_task_of_the_array_without_a_participant_says_so(array, subjects, status):
    ended = array(3, subjects)
    assert ended.stdout == ""
    assert f"has {len(subjects)} participants" in ended.stderr
    assert ended.returncode == status
