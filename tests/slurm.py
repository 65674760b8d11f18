"""A SLURM of one node on this machine, for tests (Debian's packages slurm-wlm and munge; needs root)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


def lacking() -> str:
    """Why there can be no SLURM here; empty when there can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "only root can start SLURM"


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Start munge and SLURM in this folder; gives the environment in which its commands work."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.getuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)  # munge's own user must reach its socket
    host = socket.gethostname().split(".")[0]
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=host, folder=folder, ports=free_ports(2)))
    environment = os.environ | {"SLURM_CONF": str(conf)}
    daemons = [munge(folder)]
    try:
        wait_for(folder / "munge.socket")
        daemons += [
            subprocess.Popen(
                [name, "-D", "-f", str(conf)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            for name in ("slurmctld", "slurmd")
        ]
        deadline = time.monotonic() + 60
        while state(environment) != "idle":
            assert time.monotonic() < deadline, (folder / "slurmctld.log").read_text()[-2000:]
            time.sleep(0.2)
        yield environment
    finally:
        subprocess.run(["scancel", "-u", "root"], env=environment, check=False, capture_output=True, timeout=30)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=10)
            daemon.kill()


def munge(folder: Path) -> subprocess.Popen:
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
    return subprocess.Popen(["runuser", "-u", "munge", "--", *command], stderr=subprocess.DEVNULL)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        time.sleep(0.1)


def state(environment: dict[str, str]) -> str:
    """What SLURM says of its node."""
    found = subprocess.run(
        ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    return found.stdout.strip()


def jobs(environment: dict[str, str]) -> list[str]:
    """Numbers of the jobs that run."""
    command = ["squeue", "-h", "-t", "RUNNING", "-o", "%i"]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
