"""A small cohort through a real SLURM: the results are those of a local run, also when a job is killed."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import slurm
from tests.integration.test_participant_kill import command, contents, dataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]

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
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if slurm.lacking():
        pytest.skip(slurm.lacking())
    with slurm.running(tmp_path_factory.mktemp("slurm")) as made:
        yield made


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
    cohort: Path, local: tuple[int, dict[str, str]], environment: dict[str, str]
) -> None:
    process = through_slurm(cohort, "jobs", environment)
    while not list((cohort / "jobs").glob("sub-*/anat/*_mask.nii.gz")):
        assert process.poll() is None, (cohort / "jobs.txt").read_text()
        time.sleep(0.1)
    running = slurm.jobs(environment)
    assert len(running) == 2
    subprocess.run(["scancel", "--signal=KILL", running[0]], env=environment, check=True)
    assert process.wait(timeout=600) == local[0]
    assert "its job ended or its process was killed" in (cohort / "jobs.txt").read_text()
    assert contents(cohort / "jobs") == local[1]
    deadline = time.monotonic() + 30
    while slurm.jobs(environment):  # cancelled, and gone in a moment
        assert time.monotonic() < deadline
        time.sleep(0.5)
    left = [path for path in (cohort / "jobs").rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert not left
    assert not list((cohort / "jobs" / "logs").rglob("*dask*"))
    again = through_slurm(cohort, "jobs", environment)
    assert again.wait(timeout=300) == local[0]
    assert contents(cohort / "jobs") == local[1]


def test_the_array_script_gives_what_a_local_run_gives(
    cohort: Path, local: tuple[int, dict[str, str]], environment: dict[str, str], tmp_path: Path
) -> None:
    script = ROOT / "docs" / "cluster" / "participants.slurm"
    program = tmp_path / "thalbids"  # what an installed package has
    program.write_text(f'#!/bin/sh\nexec {command(cohort, cohort, 1)[0]} -m thalbids "$@"\n')
    program.chmod(0o755)
    found = environment | {"PATH": f"{tmp_path}:{environment['PATH']}"}
    options = ["--wait", "--array=1-2", "--mem=1900M", "--cpus-per-task=1", "--export=ALL"]
    words = ["sbatch", *options, str(script), str(cohort / "raw"), str(cohort / "array")]
    ended = subprocess.run(words, env=found, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    logs = "".join(path.read_text() for path in tmp_path.glob("thalbids-*.log"))
    assert ended.returncode == local[0], ended.stderr + logs
    assert contents(cohort / "array") == local[1]


def test_a_wrong_account_or_partition_is_said(cohort: Path, environment: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text(CONFIG.replace('system = "slurm"', 'system = "slurm"\nqueue = "nosuch"'))
    words = [*command(cohort / "raw", tmp_path / "out", 1), "--config", str(config)]
    run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 1
    assert "no jobs could be submitted" in run.stderr
    assert "invalid partition" in run.stderr
