"""What befalls jobs of a real SLURM: cancelled, at their time limit, out of memory, without the command that gave them
work. Steps are trivial here; ``test_slurm.py`` does the whole of it on scans."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import slurm
from tests.slurm import cluster  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
LOST = "its job ended or its process was killed"
PROGRAM = (
    "import sys; from pathlib import Path; from tests.integration.slurm_steps import main; "
    "sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))"
)
CONFIG = """\
[cluster]
system = "slurm"
cores = 1
memory_gb = 1
walltime = "{walltime}"
interface = "lo"
"""


class Run:
    """A run of the steps of ``slurm_steps`` in the background."""

    def __init__(self, folder: Path, environment: dict[str, str], fault: str, walltime: str = "01:00:00"):
        self.out, self.mark, self._said, self.environment = (
            folder / "out",
            folder / "mark",
            folder / "said",
            environment,
        )
        config = folder / "cluster.toml"
        config.write_text(CONFIG.format(walltime=walltime))
        words = [sys.executable, "-c", PROGRAM, str(self.out), str(config), fault]
        with self._said.open("w") as said:
            found = environment | {"PYTHONPATH": str(ROOT)}
            self.process = subprocess.Popen(words, env=found, stdout=said, stderr=said, cwd=folder)

    @property
    def said(self) -> str:
        return self._said.read_text()

    def job_with_the_fault(self) -> str:
        """The number of the job, once the step with the fault runs in it."""
        while not self.mark.exists():
            assert self.process.poll() is None, self.said
            time.sleep(0.1)
        return self.mark.read_text()

    def ends(self, status: int) -> None:
        assert self.process.wait(timeout=900) == status, self.said
        assert "Traceback" not in self.said
        slurm.wait_for_no_jobs(self.environment, 120)

    def jobs(self) -> dict[str, str]:
        """Which job wrote the result of each step."""
        return {path.stem: path.read_text() for path in (self.out / "sub-1").glob("*.txt")}


@pytest.mark.parametrize("fault", ["cancelled", "time limit", "swell"])
def test_a_step_whose_job_ends_is_done_by_another(tmp_path, cluster, fault):  # noqa: F811
    run = Run(tmp_path, cluster, fault, "00:01:00" if fault == "time limit" else "01:00:00")
    first = run.job_with_the_fault()
    if fault == "cancelled":
        subprocess.run(["scancel", first], env=cluster, check=True)
    run.ends(0)
    assert LOST in run.said
    assert run.jobs().keys() == {"before", "faulty", "after"}
    if fault != "swell":  # only the process is killed then, and the job goes on
        assert run.jobs()["before"] == first != run.jobs()["faulty"]


def test_jobs_end_with_a_command_that_is_killed_and_the_next_one_resumes(tmp_path, cluster):  # noqa: F811
    killed = Run(tmp_path, cluster, "hang")
    first = killed.job_with_the_fault()
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    slurm.wait_for_no_jobs(cluster, 300)
    assert killed.jobs() == {"before": first, "faulty": "half"}
    resumed = Run(tmp_path, cluster, "hang")
    resumed.ends(0)
    assert "1 cached" in resumed.said
    after = resumed.jobs()
    assert after["before"] == first
    assert first != after["faulty"] == after["after"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_command_cancels_its_jobs(tmp_path, cluster, number):  # noqa: F811
    run = Run(tmp_path, cluster, "hang")
    first = run.job_with_the_fault()
    assert slurm.keys(run.out)
    assert all(path.stat().st_mode & 0o077 == 0 for path in slurm.keys(run.out) if path.is_file())
    run.process.send_signal(number)
    run.ends(130)
    assert run.jobs() == {"before": first}
    assert not list(run.out.glob("logs/lock/*.lock"))
    assert slurm.keys(run.out) == []
