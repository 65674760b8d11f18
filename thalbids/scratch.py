"""Temporary folders that tell who made them, so that the next run removes what a killed one left behind.

A folder is called ``thalbids-KIND-MACHINE-PROCESS-...`` and locked as long as its process lives. It is removed only
where all of it says that its owner is dead: made on this machine by this user, no such process, and no lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_NAME = re.compile(r"thalbids-[a-z]+-(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-")


@contextmanager
def scratch(kind: str, parent: Path | None = None) -> Iterator[Path]:
    """An empty folder of our own, that is removed afterwards.

    Parameters
    ----------
    kind : what it is for, in small letters
    parent : where it is made; None: the system's folder for temporary files
    """
    prefix = f"thalbids-{kind}-{_machine()}-{os.getpid()}-"
    with (
        tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as name,
        contextlib.ExitStack() as stack,
    ):
        _lock(stack, Path(name))  # dropped by the system when the process dies
        yield Path(name)


def remove_dead(parents: Iterable[Path | None] = (None,)) -> list[Path]:
    """Remove the folders of dead processes in these places (None: the system's); gives those that were removed."""
    removed = []
    for parent in dict.fromkeys(Path(tempfile.gettempdir()) if place is None else place for place in parents):
        for path in sorted(parent.glob("thalbids-*")):
            if _is_dead(path):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path)
    return removed


def ended(process: int) -> bool:
    """Whether there is no process of this number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


@cache
def _machine() -> str:
    """A checksum of the name of this machine: names of folders stand in messages."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _is_dead(path: Path) -> bool:
    """Whether everything says that the owner of a folder is gone."""
    match = _NAME.match(path.name)
    if match is None or match["machine"] != _machine() or not ended(int(match["process"])):
        return False
    try:
        if path.is_symlink() or not path.is_dir() or path.stat().st_uid != os.getuid():
            return False
        with contextlib.ExitStack() as stack:
            return _lock(stack, path)  # another container of this name may count its processes anew
    except OSError:
        return False


def _lock(stack: contextlib.ExitStack, folder: Path) -> bool:
    """Lock a folder until the stack closes; whether nobody else has, or the file system knows no locks."""
    number = os.open(folder, os.O_RDONLY)
    stack.callback(os.close, number)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
