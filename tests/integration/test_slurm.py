"""A small cohort through a real SLURM: the results are those of a local run, also when a job is killed."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests import slurm, standins
from tests.integration.test_participant_kill import command, contents, dataset
from tests.slurm import cluster  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
LOST = "its job ended or its process was killed"

CONFIG = """\
[run]
nprocs = 2

[cluster]
system = "slurm"
cores = 1
memory_gb = 1.9
walltime = "00:30:00"
interface = "lo"
"""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people; the second is the first with another number."""
    folder = tmp_path_factory.mktemp("cohort")
    raw = dataset(folder / "raw")
    (raw / "sub-02/anat").mkdir(parents=True)
    for path in (raw / "sub-01/anat").iterdir():
        shutil.copy(path, raw / "sub-02/anat" / path.name.replace("sub-01", "sub-02"))
    (folder / "cluster.toml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def local(cohort: Path) -> tuple[int, dict[str, str]]:
    """Exit code and results of a run on this machine."""
    run = subprocess.run(command(cohort / "raw", cohort / "local", 1), capture_output=True, text=True)
    assert run.returncode in (0, 1), run.stderr
    return run.returncode, contents(cohort / "local")


def through_slurm(cohort: Path, name: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    words = [*command(cohort / "raw", cohort / name, 2), "--config", str(cohort / "cluster.toml")]
    with (cohort / f"{name}.txt").open("w") as said:
        return subprocess.Popen(words, env=environment, stdout=said, stderr=said, text=True)


def test_jobs_give_what_a_local_run_gives_though_one_is_killed(
    cohort: Path,
    local: tuple[int, dict[str, str]],
    cluster: dict[str, str],  # noqa: F811
) -> None:
    process, said = through_slurm(cohort, "jobs", cluster), cohort / "jobs.txt"
    while not list((cohort / "jobs").glob("sub-*/anat/*_mask.nii.gz")):
        assert process.poll() is None, said.read_text()
        time.sleep(0.1)
    kill_one_with_its_step(process, cluster, said)
    assert process.wait(timeout=1200) == local[0], said.read_text()
    assert LOST in said.read_text() and "Traceback" not in said.read_text()
    assert contents(cohort / "jobs") == local[1]
    slurm.wait_for_no_jobs(cluster, 120)
    assert slurm.keys(cohort / "jobs") == []
    again = through_slurm(cohort, "jobs", cluster)
    assert again.wait(timeout=600) == local[0]
    assert contents(cohort / "jobs") == local[1]


def kill_one_with_its_step(process: subprocess.Popen[str], environment: dict[str, str], said: Path) -> None:
    """Kill a job; another one when the first had nothing to do just then."""
    killed: set[str] = set()
    while LOST not in said.read_text():
        assert process.poll() is None, said.read_text()
        for number in [job for job in slurm.jobs(environment) if job not in killed][:1]:
            subprocess.run(["scancel", "--signal=KILL", number], env=environment, check=True)
            killed.add(number)
        until = time.monotonic() + 60
        while LOST not in said.read_text() and time.monotonic() < until and process.poll() is None:
            time.sleep(0.2)


def test_the_array_script_gives_what_a_local_run_gives(
    cohort: Path,
    local: tuple[int, dict[str, str]],
    cluster: dict[str, str],  # noqa: F811
    tmp_path: Path,
) -> None:
    script = ROOT / "docs" / "cluster" / "participants.slurm"
    program = tmp_path / "thalbids"  # what an installed package has
    program.write_text(f'#!/bin/sh\nexec {command(cohort, cohort, 1)[0]} -m thalbids "$@"\n')
    program.chmod(0o755)
    found = cluster | {"PATH": f"{tmp_path}:{cluster['PATH']}"}
    options = ["--wait", "--array=1-3", "--mem=1900M", "--cpus-per-task=1", "--export=ALL"]
    words = ["sbatch", *options, str(script), str(cohort / "raw"), str(cohort / "an array")]
    ended = subprocess.run(words, env=found, cwd=tmp_path, capture_output=True, text=True, timeout=1200)
    logs = [path.read_text() for path in sorted(tmp_path.glob("thalbids-*.log"))]
    assert ended.returncode == local[0], ended.stderr + "".join(logs)
    assert "this is task 3, and" in logs[2] and "has 2 participants" in logs[2]
    assert contents(cohort / "an array") == local[1]


def test_only_steps_that_use_a_gpu_run_in_a_job_that_has_one(
    cohort: Path,
    cluster: dict[str, str],  # noqa: F811
    tmp_path: Path,
) -> None:
    """MindGlide is told to use it; FIRST, whose mask it needs, is not. Both are stand-ins that note their job."""
    raw, notes = tmp_path / "raw", {tool: tmp_path / f"{tool}.txt" for tool in ("run_first_all", "mindglide")}
    shutil.copytree(cohort / "raw" / "sub-01", raw / "sub-01", ignore=shutil.ignore_patterns("*FLAIR*", "*R1map*"))
    shutil.copy(cohort / "raw" / "dataset_description.json", raw)
    for tool, note in notes.items():
        program = standins.install(tmp_path / "true", tool)
        job = f'case " $* " in *" -i "*) echo "$SLURM_JOB_ID ${{SLURM_JOB_GPUS:-none}}" >>"{note}";; esac'
        (tmp_path / tool).write_text(f'#!/bin/sh\n{job}\nexec "{program}" "$@"\n')
        (tmp_path / tool).chmod(0o755)
    (tmp_path / "weights.pt").write_bytes(b"weights")
    gpu = 'gpu_jobs = 1\ngpu_directives = ["--gres=gpu:1"]\n[tools.mindglide]\ncheckpoint = "weights.pt"\n'
    (tmp_path / "cluster.toml").write_text(CONFIG.replace("nprocs = 2", "nprocs = 1") + gpu)
    words = [*command(raw, tmp_path / "out", 1), "--config", str(tmp_path / "cluster.toml")]
    words += ["--methods", "first", "mindglide", "--device", "cuda"]
    found = cluster | {"PATH": f"{tmp_path}:{cluster['PATH']}"}
    run = subprocess.run(words, env=found, capture_output=True, text=True, timeout=1200)
    assert run.returncode == 0, run.stderr
    calls = {tool: [line.split() for line in note.read_text().splitlines()] for tool, note in notes.items()}
    ((on_gpu, gpu), (elsewhere, none)) = (*calls["mindglide"], *calls["run_first_all"])
    assert (gpu, none) == ("0", "none")
    assert "gres:gpu:1" in slurm.asked(cluster, "scontrol", "show", "job", on_gpu)
    plain = slurm.asked(cluster, "scontrol", "show", "job", elsewhere)
    assert f"JobId={elsewhere}" in plain and "gpu" not in plain.replace(str(tmp_path), "")


def test_a_wrong_account_or_partition_is_said(
    cohort: Path,
    cluster: dict[str, str],  # noqa: F811
    tmp_path: Path,
) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text(CONFIG.replace('system = "slurm"', 'system = "slurm"\nqueue = "nosuch"'))
    words = [*command(cohort / "raw", tmp_path / "out", 1), "--config", str(config)]
    run = subprocess.run(words, env=cluster, capture_output=True, text=True, timeout=300)
    assert run.returncode == 1
    assert "no jobs could be submitted" in run.stderr
    assert "invalid partition" in run.stderr
    assert "Traceback" not in run.stderr
    assert slurm.keys(tmp_path / "out") == []
