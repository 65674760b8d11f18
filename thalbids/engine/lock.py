"""Keep two runs from working on one session, or writing the shared files of an output folder, at the same time.

Each run holds one file, ``logs/lock/HOST_PID_N.lock``, for as long as it lives: locked with ``flock`` and listing the
sessions that it works on. Runs on different sessions of one output folder (the jobs of a cluster array) go side by
side; a run that asks for a session that a living run holds is refused. The system drops the lock of a process that
dies, so a left-over file of a killed run is recognised and removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from thalbids.engine.disk import output_error
from thalbids.errors import OutputError, some
from thalbids.scratch import ended


@contextmanager
def claim(out_dir: Path, sessions: Iterable[str]) -> Iterator[None]:
    """Hold these sessions of the output folder; the folder is made when it is not there.

    Raises
    ------
    OutputError
        Another living run works on one of the sessions, or the folder cannot be written.
    """
    wanted = sorted(set(sessions))
    folder = _folder(out_dir)
    with shared_files(out_dir):
        dead = {_refuse_or_remove(path, wanted, out_dir) for path in sorted(folder.glob("*.lock"))}
        alive = {int(path.stem.split("_")[-2]) for path in folder.glob("*_*_*.lock")}
        for process in dead - alive - {0}:
            remove_keys(Path(out_dir), process)
        key, stream = _create(folder, wanted, out_dir)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            key.unlink(missing_ok=True)
        stream.close()


@contextmanager
def shared_files(out_dir: Path, name: str = "shared") -> Iterator[None]:
    """Hold the right to write files that all runs share (``dataset_description.json``); waits, so hold it briefly.

    What takes longer gets a lock of its own by another ``name``.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    folder = _folder(out_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
        stream = _open(folder / name)
    except OSError as error:
        raise output_error(error, out_dir) from None
    with stream:
        _lock(stream, wait=True)
        yield


def others(out_dir: Path) -> bool:
    """Whether another living run holds sessions of the output folder; asked when our own claim has ended."""
    return any(_is_held(path) for path in _folder(out_dir).glob("*.lock"))


def _is_held(path: Path) -> bool:
    try:
        with _open(path) as stream:
            free = _lock(stream, wait=False)
            return free is False or (free is None and not _Holder.read(stream).is_dead())
    except OSError:  # it ended just now, or nobody can tell
        return False


def _folder(out_dir: Path) -> Path:
    return Path(out_dir) / "logs" / "lock"


def _create(folder: Path, sessions: list[str], out_dir: Path) -> tuple[Path, IO[str]]:
    """A lock file of our own and the open file that keeps it locked."""
    host, pid = socket.gethostname(), os.getpid()
    try:
        for number in itertools.count(1):  # one process may hold several; containers may share host name and number
            path = folder / f"{host}_{pid}_{number}.lock"
            with contextlib.suppress(FileExistsError):
                stream = path.open("x", encoding="utf-8")  # open, and so locked, until the claim ends
                break
        json.dump({"host": host, "pid": pid, "sessions": sessions}, stream, indent=1)
        stream.flush()
    except OSError as error:
        raise output_error(error, out_dir) from None
    _lock(stream, wait=False)
    return path, stream


def remove_keys(out_dir: Path, process: int) -> None:
    """Remove what a run with jobs that was killed left in its logs: keys, and the folders of its workers."""
    of_process = re.compile(rf"\d{{8}}T\d{{6}}_{process}(?:_\d+)?")
    for left in out_dir.glob("logs/*/jobs/*dask*"):
        if not of_process.fullmatch(left.parents[1].name):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _refuse_or_remove(path: Path, wanted: list[str], out_dir: Path) -> int:
    """Refuse when the run of this lock file lives and has one of our sessions; remove the file when it is dead.

    Gives the process that is dead, 0 for none.
    """
    try:
        with _open(path) as stream:
            holder = _Holder.read(stream)
            free = _lock(stream, wait=False)
            if free or (free is None and holder.is_dead()):
                path.unlink(missing_ok=True)
                return holder.pid
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise output_error(error, path) from None
    common = sorted(set(wanted) & holder.sessions)
    if common:
        raise OutputError(
            f"another run (process {holder.pid} on {holder.host}) is working on {some(common, 1)} in this folder.",
            f"Wait until it has ended or take another output folder; if it has surely ended, delete {path}.",
            out_dir,
        )
    return 0


@dataclass(frozen=True)
class _Holder:
    """Who wrote a lock file."""

    host: str
    pid: int
    sessions: frozenset[str]

    @classmethod
    def read(cls, stream: IO[str]) -> _Holder:
        try:
            content = json.load(stream)
            return cls(str(content["host"]), int(content["pid"]), frozenset(content["sessions"]))
        except (ValueError, KeyError, TypeError):
            return cls("unknown", 0, frozenset())  # its run was killed while it wrote this file

    def is_dead(self) -> bool:
        """Whether the process is gone; only known for processes of this machine."""
        if self.host != socket.gethostname():
            return self.host == "unknown"
        return ended(self.pid)


def _open(path: Path) -> IO[str]:
    """Open for locking; another user's file only for reading, which is enough on local file systems."""
    try:
        return path.open("r+", encoding="utf-8")
    except PermissionError:
        return path.open(encoding="utf-8")


def _lock(stream: IO[str], *, wait: bool) -> bool | None:
    """Lock a file: True when we got it, False when another has it, None where the file system cannot lock."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF):
            return None
        raise
    return True
