"""A SLURM of one node on this machine, for tests (Debian's packages slurm-wlm and munge; needs root).

The node has more memory than the machine may have, and a GPU that is none: SLURM hands out what it is told to have.

    def test_jobs(cluster, tmp_path):                       # from tests.slurm import cluster  # noqa: F401
        subprocess.run(["sbatch", ...], env=cluster)
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests import required

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "munged", "runuser")

CONF = """\
ClusterName=thalbids
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
MpiDefault=none
GresTypes=gpu
KillWait=5
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=16000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""

GRES = "Name=gpu File=/dev/zero\n"  # a gpu without a file is refused
STARTS_S = 120  # daemons and commands on a busy machine


def lacking() -> str:
    """Why there can be no SLURM here; empty when there can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "only root can start SLURM"


class NotStartedError(Exception):
    """SLURM is installed and does not run here."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which the commands of a running SLURM work."""
    if lacking():
        required.absent("slurm", lacking())
    with ExitStack() as stack:
        try:
            environment = stack.enter_context(running(tmp_path_factory.mktemp("slurm")))
        except NotStartedError as error:
            required.absent("slurm", f"SLURM does not start here: {error}")
        yield environment


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Start munge and SLURM in this folder; gives the environment in which its commands work.

    Raises
    ------
    NotStartedError
        A daemon ended, or its node is not ready after ``STARTS_S``.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.getuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)  # munge's own user must reach its socket
    host = socket.gethostname().split(".")[0]
    (folder / "gres.conf").write_text(GRES)
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=host, folder=folder, ports=free_ports(2)))
    environment = os.environ | {"SLURM_CONF": str(conf)}
    daemons: dict[str, subprocess.Popen[bytes]] = {}
    try:
        daemons["munged"] = munge(folder)
        wait_until(lambda: (folder / "munge.socket").exists(), daemons, folder)
        for name in ("slurmctld", "slurmd"):
            with (folder / f"{name}.said").open("w") as said:
                daemons[name] = subprocess.Popen(
                    [name, "-D", "-f", str(conf)], env=environment, stdout=said, stderr=said
                )
        wait_until(lambda: asked(environment, "sinfo", "-h", "-o", "%T") == "idle", daemons, folder)
        yield environment
    finally:
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ["scancel", "-u", "root"], env=environment, check=False, capture_output=True, timeout=STARTS_S
            )
        for daemon in reversed(daemons.values()):
            daemon.terminate()
        for daemon in daemons.values():
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=30)
            daemon.kill()
            daemon.wait()


def wait_until(ready: Callable[[], bool], daemons: dict[str, subprocess.Popen[bytes]], folder: Path) -> None:
    deadline = time.monotonic() + STARTS_S
    while not ready():
        ended = [name for name, daemon in daemons.items() if daemon.poll() is not None]
        if ended or time.monotonic() > deadline:
            last = [
                path.read_text(errors="replace")[-1000:] for path in (*folder.glob("*.said"), *folder.glob("*.log"))
            ]
            raise NotStartedError("\n".join([f"{', '.join(ended)} ended" if ended else "the node is not ready", *last]))
        time.sleep(0.2)


def munge(folder: Path) -> subprocess.Popen[bytes]:
    """The authentication service, with a key and a socket of its own."""
    home = folder / "munge"
    home.mkdir()
    key = home / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    for path in (home, key):
        shutil.chown(path, "munge", "munge")
    home.chmod(0o711)
    files = {"key-file": key, "log-file": home / "log", "pid-file": home / "pid", "seed-file": home / "seed"}
    options = [f"--{name}={path}" for name, path in files.items()]
    command = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *options]
    folder.chmod(0o777)  # munged makes its socket here
    with (folder / "munged.said").open("w") as said:
        return subprocess.Popen(["runuser", "-u", "munge", "--", *command], stdout=said, stderr=said)


def asked(environment: dict[str, str], *words: str) -> str:
    """What a command of SLURM says; nothing when it fails or is too slow."""
    try:
        found = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=STARTS_S)
    except subprocess.TimeoutExpired:
        return ""
    return found.stdout.strip()


def jobs(environment: dict[str, str], states: str = "RUNNING") -> list[str]:
    """Numbers of the jobs that run."""
    words = ["squeue", "-h", "-t", states, "-o", "%i"]
    found = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=STARTS_S)
    return found.stdout.split()


def wait_for_no_jobs(environment: dict[str, str], seconds: float) -> None:
    """Cancelled jobs are gone after a moment."""
    deadline = time.monotonic() + seconds
    while left := jobs(environment, "PENDING,RUNNING,COMPLETING"):
        assert time.monotonic() < deadline, f"jobs {left} are still there after {seconds:.0f} s"
        time.sleep(0.5)


def keys(out: Path) -> list[Path]:
    """Private keys, and other things of Dask's, in an output folder."""
    found = [path for path in out.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    return [*found, *(out / "logs").rglob("*dask*")]


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
