"""Temporary folders, and what killed processes left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thalbids import scratch as module
from thalbids.scratch import remove_dead, scratch

DIES = """
import os, signal, sys
from pathlib import Path
from thalbids.scratch import scratch
with scratch("step", Path(sys.argv[1])) as folder:
    (folder / "half").write_text("a face")
    print(folder.name, flush=True)
    os.kill(os.getpid(), signal.SIGKILL if sys.argv[2] == "dies" else signal.SIGSTOP)
"""


def process(parent: Path, how: str) -> tuple[subprocess.Popen[str], Path]:
    started = subprocess.Popen([sys.executable, "-c", DIES, str(parent), how], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    return started, parent / started.stdout.readline().strip()


def test_a_folder_is_removed_at_its_end(tmp_path: Path) -> None:
    with scratch("step", tmp_path) as folder:
        (folder / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    started, left = process(tmp_path, "dies")
    assert started.wait() == -signal.SIGKILL
    assert (left / "half").exists()
    assert remove_dead([tmp_path]) == [left]
    assert list(tmp_path.iterdir()) == []


def test_what_lives_stays(tmp_path: Path) -> None:
    started, left = process(tmp_path, "lives")
    try:
        assert remove_dead([tmp_path]) == [] and left.exists()
        with scratch("step", tmp_path) as own:
            assert remove_dead([tmp_path]) == [] and own.exists()
    finally:
        started.kill()
        started.wait()


@pytest.mark.parametrize("change", ["machine", "locked", "link", "file", "other name"])
def test_what_is_not_certainly_dead_stays(tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started, left = process(tmp_path, "dies")
    started.wait()
    if change == "machine":
        monkeypatch.setattr(module, "_machine", lambda: "00000000")
    elif change == "locked":  # a process of the same number in another container
        number = os.open(left, os.O_RDONLY)
        module.fcntl.flock(number, module.fcntl.LOCK_EX)
    else:
        kept = tmp_path / "kept"
        left.rename(kept)
        if change == "link":
            left.symlink_to(kept)
        elif change == "file":
            left.write_text("")
        else:
            kept.rename(tmp_path / "thalbids-demo")
    before = sorted(tmp_path.rglob("*"))
    assert remove_dead([tmp_path]) == []
    assert sorted(tmp_path.rglob("*")) == before


def test_keys_of_a_run_that_was_killed_are_removed(tmp_path: Path) -> None:
    from thalbids.engine import lock

    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    names = f"20260101T000000_{dead.pid}", f"20260101T000001_{dead.pid}_2", f"20260101T000002_1_{dead.pid}"
    logs = [tmp_path / "logs" / name / "jobs" for name in names]
    for folder in logs:
        folder.mkdir(parents=True)
        (folder / ".dask_jobqueue_key").write_text("secret")
        (folder / "thalbids-1.err").write_text("kept")
    locks = tmp_path / "logs" / "lock"
    locks.mkdir()
    host = lock.socket.gethostname()
    (locks / f"{host}_{dead.pid}_1.lock").write_text(f'{{"host": "{host}", "pid": {dead.pid}, "sessions": ["sub-01"]}}')
    with lock.claim(tmp_path, ["sub-01"]):
        time.sleep(0)
    assert [sorted(path.name for path in folder.iterdir()) for folder in logs] == [
        ["thalbids-1.err"], ["thalbids-1.err"], [".dask_jobqueue_key", "thalbids-1.err"],
    ]  # fmt: skip
